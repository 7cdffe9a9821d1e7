"""The one exception for bad input: it names the field, the value and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from a user; the command line turns it into exit status 2."""

    def __init__(self, field: str, value: object, problem: str, fix: str) -> None:
        self.field, self.value, self.problem, self.fix = field, value, problem, fix
        super().__init__(f"{field} = {value!r}: {problem}. Fix: {fix}.")


def nearest(name: str, known: Iterable[str]) -> str:
    """A fix that names the closest known name, or lists all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"use {close[0]!r}" if close else f"use one of {', '.join(known)}"


def require_multiple(of: object, whole: str, part: str) -> None:
    """Raises InputError where the field `whole` of an object is not a multiple of its field `part`."""
    a, b = getattr(of, whole), getattr(of, part)
    if a % b:
        raise InputError(
            whole, a, f"not a multiple of {part} = {b}", f"choose {part} from the divisors of {a}"
        )
