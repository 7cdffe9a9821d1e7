"""N:M pruning inside each sub-vector, and SR-STE sparse training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from algos.grouping import group, ungroup
from sim.errors import InputError


def magnitude_mask(vectors: Tensor, n: int, m: int) -> Tensor:
    """bool [n, d]: the N largest magnitudes of every M elements are kept (MVQ sec. 4.2).

    Raises:
        InputError: m does not divide d, or n exceeds m.
    """
    if not 0 < n <= m or vectors.shape[1] % m:
        raise InputError("N:M", f"{n}:{m}", f"does not fit sub-vectors of d = {vectors.shape[1]}",
                         "choose M that divides d and N <= M")
    groups = vectors.abs().reshape(-1, m)
    mask = torch.zeros_like(groups, dtype=torch.bool)
    mask.scatter_(1, groups.topk(n, dim=1).indices, True)
    return mask.reshape(vectors.shape)


def weight_mask(weight: Tensor, d: int, n: int, m: int) -> Tensor:
    """bool, shaped like the weight [K, C, Ky, Kx]."""
    return ungroup(magnitude_mask(group(weight, d), n, m), weight.shape)


class _SrSte(torch.autograd.Function):
    """Forward: masked weight. Backward: straight through, plus decay of the pruned weights."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor, decay: float) -> Tensor:
        ctx.save_for_backward(weight, mask)
        ctx.decay = decay
        return weight * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight, mask = ctx.saved_tensors
        return gradient + ctx.decay * ~mask * weight, None, None


class SparseWeight(nn.Module):
    """Parametrization: N:M pruning of a dense weight, mask renewed at every forward (SR-STE).

    Args:
        decay: lambda of SR-STE, 2e-4 as its paper uses.
    """

    def __init__(self, d: int, n: int, m: int, decay: float = 2e-4) -> None:
        super().__init__()
        self.d, self.n, self.m, self.decay = d, n, m, decay

    def forward(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            mask = weight_mask(weight, self.d, self.n, self.m)
        return _SrSte.apply(weight, mask, self.decay)


def sparsify(layers: list[nn.Conv2d], d: int, n: int, m: int) -> None:
    """Puts the layers into SR-STE training."""
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", SparseWeight(d, n, m))


def densify(layers: list[nn.Conv2d]) -> None:
    """Ends SR-STE training; the masked weights remain."""
    for layer in layers:
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
