"""Where what Numba compiles is kept, and a word to `sim.steps` while it compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import config, event

from sim import caches
from sim.steps import tell

COMPILING = "compiling once, about 30 s"
"""Where the result is kept; a process that can write nowhere does it each time."""


def kept(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(**options)` whose machine code is kept for the next process.

    In NUMBA_CACHE_DIR, beside the source or in the user's cache, as Numba does; from a read-only installation
    without a home in a folder for temporary files; where that cannot be written either, in memory alone.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # Numba finds no place: "no locator available"
            config.CACHE_DIR = caches.temporary()  # type: ignore[attr-defined]
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            return njit(**options)(function)

    return decorate


class _Compiling(event.Listener):  # type: ignore[misc]
    """Tells of compilations, not of those within one; there are none where the result was kept."""

    def __init__(self) -> None:
        self.depth = 0

    def on_start(self, event: event.Event) -> None:
        if not self.depth:
            tell(COMPILING, 0, 1)
        self.depth += 1

    def on_end(self, event: event.Event) -> None:
        self.depth -= 1
        if not self.depth:
            tell(COMPILING, 1, 1)


event.register("numba:compile", _Compiling())
