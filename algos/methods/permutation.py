"""Output channels in an order in which sub-vectors are easier to cluster (PQF, arXiv 2010.15703, section 3.2).

The error that k codewords leave grows with the determinant of the covariance of the sub-vectors. Which channels share
a sub-vector, and at which place, is free where what reads them is permuted too: the network computes the same.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos.frontend.equalization import HOMOGENEOUS, pairs
from algos.methods.plan import Target
from sim.errors import InputError

SWAPS = 2000
"""Tried for each layer; PQF tries as many."""

POINTWISE = (
    *HOMOGENEOUS,
    *(f"aten.{name}." for name in ("relu6", "relu6_", "hardtanh", "hardtanh_", "silu", "silu_", "gelu")),
    *(f"aten.{name}." for name in ("hardswish", "hardswish_", "sigmoid", "tanh", "elu", "mish")),
)
"""What treats all channels alike."""


def permute(module: nn.Module, example: Any, targets: Collection[Target], seed: int = 0) -> list[str]:
    """Permutes, in place, output channels of convolutions whose only reader is another convolution.

    Args:
        example: what the module takes; by data flow it tells who reads what.
        targets: layers to be clustered along their outputs.

    Returns:
        Names of the layers that were permuted.

    Raises:
        InputError: no example, or several tensors.
    """
    if not isinstance(example, Tensor):
        problem = "needs to see who reads which channels, in a run on one tensor"
        raise InputError("permute", True, problem, "give batches, of a module that takes one tensor")
    wanted = {one.layer: one for one in targets if one.axis == "output" and not one.added}
    done = []
    for pair in pairs(module, example, POINTWISE):
        target = wanted.get(pair.first)
        if target is None or pair.first.groups > 1 or pair.second.groups > 1:
            continue
        order = torch.from_numpy(best_order(pair.first.weight, target.d, seed))
        with torch.no_grad():
            for part in (pair.first, pair.norm):
                for tensor in () if part is None else (*part.parameters(), *part.buffers()):
                    if tensor.ndim:
                        tensor.copy_(tensor[order.to(tensor.device)])
            weight = pair.second.weight
            weight.copy_(weight[:, order.to(weight.device)])
        done.append(target.name)
    return done


def best_order(weight: Tensor, d: int, seed: int = 0) -> np.ndarray:
    """int64 [K]: which output channel to put at each place.

    Channels of like variance share a place in the sub-vectors first; then pairs change places for as long as the
    determinant falls. It follows from the products of the channels alone.

    Args:
        weight: [K, ...]; d divides K.
    """
    rows = weight.detach().double().flatten(1).cpu().numpy()
    products, sums, count = rows @ rows.T, rows.sum(1), rows.size // d

    def spread(order: np.ndarray) -> float:
        groups = order.reshape(-1, d)
        second = products[groups[:, :, None], groups[:, None, :]].sum(0) / count
        mean = sums[groups].sum(0) / count
        return float(
            np.linalg.slogdet(second - np.outer(mean, mean) + 1e-12 * np.trace(products) * np.eye(d))[1]
        )

    given = np.arange(len(rows))
    by_variance = np.argsort(-rows.var(1), kind="stable").reshape(d, -1).T.reshape(-1)
    order = min((given, by_variance), key=spread)
    best, rng = spread(order), np.random.default_rng(seed)
    for one, other in rng.integers(len(rows), size=(SWAPS, 2)):
        tried = order.copy()
        tried[[one, other]] = order[[other, one]]
        if (found := spread(tried)) < best:
            order, best = tried, found
    return order
