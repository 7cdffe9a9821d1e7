"""FreeMask (arXiv 2409.20500): attention of the source clip is fused with that of the edit, under chosen masks.

Without masks it is an editor by attention injection, which runs on transformers too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.video import schedules
from algos.video.attention import Site, opened, sites
from algos.video.edits import Edit
from algos.video.masks import THRESHOLD, CodeTable, binarized, word_map
from algos.video.models import VideoModel
from algos.video.process import Guide, Level, guided, levels
from algos.video.store import BITS, Bits, Store, denoised, inverted
from sim.errors import InputError, nearest

Masks = Literal["chosen", "fixed", "none"]
"""By the code table; the layers and steps that FreeMask's code has; attention is replaced everywhere."""


@dataclass(frozen=True)
class Manner:
    """How a kind of edit uses masks.

    Attributes:
        cross, self_, temporal: shares of the steps in which this attention is fused.
        paired: over time, queries and keys of the source stay inside the mask; else probabilities are replaced.
        varying: masks of the step itself; else of the one step of least cost.
        threshold: of the masks.
    """

    cross: float
    self_: float
    temporal: float
    paired: bool
    varying: bool
    threshold: float = THRESHOLD


MANNERS = {
    "style": Manner(0.9, 0.01, 0.9, paired=False, varying=False),  # giraffe_style
    "shape": Manner(0.5, 0.3, 0.99, paired=True, varying=True, threshold=0.4),  # girl_jump_shape
    "attribute": Manner(0.5, 0.3, 0.99, paired=False, varying=False),  # assumed: shape's, without pairs
}
"""Settings of FreeMask's code, by what is edited."""

FIXED_STEP = 10 / 50
"""Of the inversion: where the code takes masks over time from."""


@dataclass(frozen=True)
class FreeMaskConfig:
    """How FreeMask edits.

    Attributes:
        steps: of inversion and denoising each.
        scale: of the guidance on the way back; the inversion has none.
        manner: one of MANNERS.
        masks: where the masks come from, if none is given.
        blend: whether the clip itself outside the mask is that of the inversion, in every step (off in the code).
        bits: of a stored probability: 16 (float16, the code's), 8 or 4.
    """

    steps: int = schedules.STEPS
    scale: float = 7.5
    manner: str = "attribute"
    masks: Masks = "chosen"
    blend: bool = False
    bits: Bits = 16

    def __post_init__(self) -> None:
        if self.manner not in MANNERS:
            raise InputError("--manner", self.manner, "is no kind of edit", nearest(self.manner, MANNERS))
        if self.masks not in get_args(Masks):
            raise InputError("--masks", self.masks, "unknown", nearest(self.masks, get_args(Masks)))
        if self.bits not in BITS:
            raise InputError("--bits", self.bits, "is no width of a map", f"use {', '.join(map(str, BITS))}")


class SourceMasks:
    """Masks of the words at any resolution, from the stored cross-attention or from one that is given.

    Args:
        layers: whose maps are averaged.
        step: of the inversion, where masks do not vary, and of those over time.
    """

    def __init__(
        self,
        store: Store,
        words: Sequence[int],
        layers: Sequence[str],
        step: int,
        manner: Manner,
        ratio: float,
    ) -> None:
        self.store, self.words, self.layers, self.step = store, words, layers, step
        self.manner, self.ratio = manner, ratio

    def at(self, size: tuple[int, int], step: int, over_time: bool = False) -> Tensor:
        """bool [frames, *size]."""
        chosen = self.step if over_time or not self.manner.varying else step
        maps = self.store.steps[chosen].maps
        found = [word_map(maps[name].float(), self.words, self.ratio) for name in self.layers]
        large = max((each.shape[1:] for each in found), key=lambda shape: shape[0])
        grown = [F.interpolate(each[:, None], large, mode="bilinear")[:, 0] for each in found]
        return binarized(torch.stack(grown).mean(0), size, self.manner.threshold)


class GivenMask:
    """A mask from outside, in place of `SourceMasks`; bool [frames, height, width]."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def at(self, size: tuple[int, int], step: int, over_time: bool = False) -> Tensor:
        """bool [frames, *size]: a place is inside where any of its pixels is."""
        return F.adaptive_max_pool2d(self.mask[:, None].float(), size)[:, 0] > 0


class Fusion:
    """Puts the stored attention of one step in place of the edit's, outside the mask.

    Of a batch the second half is edited, which has the prompt. The values are always the edit's own.

    Args:
        mapper: for each token of the target prompt the one of the source prompt that it stands for, or -1.
    """

    def __init__(
        self,
        store: Store,
        number: int,
        masks: SourceMasks | GivenMask | None,
        manner: Manner,
        mapper: Tensor,
        ratio: float,
    ) -> None:
        self.kept = store.steps[len(store.steps) - number - 1]
        self.progress, self.step = number / len(store.steps), len(store.steps) - number - 1
        self.masks, self.manner, self.mapper, self.ratio = masks, manner, mapper, ratio

    def projections(self, site: Site, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Over time: the source's motion inside the mask, the other way round than maps are fused."""
        kept = self.kept.pairs.get(site.name)
        if kept is None or not self.manner.paired or self.progress >= self.manner.temporal:
            return queries, keys
        places = len(queries) // 2
        inside = True if self.masks is None else self._over_time(places)
        fused = [
            torch.cat([now[:places], torch.where(torch.as_tensor(inside), stored.float(), now[places:])])
            for now, stored in zip((queries, keys), kept, strict=True)
        ]
        return fused[0], fused[1]

    def probabilities(self, site: Site, found: Tensor) -> Tensor:
        share = {
            "cross": self.manner.cross,
            "self": self.manner.self_,
            "joint": self.manner.self_,
            "temporal": 0.0 if self.manner.paired else self.manner.temporal,
        }[site.kind]
        kept = self.kept.maps.get(site.name)
        if kept is None or self.progress >= share:
            return found
        half = len(found) // 2
        edited, stored = found[half:], kept.float()
        if site.kind == "cross":
            stands = self.mapper >= 0
            stored = torch.where(stands, stored[..., self.mapper.clamp(min=0)], edited)
        if self.masks is not None and site.kind in ("self", "cross"):
            size = _size(found.shape[2], self.ratio)
            inside = self.masks.at(size, self.step).flatten(1)[:, None, :, None]
            stored = torch.where(inside, edited, stored)
        return torch.cat([found[:half], stored])

    def _over_time(self, places: int) -> Tensor:
        """bool [places, 1, frames, 1]."""
        assert self.masks is not None
        found = self.masks.at(_size(places, self.ratio), self.step, over_time=True)
        return found.flatten(1).T[:, None, :, None]


def _size(places: int, ratio: float) -> tuple[int, int]:
    rows = round((places * ratio) ** 0.5)
    return rows, places // rows


def edit(
    model: VideoModel, clip: Tensor, task: Edit, config: FreeMaskConfig, codes: CodeTable | None = None
) -> Tensor:
    """The edited clip, [1, channels, frames, height, width] as the source clip.

    Args:
        codes: of the model, for masks that are chosen.

    Raises:
        InputError: what `Edit.check` refuses, or masks that are chosen without a table.
    """
    return fused(model, clip, task, config, codes)[0]


def fused(
    model: VideoModel, clip: Tensor, task: Edit, config: FreeMaskConfig, codes: CodeTable | None = None
) -> tuple[Tensor, Store]:
    """The edited clip, and what the inversion has stored."""
    task.check(model, clip)
    manner, path = MANNERS[config.manner], levels(model, config.steps)
    store, ratio = Store(paired=manner.paired, bits=config.bits), clip.shape[3] / clip.shape[4]
    source = inverted(model, clip, task.text(model, "source"), path, store)
    masks = _masks(model, task, config, codes, store, ratio)
    guide = Guide(task.text(model, "target"), task.text(model, "none"), config.scale)
    mapper = mapping(model, task, guide.prompt.shape[1])

    def move(number: int, noisy: Tensor, level: Level, after: Level) -> Tensor:
        visitor = Fusion(store, number, masks, manner, mapper, ratio)
        with opened(model.backbone, visitor):
            found = after.of(*guided(model, noisy, level, guide))
        if not config.blend or masks is None:
            return found
        inside = masks.at((clip.shape[3], clip.shape[4]), visitor.step)
        return torch.where(inside, found, source[visitor.step])

    return denoised(source[-1], path, move), store


def mapping(model: VideoModel, task: Edit, tokens: int) -> Tensor:
    """For each token of the target prompt the token of the source prompt whose column it takes, or -1; int64 [tokens].

    Prompts of as many words map place by place (the code's replace), others by what they have in common (refine).
    """
    source, target = model.text.split(task.source), model.text.split(task.target)
    found = torch.arange(tokens)
    if len(source) == len(target):
        return found
    found[: max(len(source), len(target))] = -1
    for kind, a, _, c, d in SequenceMatcher(None, source, target, autojunk=False).get_opcodes():
        if kind == "equal":
            found[c:d] = torch.arange(a, a + d - c)
    return found


def fixed_layers(model: VideoModel, store: Store) -> list[str]:
    """Cross-attention of the middle resolution, as FreeMask's code takes the 16x16 of 64, 32, 16 and 8."""
    cross = [name for name, site in sites(model.backbone).items() if site.kind == "cross"]
    places = {name: store.steps[0].maps[name].shape[2] for name in cross if name in store.steps[0].maps}
    sizes = sorted(set(places.values()), reverse=True)
    return [name for name in places if places[name] == sizes[len(sizes) // 2]]


def _masks(
    model: VideoModel, task: Edit, config: FreeMaskConfig, codes: CodeTable | None, store: Store, ratio: float
) -> SourceMasks | GivenMask | None:
    if task.mask is not None:
        return GivenMask(task.mask)
    if config.masks == "none":
        return None
    words, manner = task.places(model), MANNERS[config.manner]
    if config.masks == "fixed":
        step = round(FIXED_STEP * config.steps)
        return SourceMasks(store, words, fixed_layers(model, store), step, manner, ratio)
    if codes is None:
        raise InputError("--masks", "chosen", "needs the model's code table", "calibrate it, or use fixed")
    return SourceMasks(store, words, [codes.layer], codes.step(config.steps), manner, ratio)
