"""Inputs of layers rounded as they come, to a few bits a token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from algos.compensation.scales import LEAST_BITS, MOST_BITS
from sim.errors import InputError


@dataclass(frozen=True)
class Activations:
    """Levels of every token by its own range, as GPTAQ's and QuaRot's scripts measure W4A4.

    Attributes:
        bits: of a level.
        clip: share of the range that the levels cover; what lies beyond takes the last one (theirs is 0.9).
    """

    bits: int = 4
    clip: float = 0.9

    def __post_init__(self) -> None:
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            problem = f"levels have {LEAST_BITS} to {MOST_BITS}"
            raise InputError("activations", self.bits, problem, "use 4")
        if not 0 < self.clip <= 1:
            raise InputError("clip", self.clip, "is no share of a range", "use 0.9, or 1 for all of it")

    def rounded(self, values: Tensor) -> Tensor:
        """Nearest levels of values [..., channels]: asymmetric, 0 among them."""
        low = self.clip * values.amin(-1, keepdim=True).clamp(max=0)
        high = self.clip * values.amax(-1, keepdim=True).clamp(min=0)
        last = 2**self.bits - 1
        scale = (high - low) / last
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        zero = torch.round(-low / scale)
        return ((torch.round(values / scale) + zero).clamp(0, last) - zero) * scale

    def put_on(self, layer: nn.Module) -> None:
        """Makes a layer read rounded inputs from here on."""
        layer.register_forward_pre_hook(lambda _, args: (self.rounded(args[0]), *args[1:]))
