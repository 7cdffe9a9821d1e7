"""Every link of the documentation leads somewhere, in the repository and on the site; each page has its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import codeword

ROOT = Path(__file__).parents[2]
DOCS = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
PAGES = sorted(
    DOCS | {path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("reports/*.md")]}
)


def named(nav: Any) -> Iterator[str]:
    """Pages of the navigation, to the bottom."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from named(part)


def prose(page: str) -> str:
    """A page without code: neither fenced nor between backticks."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^(    .*\n)+|`[^`\n]*`", "", text, flags=re.MULTILINE)


def links(page: str) -> Iterator[tuple[str, str]]:
    """Relative links: path, "" for the page itself, and anchor."""
    for path, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", prose(page)):
        if not re.match(r"\w+:", path):
            yield path, anchor


def anchors(page: str) -> set[str]:
    """Of headings, as GitHub makes them: small letters, hyphens for spaces, no other signs."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in shown}


def broken(name: str, page: str) -> list[str]:
    """Links of a page to files or headings that are not there."""
    found = []
    for path, anchor in links(page):
        target = (ROOT / name).parent / path if path else ROOT / name
        if not target.exists():
            found.append(path)
        elif anchor and anchor not in anchors(target.read_text()):
            found.append(f"{path}#{anchor}")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert not broken(name, (ROOT / name).read_text())


def test_a_broken_link_is_seen() -> None:
    page = "[a](cli.md) [b](cli.md#results) [c](none.md) [d](cli.md#none) [e](#none) `[f](none.md)`\n"
    assert broken("docs/index.md", page) == ["none.md", "cli.md#none", "#none"]


def test_every_page_is_in_the_navigation_once() -> None:
    nav = list(named(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert len(nav) == len(set(nav))
    made = {"notebooks/index.md", "reports/index.md"}
    assert set(nav) - DOCS == made | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
    assert set(nav) >= DOCS


def test_the_way_in_names_every_page() -> None:
    index = (ROOT / "docs/index.md").read_text()
    reached = {f"docs/{path}" for path, _ in links(index)}
    assert reached >= {name for name in DOCS if "/api/" not in name} - {"docs/index.md"}


@pytest.mark.parametrize("name", sorted(name for name in DOCS if "/api/" in name))
def test_what_an_api_page_names_is_there(name: str) -> None:
    """Modules and classes after `:::`: the file of the longest part that is a module defines the rest."""
    for wanted in re.findall(r"^::: (\S+)$", (ROOT / name).read_text(), re.MULTILINE):
        parts = wanted.split(".")
        for length in range(len(parts), 0, -1):
            base = ROOT.joinpath(*parts[:length])
            file = base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"
            if file.exists():
                break
        rest = parts[length:]
        assert file.exists(), wanted
        assert len(rest) <= 1, wanted
        for one in rest:
            assert re.search(rf"^(class|def) {one}\b", file.read_text(), re.MULTILINE), wanted


def test_the_tutorial_prints_the_cycles_of_today() -> None:
    page = (ROOT / "docs/tutorial.md").read_text()
    cycles = f"{codeword.estimate('resnet18', 'ews-cms-64').cost.cycles:,}"
    (compared,) = re.findall(r"^  cycles +[\d,]+ +[\d,]+ +([\d,]+)$", page, re.MULTILINE)
    assert compared == cycles
    assert f"| {cycles} | 1,814,073,344 |" in (ROOT / "docs/peers.md").read_text()
    estimated, simulated = re.findall(r"^  cycles +([\d,]+)(?: \([\d.]+ M\))?$", page, re.MULTILINE)
    assert estimated == cycles, "run the tutorial's commands again"
    assert simulated == f"{codeword.estimate('resnet20-fashion', 'ews-cms-16').cost.cycles:,}"


def test_troubleshooting_quotes_what_is_said() -> None:
    """Words between backticks in the first column are in a source, where they are not options, names or verbs."""
    folders = ("codeword", "sim", "algos", "rtl")
    sources = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    said = "\n".join([*sources, (ROOT / "Makefile").read_text()])
    page = (ROOT / "docs/troubleshooting.md").read_text()
    quoted = [
        words
        for cell in re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE)
        for words in re.findall(r"`([^`]*)`", cell)
    ]
    messages = [words for words in quoted if " " in words]
    assert len(messages) > 15
    assert not [words for words in messages if words not in said]
