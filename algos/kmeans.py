"""Masked k-means (MVQ eqs. 1-4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sim.errors import InputError

CHUNK = 1 << 24  # elements of a distance block, 64 MB in float32


@dataclass(frozen=True)
class Clustering:
    """codebook [k, d], assignments int64 [n], and the masked SSE after every iteration."""

    codebook: Tensor
    assignments: Tensor
    objective: tuple[float, ...]


def assign(vectors: Tensor, masks: Tensor, codebook: Tensor) -> Tensor:
    """argmin_c ||w - c o m||^2 (eq. 2), int64 [n].

    ||w - c o m||^2 = ||w||^2 - 2 w.c + m.(c o c) since w is 0 where m is: two GEMMs.
    """
    rows = max(1, CHUNK // len(codebook))
    squares = (codebook * codebook).T
    blocks = zip(vectors.split(rows), masks.split(rows), strict=True)
    return torch.cat([(m @ squares - 2 * w @ codebook.T).argmin(1) for w, m in blocks])


def update(vectors: Tensor, masks: Tensor, assignments: Tensor, codebook: Tensor) -> Tensor:
    """c = sum w / sum m over the members (eq. 4); elements without a member keep their value.

    So does the whole codeword of an empty cluster; it is not seeded anew.
    """
    total = torch.zeros_like(codebook).index_add_(0, assignments, vectors)
    count = torch.zeros_like(codebook).index_add_(0, assignments, masks)
    return torch.where(count > 0, total / count.clamp(min=1), codebook)


def masked_sse(vectors: Tensor, masks: Tensor, codebook: Tensor, assignments: Tensor) -> float:
    """The objective (eq. 1)."""
    return float(((vectors - codebook[assignments] * masks) ** 2).sum())


def masked_kmeans(
    vectors: Tensor, masks: Tensor | None, k: int, *, seed: int = 0, iterations: int = 100,
    tolerance: float = 1e-3,
) -> Clustering:
    """Clusters sub-vectors; without masks this is plain k-means.

    Starts from k random sub-vectors and stops when fewer than `tolerance` of the assignments
    change (MVQ sec. 4.1: 0.1 %).

    Args:
        vectors: float [n, d], 0 where masked.
        masks: bool [n, d] or None.

    Raises:
        InputError: k exceeds half of the sub-vectors: such a codebook compresses nothing.
    """
    if not 0 < k <= len(vectors) // 2:
        raise InputError("k", k, f"the layer has {len(vectors)} sub-vectors",
                         f"use at most {len(vectors) // 2}, or share the codebook across layers")
    m = torch.ones_like(vectors) if masks is None else masks.to(vectors.dtype)
    w = vectors * m
    generator = torch.Generator().manual_seed(seed)
    codebook = w[torch.randperm(len(w), generator=generator)[:k]].clone()
    assignments = assign(w, m, codebook)
    objective = [masked_sse(w, m, codebook, assignments)]
    for _ in range(iterations):
        codebook = update(w, m, assignments, codebook)
        renewed = assign(w, m, codebook)
        changed = int((renewed != assignments).sum())
        assignments = renewed
        objective.append(masked_sse(w, m, codebook, assignments))
        if changed < tolerance * len(w):
            break
    return Clustering(codebook, assignments, tuple(objective))
