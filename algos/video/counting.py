"""What an edit takes of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from algos.video.models import VideoModel


@contextmanager
def counted(model: VideoModel) -> Iterator[list[int]]:
    """Clips of each call of the model, in order."""
    calls: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, given: _note(calls, given))
    try:
        yield calls
    finally:
        handle.remove()


def _note(calls: list[int], given: tuple[Any, ...]) -> None:
    calls.append(len(given[0]))
