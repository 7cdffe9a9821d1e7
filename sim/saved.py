"""Results as files: saved, loaded, and compared figure by figure."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files import write_whole
from sim.names import NAME

SCHEMA = 1
"""Of the fields of results; another number is another meaning."""
_NAMES = ("name", "kind", "library")
"""Fields by which parts of a list are known: layers, components, libraries."""


def document(verb: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a file holds: the figures, the verb, and the version of their meaning."""
    return {"verb": verb, "schema": SCHEMA, **fields}


@dataclass(frozen=True)
class Change:
    """A figure that two results do not have in common.

    Attributes:
        path: names from the outermost to the figure's own: ("layers", "conv1", "cycles").
        before, after: number, text, or None where it is unknown or where one result does not have it.
    """

    path: tuple[str, ...]
    before: Any
    after: Any

    @property
    def difference(self) -> float | None:
        """None where one of the two is no number."""
        return self.after - self.before if number(self.before) and number(self.after) else None


class Result(ABC):
    """What a verb found."""

    @property
    @abstractmethod
    def verb(self) -> str:
        """That found it: estimate, simulate, verify, synth."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Its figures as plain values; docs/glossary.md."""

    def document(self) -> dict[str, Any]:
        """What `save` writes."""
        return document(self.verb, self.to_json())

    def save(self, path: str | Path) -> None:
        """Writes JSON as a whole: a disk that is full leaves what was there."""
        write_whole(path, json.dumps(self.document(), allow_nan=False, indent=1) + "\n")

    def diff(self, other: Result) -> list[Change]:
        """The figures of `other` that are not those of this result, in the order of the JSON."""
        # Through JSON, so that a result and its file are equal: tuples are lists there.
        before, after = (dict(_figures(json.loads(json.dumps(one.to_json())))) for one in (self, other))
        both = dict.fromkeys((*before, *after))
        changes = (Change(path, before.get(path), after.get(path)) for path in both)
        return [one for one in changes if one.before != one.after]


@dataclass(frozen=True)
class Loaded(Result):
    """A result from a file."""

    made_by: str
    fields: dict[str, Any] = field(repr=False)

    @property
    def verb(self) -> str:
        return self.made_by

    def to_json(self) -> dict[str, Any]:
        return self.fields


def load(path: str | Path) -> Loaded:
    """A result that `Result.save`, or `--output` of the command, wrote.

    Raises:
        InputError: missing, not JSON, no result, or one whose fields mean something else.
    """
    name, fix = str(path), "give a file that codeword wrote with --output NAME.json"
    try:
        text = Path(path).read_text(encoding="utf-8")
        fields = json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=_real)
    except OSError as error:
        raise InputError("result", name, error.strerror or str(error), fix) from None
    except (ValueError, RecursionError) as error:
        raise InputError("result", name, f"not JSON: {error}", fix) from None
    if not isinstance(fields, dict) or not isinstance(fields.get("verb"), str):
        raise InputError("result", name, "no result of codeword: it names no verb", fix)
    schema = fields.pop("schema", None)
    if schema != SCHEMA:
        problem = f"its figures are of schema {schema!r}, this version reads {SCHEMA}"
        raise InputError("result", name, problem, "make it again with this version")
    found = Loaded(fields.pop("verb"), fields)
    for figure, value in _figures(fields):
        for text in (found.verb, *figure, value):
            if isinstance(text, str) and not _shown(text):
                raise InputError("result", name, f"{text!r} steers a terminal or is no text", fix)
    return found


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError("an integer beyond 64 bits")
    return int(text)


def _real(text: str) -> float:
    if not isfinite(value := float(text)):
        raise ValueError(f"{text} is no number")
    return value


def _shown(text: str) -> bool:
    """Whether a text, of one line or more, is what a name may be, or empty."""
    line = text.replace("\n", " ")
    return all(NAME.fullmatch(line[at : at + 1000]) for at in range(0, len(line), 1000))


def number(value: object) -> bool:
    """Whether a figure is one: neither text nor yes or no, nor unknown."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figures(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf and where it is; parts of a list by their names, the second of a name as NAME#2."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _figures(part, (*path, name))
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        seen: dict[str, int] = {}
        for number, part in enumerate(value):
            name = str(next((part[key] for key in _NAMES if key in part), number))
            seen[name] = seen.get(name, 0) + 1
            own = {key: each for key, each in part.items() if key not in _NAMES}
            yield from _figures(own, (*path, name if seen[name] == 1 else f"{name}#{seen[name]}"))
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    else:
        yield path, value
