"""Mutants of exported Verilog: one edit of one line, as a hand would make it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

_SKIPPED = re.compile(r"^\s*(//|module|endmodule|input|output|wire|reg|integer|initial|words\[|end\b|\)|$)")
"""Lines without a design in them: comments, declarations, and what a memory holds before anything is written."""

Edit = Callable[[re.Match[str], np.random.Generator], str]


def _other(*names: str) -> Mapping[str, str]:
    return {f" {a} ": f" {b} " for a, b in (name.split() for name in names)}


_OPERATORS = _other(
    "+ -",
    "- +",
    "* +",
    "& |",
    "| &",
    "^ |",
    "&& ||",
    "|| &&",
    "== !=",
    "!= ==",
    "< >=",
    "> >=",
    ">= >",
    "<< >>",
    ">>> >>",
)


def _operator(found: re.Match[str], rng: np.random.Generator) -> str:
    return _OPERATORS[found[0]]


def _constant(found: re.Match[str], rng: np.random.Generator) -> str:
    width, digits = int(found[1]), found[2]
    value = int(digits, 16) ^ 1 << int(rng.integers(width))
    return f"{width}'h{value:0{len(digits)}x}"


def _index(found: re.Match[str], rng: np.random.Generator) -> str:
    """The part below, or above where there is none."""
    high, low = int(found[1]), int(found[2] or found[1])
    step = -1 if low else 1
    return f"[{high + step}:{low + step}]" if found[2] else f"[{high + step}]"


def _negated(found: re.Match[str], rng: np.random.Generator) -> str:
    return f"if (!({found[1]}))"


def _swapped(found: re.Match[str], rng: np.random.Generator) -> str:
    return f"? {found[2]} : {found[1]};"


def _dropped(found: re.Match[str], rng: np.random.Generator) -> str:
    return found[1]


_EDITS: Mapping[str, tuple[re.Pattern[str], Edit]] = {
    "operator": (re.compile("|".join(map(re.escape, _OPERATORS))), _operator),
    "constant": (re.compile(r"\b(\d+)'h([0-9a-f]+)\b"), _constant),
    "index": (re.compile(r"\[(\d+)(?::(\d+))?\]"), _index),
    "condition": (re.compile(r"if \((.*)\)"), _negated),
    "branches": (re.compile(r"\? ([^?:;]+) : ([^?:;]+);"), _swapped),
    "negation": (re.compile(r"[!~](\\?\w)"), _dropped),
}
"""By kind: where it can be done, and what stands there afterwards."""


@dataclass(frozen=True)
class Mutant:
    """Verilog with one line changed.

    Attributes:
        kind: of edit.
        file: name of the changed one; `line`: from 1.
        before, after: the line.
        text: of the whole file.
    """

    kind: str
    file: str
    line: int
    before: str
    after: str
    text: str


def mutants(texts: Mapping[str, str], count: int, seed: int) -> Iterator[Mutant]:
    """Different ones; a line as likely as another, and a kind as likely as another that fits the line.

    Args:
        texts: Verilog by file name.
    """
    rng = np.random.default_rng(seed)
    places = [
        (file, number)
        for file, text in sorted(texts.items())
        for number, line in enumerate(text.splitlines())
        if not _SKIPPED.match(line) and any(pattern.search(line) for pattern, _ in _EDITS.values())
    ]
    done: set[tuple[str, int, str]] = set()
    while len(done) < count:
        file, number = places[int(rng.integers(len(places)))]
        lines = texts[file].splitlines()
        before = lines[number]
        kinds = [kind for kind, (pattern, _) in _EDITS.items() if pattern.search(before)]
        kind = kinds[int(rng.integers(len(kinds)))]
        pattern, edit = _EDITS[kind]
        found = list(pattern.finditer(before))
        at = found[int(rng.integers(len(found)))]
        after = before[: at.start()] + edit(at, rng) + before[at.end() :]
        if after == before or (file, number, after) in done:
            continue
        done.add((file, number, after))
        lines[number] = after
        yield Mutant(kind, file, number + 1, before.strip(), after.strip(), "\n".join(lines) + "\n")
