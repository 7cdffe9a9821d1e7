"""Weights of uniform levels: each weight an integer of a few bits, a scale for some inputs of an output."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algos.weights.bits import Bits
from algos.weights.codebook import IntegerWeight
from sim.errors import InputError
from sim.network import DenseWeight, Int2Weight, Int3Weight, Int4Weight, ScaledWeight

SCALE_BITS = 16
"""Of a real scale as it is counted: float16, as GPTQ's kernels and GGUF's files store it."""

KINDS: dict[int, type[ScaledWeight]] = {4: Int4Weight, 3: Int3Weight, 2: Int2Weight}
"""Weights of a network of integers with scales of groups, by the bits of an element."""


def laid_out(weight: Tensor) -> Tensor:
    """[m, n] of a weight [m, c, ...]: the inputs of one kernel position together, which share scales."""
    return weight.movedim(1, -1).flatten(1)


def folded(rows: Tensor, shape: torch.Size) -> Tensor:
    """The weight of `laid_out`."""
    outputs, inputs, *kernel = shape
    return rows.reshape(outputs, *kernel, inputs).movedim(-1, 1)


def array(rows: Tensor, shape: torch.Size) -> np.ndarray:
    """[K, c, Ky, Kx] of rows [m, Ky * Kx * c] with c values a kernel position, for a weight of that shape."""
    outputs, _, ky, kx = (*tuple(shape), 1, 1)[:4]
    return rows.cpu().numpy().reshape(outputs, ky, kx, -1).transpose(0, 3, 1, 2)


class ScalarWeight(IntegerWeight):
    """(codes - zero) * scale.

    Args:
        codes: levels, int16 [m, n], as `laid_out` puts them.
        scale: [m, n / group].
        zero: int16 [m, n / group].
        shape: of the weight, m * n elements.
        bits: of a level.
        step: of the scales, [m, 1], where they are whole multiples of one.
    """

    step: Tensor | None

    def __init__(
        self,
        codes: Tensor,
        scale: Tensor,
        zero: Tensor,
        shape: torch.Size,
        bits: int,
        step: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.bits = shape, bits
        for name, value in (("codes", codes), ("scale", scale), ("zero", zero), ("step", step)):
            self.register_buffer(name, None if value is None else value.clone())

    @property
    def group(self) -> int:
        """Inputs that share a scale."""
        return self.codes.shape[1] // self.scale.shape[1]

    def forward(self, weight: Tensor) -> Tensor:
        scale, zero = (each.repeat_interleave(self.group, 1) for each in (self.scale, self.zero))
        return folded((self.codes - zero) * scale, self.shape).to(weight.dtype)

    def stored(self) -> DenseWeight | ScaledWeight:
        """The levels as they are: in INT8 with one scale an output, else with whole scales of groups.

        Raises:
            InputError: what the network of integers has no weight for: zero points, other scales of groups, or groups
                of other bits.
        """
        if self.zero.any():
            problem = "zero points, and weights of a network of integers have none"
            raise InputError("zero_points", True, problem, "use levels around 0")
        codes = array(self.codes, self.shape).astype(np.int8)
        if self.scale.shape[1] == 1:
            return DenseWeight(codes)
        if self.step is None or self.bits not in KINDS:
            problem = "its scales are no small integers" if self.bits in KINDS else f"has no {self.bits} bits"
            fix = f"use whole scales and {', '.join(map(str, sorted(KINDS)))} bits, or leave the group out"
            raise InputError("group", self.group, f"as a network of integers has it, {problem}", fix)
        levels = torch.round(self.scale / self.step).to(torch.int16)
        return KINDS[self.bits](codes, array(levels, self.shape).astype(np.uint8), self.group)

    def scales(self) -> np.ndarray:
        one = self.scale if self.step is None or self.scale.shape[1] == 1 else self.step
        return one[:, 0].double().cpu().numpy()


def scalar_bits(
    outputs: int, inputs: int, bits: int, groups: int, zeros: bool, scale_levels: int | None
) -> Bits:
    """Of a layer.

    Args:
        bits: of a level.
        groups: of each output, with a scale each.
        zeros: whether each scale has a zero point of as many bits as a level.
        scale_levels: as those of a `Rounding`; the step of an output is part of its requantization, and not counted.
    """
    weights = outputs * inputs
    each = zeros * bits + (SCALE_BITS if scale_levels is None else (scale_levels - 1).bit_length())
    return Bits(weights, assignments=weights * bits, scales=outputs * groups * each)
