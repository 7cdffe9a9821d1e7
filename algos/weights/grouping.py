"""Grouping of weights into sub-vectors: d consecutive output channels, or d consecutive inputs."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from sim.errors import InputError

Axis = Literal["output", "input"]

_PAD = ", or pad them"


def group(weight: Tensor, d: int, axis: Axis = "output") -> Tensor:
    """Weight [K, ...] of a convolution [K, C, Ky, Kx] or a linear layer [K, C] -> sub-vectors [n, d].

    Args:
        axis: "output" (MVQ sec. 4.3, what the accelerator reads): sub-vector ((g*C + c)*Ky + y)*Kx + x holds
            channels g*d .. g*d+d-1 at (c, y, x). "input" (VQ4DiT sec. 3.1): an output's weights in
            row-major order, cut into pieces of d; the outputs follow one another.

    Raises:
        InputError: d is not positive or does not divide the axis, or the weight is not finite.
    """
    if axis not in get_args(Axis):
        raise InputError("axis", axis, "is no axis of a weight", "use output or input")
    if d < 1:
        raise InputError("d", d, "is no length of a codeword", "use 8")
    length, what = (
        (weight.shape[0], "output channels")
        if axis == "output"
        else (weight[0].numel(), "weights of an output")
    )
    if length % d:
        raise InputError(
            "d",
            d,
            f"does not divide the {length} {what}",
            f"choose a divisor of {length}{_PAD if weight.ndim == 4 else ''}",
        )
    if not torch.isfinite(weight).all():
        raise InputError(
            "weight", float("nan"), "holds NaN or infinity", "repair the checkpoint before compressing it"
        )
    if axis == "input":
        return weight.reshape(-1, d)
    return weight.reshape(length // d, d, -1).transpose(1, 2).reshape(-1, d)


def ungroup(vectors: Tensor, shape: torch.Size, axis: Axis = "output") -> Tensor:
    """Inverse of `group`: sub-vectors [n, d] -> weight of the given shape."""
    if axis == "input":
        return vectors.reshape(shape)
    d = vectors.shape[1]
    return vectors.reshape(shape[0] // d, -1, d).transpose(1, 2).reshape(shape)
