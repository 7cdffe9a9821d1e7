"""The nearest codewords of each sub-vector: the vertices of its convex hull (VQ4DiT eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sim.errors import InputError

CHUNK = 1 << 20  # elements of a block of distances, 4 MB in float32 and 8 MB as keys


@dataclass(frozen=True)
class Candidates:
    """indices int64 [L, n] and Euclidean distances float32 [L, n], nearest first."""

    indices: Tensor
    distances: Tensor


@torch.no_grad()
def nearest(vectors: Tensor, codebook: Tensor, n: int) -> Candidates:
    """The n nearest codewords of each sub-vector, the lower index first among equals.

    ||w - c||^2 = ||w||^2 - 2 w.c + ||c||^2 chooses them, so that which of two codewords comes n-th is
    exact to the rounding of this sum; differences of the chosen ones give order and distances. Besides the
    result this takes memory for some CHUNK elements, whatever L and k.

    Args:
        vectors: float32 [L, d].
        codebook: float32 [k, d].

    Raises:
        InputError: n is not in 1..k.
    """
    k, d = codebook.shape
    if not 0 < n <= k:
        raise InputError("candidates", n, f"the codebook has {k} codewords", f"choose 1..{k}")
    indices = torch.empty(len(vectors), n, dtype=torch.long, device=vectors.device)
    distances = torch.empty(len(vectors), n, dtype=torch.float32, device=vectors.device)
    codewords = torch.arange(k, device=vectors.device)
    norms, transposed = codebook.square().sum(1), codebook.T
    rows = max(1, CHUNK // max(k, n * d))
    for first in range(0, len(vectors), rows):
        w = vectors[first : first + rows]
        squares = torch.addmm(norms, w, transposed, alpha=-2) + w.square().sum(1, keepdim=True)
        chosen = _smallest(squares, codewords.expand_as(squares), n)[1].sort(1).values
        exact = (codebook[chosen] - w[:, None]).square().sum(2)
        squares, chosen = _smallest(exact, chosen, n)
        indices[first : first + rows], distances[first : first + rows] = chosen, squares.sqrt()
    return Candidates(indices, distances)


def _smallest(values: Tensor, indices: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n smallest of each row in ascending order with their indices; the lower index first among equals.

    A float32 that is not negative orders as its bits do; the index below them makes every key unique.
    """
    keys = values.clamp(min=0).view(torch.int32).long() << 32 | indices
    found = keys.topk(n, dim=1, largest=False, sorted=True).values
    return (found >> 32).int().view(torch.float32), found & 0xFFFFFFFF
