"""SDEdit (Meng et al., ICLR 2022): the clip is made noisy in part and denoised under the target prompt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algos.video import schedules
from algos.video.edits import Edit
from algos.video.models import VideoModel
from algos.video.process import Guide, Level, guided, levels
from algos.video.store import denoised
from sim.errors import InputError


@dataclass(frozen=True)
class SdEditConfig:
    """How SDEdit edits.

    Attributes:
        steps, shift: of the schedule.
        strength: share of the steps that are taken; more changes more.
        scale: of the guidance.
        seed: of the noise.
    """

    steps: int = schedules.STEPS
    shift: float = schedules.SHIFT
    strength: float = 0.6
    scale: float = 7.5
    seed: int = 42

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise InputError("--strength", self.strength, "is no share of the steps", "use above 0, up to 1")


def edit(model: VideoModel, clip: Tensor, task: Edit, config: SdEditConfig) -> Tensor:
    """The edited clip, [1, channels, frames, height, width] as the source clip; outside a given mask the source.

    Raises:
        InputError: what `Edit.check` refuses.
    """
    task.check(model, clip)
    path = levels(model, config.steps, config.shift)
    path = path[len(path) - 1 - max(1, round(config.strength * (len(path) - 1))) :]
    guide = Guide(task.text(model, "target"), task.text(model, "none"), config.scale)
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(config.seed)).to(clip.device)

    def move(_: int, noisy: Tensor, level: Level, after: Level) -> Tensor:
        return after.of(*guided(model, noisy, level, guide))

    found = denoised(path[0].of(clip, noise), path, move)
    return found if task.mask is None else torch.where(task.mask.to(clip.device), found, clip)
