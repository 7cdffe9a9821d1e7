"""Where what Numba compiles is kept, and a word to `sim.steps` while it compiles."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config, event

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
            config.CACHE_DIR = _temporary()  # type: ignore[attr-defined]
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            return njit(**options)(function)

    return decorate


def _temporary() -> str:
    """A folder for temporary files, this user's; "" where there is none.

    Numba runs the code that it finds there: a folder in which others can write is not taken.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"codeword-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return ""
    own = folder.is_dir() and not folder.is_symlink() and found.st_uid == os.getuid()
    return str(folder) if own and not found.st_mode & 0o022 else ""


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
