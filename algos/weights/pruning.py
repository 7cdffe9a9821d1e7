"""N:M pruning inside each sub-vector, and the two sparse trainings of MVQ sec. 6.2: SR-STE and ASP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from algos.weights.grouping import group, ungroup
from sim.errors import InputError

Method = Literal["sr-ste", "asp"]


def magnitude_mask(vectors: Tensor, n: int, m: int) -> Tensor:
    """bool [n, d]: the N largest magnitudes of every M elements are kept (MVQ sec. 4.2).

    Raises:
        InputError: m does not divide d, or n exceeds m.
    """
    if not 0 < n <= m or vectors.shape[1] % m:
        raise InputError(
            "N:M",
            f"{n}:{m}",
            f"does not fit sub-vectors of d = {vectors.shape[1]}",
            "choose M that divides d and N <= M",
        )
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


class PrunedWeight(nn.Module):
    """Parametrization: a dense weight pruned once; the weights that are left train on (ASP).

    Args:
        mask: bool, shaped like the weight.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def sparsify(layers: Iterable[nn.Module], d: int, n: int, m: int, method: Method = "sr-ste") -> None:
    """Puts the layers into sparse training.

    Args:
        method: "sr-ste" renews the masks at every step; "asp" prunes by magnitude once.
    """
    if method not in get_args(Method):
        raise InputError("method", method, "is no sparse training", "use sr-ste or asp")
    for layer in layers:
        part = (
            SparseWeight(d, n, m)
            if method == "sr-ste"
            else PrunedWeight(weight_mask(layer.weight.detach(), d, n, m))
        )
        parametrize.register_parametrization(layer, "weight", part)


def densify(layers: Iterable[nn.Module]) -> None:
    """Ends sparse training; the masked weights remain."""
    for layer in layers:
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
