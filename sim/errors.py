"""The one exception for bad input: it names the field, the value and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 400
"""Characters of a value that a message shows whole."""


class InputError(ValueError):
    """Bad input from a user; the command line turns it into exit status 2."""

    def __init__(self, field: str, value: object, problem: str, fix: str) -> None:
        self.field, self.value, self.problem, self.fix = field, value, problem, fix
        super().__init__(f"{field} = {_shown(value)}: {problem}. Fix: {fix}.")

    def within(self, place: str) -> InputError:
        """The same of a field of `place`: a layer, a file."""
        return InputError(f"{place}{self.field}", self.value, self.problem, self.fix)


def _shown(value: object) -> str:
    """As Python writes it, the middle of a long text left out."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = "an integer of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}...{text[-LONGEST // 4 :]}"


_LISTED = 50


def nearest(name: str, known: Iterable[str]) -> str:
    """A fix that names the closest known name, or lists them, the first 50 of many."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    others = f" and {len(known) - _LISTED} others" if len(known) > _LISTED else ""
    return f"use {close[0]!r}" if close else f"use one of {', '.join(known[:_LISTED])}{others}"


def require_multiple(of: object, whole: str, part: str) -> None:
    """Raises InputError where the field `whole` of an object is not a multiple of its field `part`."""
    a, b = getattr(of, whole), getattr(of, part)
    if a % b:
        raise InputError(
            whole, a, f"not a multiple of {part} = {b}", f"choose {part} from the divisors of {a}"
        )
