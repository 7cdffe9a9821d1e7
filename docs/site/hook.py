"""MkDocs hook: the site has the paths of the repository, so that a link means the same in both.

Pages are the Markdown files that mkdocs.yml names, of the repository's root on, and every notebook; what they
link to comes along as it is. A link to a folder becomes one to its index, which is made here.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()[^)#\s:]+(?=[)#\s])")
FOLDERS = {"notebooks": ("Notebooks", "*.ipynb"), "reports": ("Reports", "*.md")}
"""Folders that pages link to, with title and pages of the index."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Headings get the anchors that GitHub gives them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, the pages, and what these link to."""
    kept = Files([file for file in files if file.src_dir != config.docs_dir])
    texts = {name: (ROOT / name).read_text() for name in named(config.nav) if (ROOT / name).is_file()}
    for folder, (title, pattern) in FOLDERS.items():
        paths = sorted((ROOT / folder).glob(pattern))
        pages = {path.with_suffix(".md").name: text(path) for path in paths}
        texts |= {f"{folder}/{name}": page for name, page in pages.items()}
        entries = [f"* [{heading(page)}]({name})" for name, page in pages.items()]
        texts[f"{folder}/index.md"] = "\n".join([f"# {title}", "", *entries, ""])
    linked = {target for name, page in texts.items() for target in targets(name, page)}
    for name, page in texts.items():
        kept.append(File.generated(config, name, content=page))
    for name in sorted({*linked, *config.extra_css} - set(texts)):
        if (ROOT / name).is_file():
            kept.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return kept


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links to folders become links to their index."""
    here = posixpath.dirname(page.file.src_uri)

    def whole(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, match.group()))
        return f"{match.group().rstrip('/')}/index.md" if target in FOLDERS else match.group()

    return LINK.sub(whole, markdown)


def named(nav: Any) -> Iterator[str]:
    """Pages of the navigation, to the bottom."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from named(part)


def targets(name: str, page: str) -> Iterator[str]:
    """Files that a page links to, from the repository's root."""
    for link in LINK.findall(page):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def heading(page: str) -> str:
    """The title of a page."""
    return re.findall(r"^# (.*)", page, re.MULTILINE)[0]


def text(path: Path) -> str:
    """A Markdown file as it is; a notebook with its code and what it printed, beside a link to it."""
    if path.suffix == ".md":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    download = f"[`{path.name}`]({path.name}), to run"
    first, *others = ["".join(part) for cell in cells for part in blocks(cell)]
    return "\n\n".join([first, download, *others, ""])


def blocks(cell: dict[str, Any]) -> Iterator[str]:
    """Markdown of a cell: text, code, printed text, pictures."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            yield f"![result](data:image/png;base64,{''.join(data['image/png']).strip()})"
        elif "text/html" in data:
            yield "".join(data["text/html"])
        else:
            yield f"```text\n{''.join(output.get('text', data.get('text/plain', ''))).rstrip()}\n```"
