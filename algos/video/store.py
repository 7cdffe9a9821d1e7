"""Inversion, and what it stores of the source clip's attention: the memory that editors by attention pay for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from algos.video.attention import Kind, Site, opened
from algos.video.models import VideoModel
from algos.video.process import Level, parts
from sim.steps import steps

MOST_QUERIES = 2 * 32**2
"""Maps of more queries are not stored (FreeMask's code), as those of 64x64 places."""
MOST_PLACES = 32**2
"""Queries and keys over time are stored up to so many places."""


Bits = Literal[16, 8, 4]
"""Of a stored probability: float16, or levels of the largest of its query."""
BITS: tuple[Bits, ...] = get_args(Bits)


@dataclass(frozen=True)
class Rows:
    """Probabilities of a layer in few bits: level / (2^bits - 1) of the largest of each query.

    Attributes:
        levels: uint8, flat; of 4 bits two lie in a byte, the earlier one below.
        largest: float16 [sequences, heads, queries, 1].
        shape: [sequences, heads, queries, keys].
        bits: 8 or 4.
    """

    levels: Tensor
    largest: Tensor
    shape: torch.Size
    bits: int

    @classmethod
    def of(cls, found: Tensor, bits: int) -> Rows:
        """Of probabilities, each rounded to the nearest level."""
        largest, most = found.amax(-1, keepdim=True).half(), 2**bits - 1
        share = found / largest.float().clamp(min=torch.finfo(torch.float16).tiny)
        levels = (share * most).round().clamp(max=most).to(torch.uint8).flatten()
        if bits == 4:
            low, high = (
                torch.nn.functional.pad(levels, (0, levels.numel() % 2)).unflatten(0, (-1, 2)).unbind(1)
            )
            levels = low | high << 4
        return cls(levels, largest, found.shape, bits)

    @property
    def nbytes(self) -> int:
        return self.levels.nbytes + self.largest.nbytes

    def float(self) -> Tensor:
        """float32 of the shape."""
        levels = self.levels
        if self.bits == 4:
            levels = torch.stack([levels & 15, levels >> 4], 1).flatten()[: self.shape.numel()]
        return levels.reshape(self.shape) * (self.largest.float() / (2**self.bits - 1))


@dataclass
class Step:
    """Attention of one step.

    Attributes:
        maps: probabilities by layer, [sequences, heads, queries, keys]; `float()` gives them rounded.
        pairs: float16 queries and keys of the layers over time, [places, heads, frames, channels] each.
    """

    maps: dict[str, Tensor | Rows] = field(default_factory=dict)
    pairs: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def map_bytes(self) -> int:
        return sum(found.nbytes for found in self.maps.values())

    @property
    def pair_bytes(self) -> int:
        return sum(each.nbytes for pair in self.pairs.values() for each in pair)


class Store:
    """Keeps what it sees, step by step; changes nothing.

    Args:
        kinds: of attention that are kept.
        paired: whether queries and keys over time are kept too.
        bits: of a stored probability.
    """

    def __init__(
        self,
        kinds: tuple[Kind, ...] = ("self", "cross", "temporal", "joint"),
        paired: bool = False,
        bits: Bits = 16,
    ) -> None:
        self.kinds, self.paired, self.bits = kinds, paired, bits
        self.steps: list[Step] = []

    def projections(self, site: Site, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        if self.paired and site.kind == "temporal" and len(queries) <= MOST_PLACES:
            self.steps[-1].pairs[site.name] = (queries.half(), keys.half())
        return queries, keys

    def probabilities(self, site: Site, found: Tensor) -> Tensor:
        if site.kind in self.kinds and found.shape[2] <= MOST_QUERIES:
            self.steps[-1].maps[site.name] = found.half() if self.bits == 16 else Rows.of(found, self.bits)
        return found

    @property
    def bytes(self) -> int:
        """Of all steps."""
        return sum(step.map_bytes + step.pair_bytes for step in self.steps)


def inverted(
    model: VideoModel, clip: Tensor, text: Tensor, path: list[Level], store: Store | None = None
) -> list[Tensor]:
    """The clip made noisy so that the model finds its way back (DDIM's ODE, Song et al., arXiv 2010.02502).

    Without guidance, under the source prompt. The noise of a step is predicted at the time that it goes to, as in
    FreeMask's code, so that step i of the inversion stands beside step N - i - 1 of the way back.

    Returns:
        The clips of all levels, from clean to noise, N + 1.
    """
    found = [clip]
    upwards = list(reversed(path))
    for now, after in steps(pairwise(upwards), "inversion", len(path) - 1):
        level = Level(after.time, now.clip, now.noise)
        if store is None:
            told = parts(model, found[-1], level, text)
        else:
            store.steps.append(Step())
            with opened(model.backbone, store):
                told = parts(model, found[-1], level, text)
        found.append(after.of(*told))
    return found


def denoised(noisy: Tensor, path: list[Level], move: Callable[[int, Tensor, Level, Level], Tensor]) -> Tensor:
    """From the noise of the path's first level to the clip, by DDIM or, for a flow, Euler steps.

    Args:
        move: of step, noisy clip, its level and the next one: the clip there.
    """
    for number, (level, after) in enumerate(steps(pairwise(path), "denoising", len(path) - 1)):
        noisy = move(number, noisy, level, after)
    return noisy
