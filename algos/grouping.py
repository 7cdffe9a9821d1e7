"""Output-channel-wise grouping (MVQ sec. 4.3): a sub-vector is d consecutive output channels."""

from __future__ import annotations

import torch
from torch import Tensor

from sim.errors import InputError


def group(weight: Tensor, d: int) -> Tensor:
    """Weight [K, C, Ky, Kx] -> sub-vectors [K/d * C * Ky * Kx, d].

    Sub-vector ((g*C + c)*Ky + y)*Kx + x holds channels g*d .. g*d+d-1 at (c, y, x).

    Raises:
        InputError: d does not divide K, or the weight is not finite.
    """
    outputs = weight.shape[0]
    if outputs % d:
        raise InputError("d", d, f"does not divide the {outputs} output channels",
                         f"choose a divisor of {outputs}, or pad the output channels")
    if not torch.isfinite(weight).all():
        raise InputError("weight", float("nan"), "holds NaN or infinity",
                         "repair the checkpoint before compressing it")
    return weight.reshape(outputs // d, d, -1).transpose(1, 2).reshape(-1, d)


def ungroup(vectors: Tensor, shape: torch.Size) -> Tensor:
    """Inverse of `group`: sub-vectors [n, d] -> weight of the given shape [K, C, Ky, Kx]."""
    d = vectors.shape[1]
    return vectors.reshape(shape[0] // d, -1, d).transpose(1, 2).reshape(shape)
