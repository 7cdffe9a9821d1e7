"""k-means of sub-vectors, masked (MVQ eqs. 1-4) or plain; on magnitudes it is plain k-means of |W| (SSVQ).

Runs where the vectors are. The start is drawn on the CPU, so that a seed means the same on every device;
on the CPU it repeats to the bit, other devices may sum in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from sim.errors import InputError

CHUNK = 1 << 18
"""Elements of a block of distances: 1 MB in float32, which a core's L2 cache holds."""

Start = Literal["random", "k-means++"]


@dataclass(frozen=True)
class Clustering:
    """codebook [k, d], assignments int64 [n], and the masked SSE after every iteration."""

    codebook: Tensor
    assignments: Tensor
    objective: tuple[float, ...]


def _parts(rows: int, width: int) -> Iterator[slice]:
    """Rows in parts that take at most CHUNK elements at `width` elements a row."""
    step = max(1, CHUNK // width)
    return (slice(first, first + step) for first in range(0, rows, step))


@torch.no_grad()
def assign(vectors: Tensor, masks: Tensor | None, codebook: Tensor) -> Tensor:
    """argmin_c ||w - c o m||^2 (eq. 2), int64 [n]; the first of equals.

    ||w - c o m||^2 = ||w||^2 - 2 w.c + m.(c o c) since w is 0 where m is: two GEMMs, one without masks.

    Args:
        masks: float [n, d], or None.
    """
    squares, transposed = (codebook * codebook).T, codebook.T
    nearest = torch.empty(len(vectors), dtype=torch.long, device=vectors.device)
    rows = max(1, CHUNK // len(codebook))
    space = vectors.new_empty(min(len(vectors), rows), len(codebook))
    norms = squares.sum(0)
    masked = repeat(None) if masks is None else masks.split(rows)
    for w, m, found in zip(vectors.split(rows), masked, nearest.split(rows), strict=False):
        distance = space[: len(w)]
        if m is None:
            torch.addmm(norms, w, transposed, alpha=-2, out=distance)
        else:
            torch.mm(m, squares, out=distance).addmm_(w, transposed, alpha=-2)
        _argmin(distance, found)
    return nearest


def _argmin(distance: Tensor, out: Tensor) -> None:
    """The first of equals in each row, on any device; NumPy's takes a tenth of the time of PyTorch's on a CPU."""
    if distance.device.type == "cpu":
        np.argmin(distance.numpy(), 1, out=out.numpy())
    else:
        torch.argmin(distance, 1, out=out)


def update(vectors: Tensor, masks: Tensor | None, assignments: Tensor, codebook: Tensor) -> Tensor:
    """c = sum w / sum m over the members (eq. 4); elements without a member keep their value.

    So does the whole codeword of an empty cluster; `repaired` seeds it anew.
    """
    total = torch.zeros_like(codebook).index_add_(0, assignments, vectors)
    if masks is None:
        count = torch.bincount(assignments, minlength=len(codebook))[:, None].to(total.dtype)
    else:
        count = torch.zeros_like(codebook).index_add_(0, assignments, masks)
    return torch.where(count > 0, total / count.clamp(min=1), codebook)


def masked_sse(vectors: Tensor, masks: Tensor | None, codebook: Tensor, assignments: Tensor) -> float:
    """The objective (eq. 1)."""
    total = 0.0
    for part in _parts(*vectors.shape):
        decoded = codebook[assignments[part]]
        if masks is not None:
            decoded *= masks[part]
        total += float((vectors[part] - decoded).square_().sum())
    return total


@torch.no_grad()
def repaired(vectors: Tensor, masks: Tensor | None, assignments: Tensor, codebook: Tensor) -> Tensor:
    """The codebook with each codeword that has no member on a sub-vector of largest error.

    The others stay, so that the next assignment has no larger error.
    """
    empty = (torch.bincount(assignments, minlength=len(codebook)) == 0).nonzero()[:, 0]
    if not len(empty):
        return codebook
    errors = torch.empty(len(vectors), dtype=vectors.dtype, device=vectors.device)
    for part in _parts(*vectors.shape):
        decoded = codebook[assignments[part]]
        if masks is not None:
            decoded *= masks[part]
        errors[part] = (vectors[part] - decoded).square_().sum(1)
    worst = errors.topk(len(empty)).indices
    return codebook.index_copy(0, empty, vectors[worst])


def masked_kmeans(
    vectors: Tensor,
    masks: Tensor | None,
    k: int,
    *,
    seed: int = 0,
    iterations: int = 100,
    tolerance: float = 1e-3,
    start: Start = "random",
    repair: bool = True,
) -> Clustering:
    """Clusters sub-vectors; without masks this is plain k-means.

    Stops when fewer than `tolerance` of the assignments change (MVQ sec. 4.1: 0.1 %).

    Args:
        vectors: float [n, d], 0 where masked.
        masks: bool [n, d] or None.
        start: from k random sub-vectors (MVQ sec. 4.1), or from those of `spread`.
        repair: move codewords without members to sub-vectors of large error, in every iteration.

    Raises:
        InputError: k exceeds half of the sub-vectors: such a codebook compresses nothing.
    """
    if not 0 < k <= len(vectors) // 2:
        raise InputError(
            "k",
            k,
            f"the layer has {len(vectors)} sub-vectors",
            f"use at most {len(vectors) // 2}, or share the codebook across layers",
        )
    if start not in get_args(Start):
        raise InputError("start", start, "is no start of k-means", "use random or k-means++")
    m = None if masks is None else masks.to(vectors.dtype)
    w = vectors if m is None else vectors * m
    generator = torch.Generator().manual_seed(seed)
    if start == "random":
        codebook = w[torch.randperm(len(w), generator=generator)[:k].to(w.device)]
    else:
        codebook = spread(w, m, k, generator)
    assignments = assign(w, m, codebook)
    objective = [masked_sse(w, m, codebook, assignments)]
    for _ in range(iterations):
        codebook = update(w, m, assignments, codebook)
        if repair:
            codebook = repaired(w, m, assignments, codebook)
        renewed = assign(w, m, codebook)
        changed = int((renewed != assignments).sum())
        assignments = renewed
        objective.append(masked_sse(w, m, codebook, assignments))
        if changed < tolerance * len(w):
            break
    return Clustering(codebook, assignments, tuple(objective))


def spread(vectors: Tensor, masks: Tensor | None, k: int, generator: torch.Generator) -> Tensor:
    """k of the sub-vectors, far apart: k-means++ (Arthur and Vassilvitskii 2007) with masked distances.

    Each is drawn with a probability proportional to the squared distance to the nearest one before it;
    where all distances are 0, to 1.

    Args:
        generator: on the CPU.
    """
    draws = torch.rand(k, dtype=torch.float64, generator=generator).tolist()
    norms = vectors.square().sum(1)
    chosen = [int(draws[0] * len(vectors))]
    distance = torch.full_like(norms, torch.inf)
    for draw in draws[1:]:
        word = vectors[chosen[-1]]
        own = (word * word).sum() if masks is None else masks @ (word * word)
        distance = torch.minimum(distance, (norms - 2 * (vectors @ word) + own).clamp_(min=0))
        distance[chosen[-1]] = 0  # rounding leaves some
        weights = distance.double() if bool(distance.any()) else torch.ones_like(distance).double()
        reached = weights.cumsum(0)
        place = torch.searchsorted(reached, draw * reached[-1], right=True)
        chosen.append(min(int(place), len(vectors) - 1))
    return vectors[torch.tensor(chosen).to(vectors.device)]
