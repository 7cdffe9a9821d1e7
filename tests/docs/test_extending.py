"""What a kind of machine touches outside its folders is what docs/extending.md says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("algos", "codeword", "evidence", "rtl", "sim")
OWN = re.compile(r"(sim|rtl)/digit_serial/|algos/spikes/|codeword/reports/spikes/|evidence/mutation/digit")
"""Files of the second kind alone; its mutants, its method and its report are files of their own."""


def _listed() -> set[str]:
    text = (ROOT / "docs/extending.md").read_text()
    table = text.partition("What a complete kind touches beside its folders")[2].partition("\n## ")[0]
    return set(
        re.findall(r"`([^`]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    )


def test_the_second_kind_touches_what_the_page_lists():
    sources = [path for top in CODE for path in (ROOT / top).rglob("*.py")]
    sources += [ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / "MANIFEST.in"]
    naming = {
        name
        for path in sources
        if not OWN.match(name := path.relative_to(ROOT).as_posix()) and "digit_serial" in path.read_text()
    }
    page = {name for name in ("mkdocs.yml", "docs/index.md") if "spikes.md" in (ROOT / name).read_text()}
    assert naming | page == _listed()
    assert len(_listed()) <= 6
