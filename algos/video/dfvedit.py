"""DFVEdit (arXiv 2506.20967): a clip is edited by the difference of two flows, without inversion.

Source and edited clip are made noisy by the same noise, the model tells the flow of each under its own prompt, and the
edited clip moves along the difference, the conditional delta flow vector (CDFV).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from algos.video import schedules
from algos.video.edits import Edit
from algos.video.guidance import WordMaps
from algos.video.models import VideoModel
from algos.video.process import Guide, Level, Parts, guided, levels
from sim.errors import InputError
from sim.steps import steps

SIDES = ("target", "source", "none")


@dataclass(frozen=True)
class DfvEditConfig:
    """How DFVEdit edits; defaults are those of its code (1fcadb2), where it has them.

    Attributes:
        steps: levels of the schedule; the first, pure noise, is skipped.
        shift: of a flow's sigmas.
        source_scale, target_scale: of the guidance of either branch.
        attention: whether the mask comes from the model's own attention to the edited words (the paper's implicit
            cross attention), where none is given. The released code has only masks from outside.
        threshold: of the normalized attention.
        mask_after: iterations that no mask touches; -1 for none. The code compares by `>` and defaults to 100 of 50.
        reinforce: side whose edited words are amplified: the paper says target, the code does source.
        amplitude: of the amplified words, 2 in the code's example.
        seed: of the noise.
    """

    steps: int = schedules.STEPS
    shift: float = schedules.SHIFT
    source_scale: float = 5.0
    target_scale: float = 15.0
    attention: bool = True
    threshold: float = 0.4
    mask_after: int = -1
    reinforce: str = "target"
    amplitude: float = 2.0
    seed: int = 42

    def __post_init__(self) -> None:
        if self.reinforce not in SIDES:
            raise InputError("--reinforce", self.reinforce, "is no side", f"use {', '.join(SIDES)}")
        if not 0 <= self.threshold < 1:
            raise InputError("--threshold", self.threshold, "keeps all or nothing", "use 0 to 0.99")


Flow = Callable[[Tensor, Level], Parts]
"""Noisy clip and its level -> its parts under one prompt."""


def cdfv(source: Flow, target: Flow, clip: Tensor, edited: Tensor, noise: Tensor, level: Level) -> Tensor:
    """Velocity of the edited clip less that of the source, both made noisy by the same noise."""
    before = source(level.of(clip, noise), level).velocity
    return target(level.of(edited, noise), level).velocity - before


def deltas(path: Sequence[Level]) -> list[float]:
    """Sigma steps of the iterations 1 to N - 1; all negative."""
    return [after.sigma - now.sigma for now, after in pairwise(path[1:])]


def edit(model: VideoModel, clip: Tensor, task: Edit, config: DfvEditConfig) -> Tensor:
    """The edited clip, [1, channels, frames, height, width] as the source clip.

    Raises:
        InputError: what `Edit.check` refuses.
    """
    task.check(model, clip)
    guides = {
        side: Guide(
            task.text(model, side, config.reinforce, config.amplitude), task.text(model, "none"), scale
        )
        for side, scale in (("source", config.source_scale), ("target", config.target_scale))
    }
    maps = (
        None
        if task.mask is not None or not config.attention
        else WordMaps(model, task, clip.shape, config.threshold)
    )
    mask = None if task.mask is None else task.mask.to(clip.device)
    path = levels(model, config.steps, config.shift)
    random = torch.Generator().manual_seed(config.seed)
    edited = clip

    def flow(side: str) -> Flow:
        def parts(noisy: Tensor, level: Level) -> Parts:
            if maps is None:
                return guided(model, noisy, level, guides[side])
            with maps.reading(side):
                return guided(model, noisy, level, guides[side])

        return parts

    moves = list(zip(path[1:-1], deltas(path), strict=True))
    for number, (level, delta) in enumerate(steps(moves, "DFVEdit", len(moves))):
        noise = torch.randn(clip.shape, generator=random).to(clip.device)
        step = delta * cdfv(flow("source"), flow("target"), clip, edited, noise, level)
        if maps is not None:
            mask = maps.mask()
        if mask is not None and number > config.mask_after:
            step = step * mask
        edited = edited + step
    return edited
