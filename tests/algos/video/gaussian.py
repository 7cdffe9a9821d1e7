"""A flow in closed form: clips of a prompt are normal around its mean, so that the best possible model is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algos.video.process import Level, Parts


@dataclass(frozen=True)
class Gaussian:
    """Clips are mean + spread x normal; for level (A, S) a noisy clip has variance V = (A spread)^2 + S^2.

    `parts` are the conditional means of clip and noise, by the rule of jointly normal variables.
    """

    mean: Tensor
    spread: float

    def variance(self, level: Level) -> float:
        return (level.clip * self.spread) ** 2 + level.noise**2

    def parts(self, noisy: Tensor, level: Level) -> Parts:
        away = (noisy - level.clip * self.mean) / self.variance(level)
        return Parts(self.mean + level.clip * self.spread**2 * away, level.noise * away)

    def on_the_way(self, place: Tensor, level: Level) -> Tensor:
        """Where the flow has the clip mean + spread x place at a level of flow matching: the exact solution."""
        return level.clip * self.mean + self.variance(level) ** 0.5 * place

    def drift(self, place: Tensor, level: Level) -> Tensor:
        """Derivative of `on_the_way` by sigma."""
        slope = level.noise - level.clip * self.spread**2
        return -self.mean + slope / self.variance(level) ** 0.5 * place


def at(sigma: float) -> Level:
    """A level of flow matching."""
    return Level(1000 * sigma, 1 - sigma, sigma)


def pair(spreads: tuple[float, float] = (0.5, 0.8)) -> tuple[Gaussian, Gaussian]:
    """Two prompts."""
    draw = torch.Generator().manual_seed(3)
    means = torch.randn(2, 1, 1, 2, 2, 3, generator=draw, dtype=torch.float64)
    return Gaussian(means[0], spreads[0]), Gaussian(means[1], spreads[1])
