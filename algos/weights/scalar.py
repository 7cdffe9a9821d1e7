"""Weights of uniform levels: each weight an integer of a few bits, a scale for some inputs of an output."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algos.weights.bits import Bits
from algos.weights.codebook import IntegerWeight
from sim.errors import InputError
from sim.network import DenseWeight

SCALE_BITS = 16
"""Of a scale as it is counted: float16, as GPTQ's kernels and GGUF's files store it."""


class ScalarWeight(IntegerWeight):
    """(codes - zero) * scale.

    Args:
        codes: levels, int16 [m, n], n inputs of an output in the order of the weight.
        scale: [m, n / group].
        zero: int16 [m, n / group].
        shape: of the weight, m * n elements.
    """

    def __init__(self, codes: Tensor, scale: Tensor, zero: Tensor, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape
        for name, value in (("codes", codes), ("scale", scale), ("zero", zero)):
            self.register_buffer(name, value.clone())

    @property
    def group(self) -> int:
        """Inputs that share a scale."""
        return self.codes.shape[1] // self.scale.shape[1]

    def forward(self, weight: Tensor) -> Tensor:
        scale, zero = (each.repeat_interleave(self.group, 1) for each in (self.scale, self.zero))
        return ((self.codes - zero) * scale).reshape(self.shape).to(weight.dtype)

    def stored(self) -> DenseWeight:
        """The levels as they are, in INT8.

        Raises:
            InputError: more than a scale an output, or zero points: the network file has no such weight.
        """
        if self.scale.shape[1] > 1:
            problem = f"{self.scale.shape[1]} scales an output, and a network of integers has one"
            raise InputError("group", self.group, problem, "leave the group out for whole rows")
        if self.zero.any():
            problem = "zero points, and weights of a network of integers have none"
            raise InputError("zero_points", True, problem, "use levels around 0")
        outputs, inputs, ky, kx = (*tuple(self.shape), 1, 1)[:4]
        return DenseWeight(self.codes.cpu().numpy().astype(np.int8).reshape(outputs, inputs, ky, kx))

    def scales(self) -> np.ndarray:
        return self.scale[:, 0].double().cpu().numpy()


def scalar_bits(weights: int, bits: int, group: int, zeros: bool) -> Bits:
    """Of a layer.

    Args:
        weights: of it.
        bits: of a level.
        group: inputs that share a scale.
        zeros: whether each scale has a zero point of as many bits as a level.
    """
    return Bits(weights, assignments=weights * bits, scales=weights // group * (SCALE_BITS + zeros * bits))
