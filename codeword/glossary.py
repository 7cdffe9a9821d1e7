"""What a word or a figure means: docs/glossary.md and the descriptions of the accelerators' fields, searched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.accelerator.page import Field

PAGE = "glossary.md"
"""In this package a link to the page in docs; the wheel has the text itself."""


@dataclass(frozen=True)
class Entry:
    """One meaning of a word.

    Attributes:
        names: by which it is found, the first of them as it is written.
        section: of the glossary, or the kind of accelerator of which it is a field.
        meaning: what it is; a formula where it is computed.
        unit: of measure, "" where it has none.
        source: where it comes from: a paper, a page, a file.
        about: what holds for all of the section: unit, formula, source.
    """

    names: tuple[str, ...]
    section: str
    meaning: str
    unit: str = ""
    source: str = ""
    about: str = ""

    def to_json(self) -> dict[str, str]:
        return {
            "name": self.names[0],
            "section": self.section,
            "is": self.meaning,
            "unit": self.unit,
            "from": self.source,
            "about": self.about,
        }


def explain(word: str) -> list[Entry]:
    """Every meaning of a term, a cause of cycles, a component, a memory, a field of a result or of an accelerator.

    Raises:
        InputError: unknown, with the nearest ones.
    """
    wanted, known = _key(word), entries()
    found = [entry for entry in known if wanted in map(_key, entry.names)]
    if found:
        return found
    names = {_key(name): name for entry in known for name in entry.names}
    near = [names[key] for key in get_close_matches(wanted, names, n=3, cutoff=0.6)]
    near += [name for key, name in names.items() if wanted and wanted in key and name not in near][
        : 5 - len(near)
    ]
    fix = (
        f"try {', '.join(near)}"
        if near
        else "give a term, a cause, a component or a field; docs/glossary.md has all"
    )
    raise InputError("word", word, "not in the glossary", fix)


@cache
def entries() -> tuple[Entry, ...]:
    """All of them, in the order of the page, then the fields of the accelerators."""
    return (*_of_page(files("codeword").joinpath(PAGE).read_text(encoding="utf-8")), *_of_accelerators())


def _key(word: str) -> str:
    """Letters of any case, and words joined in any way, are one."""
    return re.sub(r"[\s_.-]+", " ", word.strip().lower())


def _of_page(text: str) -> Iterator[Entry]:
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        about = _plain(" ".join(body.partition("\n|")[0].split()))
        rows = [_cells(line) for line in body.splitlines() if line.startswith("|")]
        head = rows[0] if rows else []
        for row in rows[2:]:
            cells = dict(zip(head[1:], map(_plain, row[1:]), strict=True))
            unit, source = cells.pop("unit", ""), cells.pop("from", "")
            yield Entry(_names(row[0]), title, _sentence(head[0], cells), unit, source, about)


def _sentence(kind: str, cells: dict[str, str]) -> str:
    """The column that defines, whose head may be half of the sentence: "energy of", "counts"."""
    ((head, text),) = cells.items()
    return text if head == "is" else f"{kind}: {head.removesuffix(' is')} {text}"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]


def _names(cell: str) -> tuple[str, ...]:
    """What a first cell names: "scale, zero point" is two; words in brackets are said of one, and no name."""
    parts = re.split(r", ", re.sub(r" \(.*?\)", "", cell))
    return tuple(_plain(part) for part in parts)


def _plain(text: str) -> str:
    """Without the marks of Markdown."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "").strip()


def _of_accelerators() -> Iterator[Entry]:
    from sim.accelerator.page import fields

    for field in fields():
        yield _of_field(field)


def _of_field(field: Field) -> Entry:
    legal = f"Legal: {field.legal}" + (f"; by default {field.default}." if field.default else ".")
    source = match[0] if (match := re.search(r"MVQ [^;)]*|assumed$", field.what)) else ""
    return Entry((field.name,), f"Fields of accelerators of kind {field.kind}", field.what, "", source, legal)
