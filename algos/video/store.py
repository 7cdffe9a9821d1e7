"""Inversion, and what it stores of the source clip's attention: the memory that editors by attention pay for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor

from algos.video.attention import Kind, Site, opened
from algos.video.models import VideoModel
from algos.video.process import Level, parts
from sim.steps import steps

MOST_QUERIES = 2 * 32**2
"""Maps of more queries are not stored (FreeMask's code), as those of 64x64 places."""
MOST_PLACES = 32**2
"""Queries and keys over time are stored up to so many places."""


@dataclass
class Step:
    """Attention of one step, float16.

    Attributes:
        maps: probabilities by layer, [sequences, heads, queries, keys].
        pairs: queries and keys of the layers over time, [places, heads, frames, channels] each.
    """

    maps: dict[str, Tensor] = field(default_factory=dict)
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
    """

    def __init__(
        self, kinds: tuple[Kind, ...] = ("self", "cross", "temporal", "joint"), paired: bool = False
    ) -> None:
        self.kinds, self.paired = kinds, paired
        self.steps: list[Step] = []

    def projections(self, site: Site, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        if self.paired and site.kind == "temporal" and len(queries) <= MOST_PLACES:
            self.steps[-1].pairs[site.name] = (queries.half(), keys.half())
        return queries, keys

    def probabilities(self, site: Site, found: Tensor) -> Tensor:
        if site.kind in self.kinds and found.shape[2] <= MOST_QUERIES:
            self.steps[-1].maps[site.name] = found.half()
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
