"""Text as bytes, cut into windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sim.errors import InputError

HELD_OUT = 10
"""Parts of a text, of which the last is for measurements."""


def load(path: str | Path) -> Tensor:
    """The bytes of a text file, uint8 [n].

    Raises:
        InputError: it is not there, or empty.
    """
    try:
        found = torch.from_numpy(np.fromfile(path, np.uint8))
    except OSError as error:
        raise InputError("text", str(path), f"cannot be read: {error.strerror}", "give a text file") from None
    if not len(found):
        raise InputError("text", str(path), "is empty", "give a text file")
    return found


def parts(text: Tensor) -> tuple[Tensor, Tensor]:
    """What is for training and calibration, and behind it what is held out."""
    border = len(text) - len(text) // HELD_OUT
    return text[:border], text[border:]


def windows(tokens: Tensor, length: int, count: int | None = None, seed: int | None = None) -> Tensor:
    """Windows of a text, int64 [count, length].

    Args:
        count: windows; None for all that follow one another.
        seed: of random beginnings; None for windows that follow one another from the first token on.

    Raises:
        InputError: the text is shorter than they need.
    """
    needed = length * (count or 1) if seed is None else length
    if len(tokens) < needed:
        raise InputError(
            "windows",
            f"{count or 1} of {length}",
            f"the text has {len(tokens)} tokens",
            "give more text, or use fewer or shorter ones",
        )
    if seed is None:
        count = count or len(tokens) // length
        return tokens[: count * length].reshape(count, length).long()
    starts = torch.randint(
        len(tokens) - length + 1,
        (count or len(tokens) // length,),
        generator=torch.Generator().manual_seed(seed),
    )
    return torch.stack([tokens[start : start + length] for start in starts.tolist()]).long()


@dataclass
class Pairs:
    """Batches of windows from random places, with the token that follows each.

    Attributes:
        tokens: of the whole text, [n].
        length: of a window.
        batch: windows of an update.
        updates: batches of an epoch.
        generator: of the places.
    """

    tokens: Tensor
    length: int
    batch: int
    updates: int
    generator: torch.Generator

    def __len__(self) -> int:
        return self.updates

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self.updates):
            starts = torch.randint(len(self.tokens) - self.length, (self.batch,), generator=self.generator)
            found = torch.stack([self.tokens[start : start + self.length + 1] for start in starts.tolist()])
            yield found[:, :-1].long(), found[:, 1:].long()
