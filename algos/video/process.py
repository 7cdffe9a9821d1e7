"""What flow matching and DDPM have in common: a noisy clip is A x clip + S x noise, and a model tells both parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from algos.video import schedules
from algos.video.models import VideoModel
from sim.errors import InputError


class Level(NamedTuple):
    """How noisy a clip is.

    Attributes:
        time: as the backbone counts it.
        clip, noise: factors A and S.
    """

    time: float
    clip: float
    noise: float

    @property
    def sigma(self) -> float:
        """The sigma of flow matching at which signal and noise stand in the same ratio."""
        return self.noise / (self.clip + self.noise)

    def of(self, clip: Tensor, noise: Tensor) -> Tensor:
        """The noisy clip."""
        return self.clip * clip + self.noise * noise


class Parts(NamedTuple):
    """What a model believes a noisy clip to be made of."""

    clip: Tensor
    noise: Tensor

    @property
    def velocity(self) -> Tensor:
        """The drift of the flow, noise minus clip."""
        return self.noise - self.clip


CLEAN = Level(0.0, 1.0, 0.0)


def levels(model: VideoModel, steps: int = schedules.STEPS, shift: float = schedules.SHIFT) -> list[Level]:
    """From noise to the clip, steps + 1 of them, as the model's kind has them.

    Args:
        shift: of a flow's sigmas.

    Raises:
        InputError: a number of steps that no schedule has.
    """
    if not 2 <= steps <= schedules.TRAINED // 2:
        raise InputError("--steps", steps, "is no number of steps", f"use 2 to {schedules.TRAINED // 2}")
    if model.predicts == "flow":
        found = schedules.sigmas(steps, shift).tolist()
        return [Level(schedules.TRAINED * sigma, 1 - sigma, sigma) for sigma in found]
    kept = schedules.alpha_bars()
    times = schedules.ddim_steps(steps).tolist()
    return [*(Level(time, float(kept[time].sqrt()), float((1 - kept[time]).sqrt())) for time in times), CLEAN]


@dataclass(frozen=True)
class Guide:
    """Texts of a prompt and of none, [1, tokens, channels] each, and how far to go from one to the other."""

    prompt: Tensor
    none: Tensor
    scale: float

    @property
    def texts(self) -> Tensor:
        """[2, tokens, channels]: without the prompt, with it."""
        return torch.cat([self.none, self.prompt])


def parts(model: VideoModel, noisy: Tensor, level: Level, text: Tensor) -> Parts:
    """Of noisy clips [n, ...] under texts [n, ...], in float32."""
    times = torch.full((len(noisy),), level.time, device=noisy.device)
    found = model(noisy, times, text).float()
    if model.predicts == "flow":
        return Parts(noisy - level.noise * found, noisy + level.clip * found)
    if model.predicts == "noise":
        return Parts((noisy - level.noise * found) / level.clip, found)
    # "v", which is A x noise - S x clip where A^2 + S^2 = 1
    return Parts(level.clip * noisy - level.noise * found, level.noise * noisy + level.clip * found)


def guided(model: VideoModel, noisy: Tensor, level: Level, guide: Guide) -> Parts:
    """Classifier-free guidance (Ho and Salimans, arXiv 2207.12598) of one noisy clip, in a batch of two."""
    found = parts(model, noisy.expand(2, *noisy.shape[1:]), level, guide.texts)
    clip, noise = (each[:1] + guide.scale * (each[1:] - each[:1]) for each in found)
    return Parts(clip, noise)
