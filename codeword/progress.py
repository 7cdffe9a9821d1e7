"""Bars of what takes long, on stderr; none where that is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sim.steps import heard_by

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

BETWEEN_S = 0.05
"""Seconds between two updates of a bar, whose cost a training of short steps would feel."""


@contextmanager
def shown() -> Iterator[None]:
    """Shows what `sim.steps` tells; a bar goes when its work is over, so that what is printed stands alone."""
    if not sys.stderr.isatty():
        yield
        return
    bars = _Bars()
    with heard_by(bars.hear):
        try:
            yield
        finally:
            bars.clear()


class _Bars:
    """A bar for each piece of work that is under way, and no display while there is none."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._updated: dict[str, float] = {}
        self._display = self._empty()

    @staticmethod
    def _empty() -> Progress:
        """rich leaves out colours by NO_COLOR, and all that moves on a dumb terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def hear(self, what: str, done: int, total: int) -> None:
        """A `sim.steps.Listener`."""
        if done == total:
            self._remove(what)
        elif what not in self._tasks:
            self._add(what, done, total)
        elif (now := time.monotonic()) - self._updated[what] > BETWEEN_S:
            self._updated[what] = now
            self._display.update(self._tasks[what], completed=done, count=f"{done}/{total}")

    def clear(self) -> None:
        """No bar is left, whatever was under way."""
        for what in list(self._tasks):
            self._remove(what)

    def _add(self, what: str, done: int, total: int) -> None:
        if not self._tasks:
            self._display = self._empty()
            self._display.start()
        # A bar of one step has no length to show: it moves to and fro.
        length, count = (None, "") if total == 1 else (total, f"{done}/{total}")
        self._tasks[what] = self._display.add_task(what, total=length, completed=done, count=count)
        self._updated[what] = time.monotonic()

    def _remove(self, what: str) -> None:
        if what in self._tasks:
            self._display.remove_task(self._tasks.pop(what))
            if not self._tasks:
                self._display.stop()
