"""Noise levels: sigmas of flow matching (Wan) and alpha-bars of DDPM (Stable Diffusion, Zeroscope)."""

from __future__ import annotations

import torch
from torch import Tensor

SHIFT = 5.0
"""Of Wan's scheduler in DFVEdit's code."""
STEPS = 50
TRAINED = 1000
"""Noise levels of a training."""


def shifted(values: Tensor, shift: float) -> Tensor:
    """Moves sigmas towards 1, where large clips need more steps (Wan; Stable Diffusion 3)."""
    return shift * values / (1 + (shift - 1) * values)


def sigmas(steps: int = STEPS, shift: float = SHIFT) -> Tensor:
    """float64 [steps + 1], from 1 to 0, as diffusers' FlowMatchEulerDiscreteScheduler has them.

    Its least sigma is shifted once already when it is shifted again: sigma[49] of 50 is 0.0244 and not 0.0925.
    """
    least = shifted(torch.tensor(1 / TRAINED, dtype=torch.float64), shift)
    raw = torch.linspace(1, float(least), steps, dtype=torch.float64)
    return torch.cat([shifted(raw, shift), torch.zeros(1, dtype=torch.float64)])


def alpha_bars() -> Tensor:
    """float64 [1000]: what is left of the clip's variance, with Stable Diffusion's betas."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAINED, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)


def ddim_steps(steps: int = STEPS) -> Tensor:
    """int64 [steps], from much noise to little: DDIM's times, spaced as Stable Diffusion spaces them."""
    return (torch.arange(steps) * (TRAINED // steps) + 1).flip(0)
