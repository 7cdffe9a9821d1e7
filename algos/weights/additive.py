"""Sub-vectors that are the sum of two codewords, one of either codebook (AQLM sec. 3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from algos.weights.codebook import HIGH, IntegerWeight, rounded
from algos.weights.grouping import ungroup
from algos.weights.kmeans import assign, masked_kmeans, update
from sim.network import AqlmWeight

ROUNDS = 25
"""Alternations at most; sums of squares hardly fall behind that."""


class Additive(NamedTuple):
    """Codebooks [2, k, d], assignments int64 [n, 2], and the sum of squared errors after every alternation."""

    codebooks: Tensor
    assignments: Tensor
    objective: tuple[float, ...]


@torch.no_grad()
def additive_kmeans(vectors: Tensor, k: int, *, seed: int = 0, rounds: int = ROUNDS) -> Additive:
    """k-means, k-means of what it leaves, and then either codebook on what the other one leaves, in turn.

    No alternation raises the sum of squares. AQLM's own assignment is a beam search under the error of the layer's
    outputs; this one is greedy, under the error of the weights.

    Args:
        vectors: float [n, d].

    Raises:
        InputError: k exceeds half of the sub-vectors.
    """
    first = masked_kmeans(vectors, None, k, seed=seed)
    second = masked_kmeans(vectors - first.codebook[first.assignments], None, k, seed=seed + 1)
    books = [first.codebook, second.codebook]
    assigned = [first.assignments, second.assignments]
    objective = [_error(vectors, books, assigned)]
    for _ in range(rounds):
        for one, other in ((0, 1), (1, 0)):
            rest = vectors - books[other][assigned[other]]
            books[one] = update(rest, None, assigned[one], books[one])
            assigned[one] = assign(rest, None, books[one])
        objective.append(_error(vectors, books, assigned))
        if objective[-2] - objective[-1] < 1e-3 * objective[-1]:
            break
    return Additive(torch.stack(books), torch.stack(assigned, 1), tuple(objective))


def _error(vectors: Tensor, books: list[Tensor], assigned: list[Tensor]) -> float:
    return float((vectors - books[0][assigned[0]] - books[1][assigned[1]]).square().sum())


class AdditiveWeight(IntegerWeight):
    """codebooks[0][assignments[:, 0]] + codebooks[1][assignments[:, 1]]; the codebooks are learned.

    Args:
        codebooks: float [2, k, d].
        assignments: int64 [n, 2].
        shape: of the weight, with the output channels added.
        added: how many of its last output channels have the value 0 and are stored only.
    """

    def __init__(self, codebooks: Tensor, assignments: Tensor, shape: torch.Size, added: int = 0) -> None:
        super().__init__()
        self.codebooks = nn.Parameter(codebooks.clone())
        self.shape, self.added = shape, added
        self.register_buffer("assignments", assignments.clone())

    @property
    def scale(self) -> Tensor:
        """Of the integers: no sum of two of them leaves INT8, whichever codewords meet, each rounded by 1/2 at most."""
        books = self.codebooks.detach()
        peak = torch.maximum(books.amax(1).sum(0).amax(), -books.amin(1).sum(0).amin())
        return peak.clamp(min=1e-12) / (HIGH - 1)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"codebook": [self.codebooks]}

    def forward(self, weight: Tensor) -> Tensor:
        scale = self.scale
        first, second = rounded(self.codebooks / scale) * scale
        whole = ungroup(first[self.assignments[:, 0]] + second[self.assignments[:, 1]], self.shape)
        return whole[: self.shape[0] - self.added]

    def stored(self) -> AqlmWeight:
        books = (self.codebooks.detach() / self.scale).round().to(torch.int8).cpu().numpy()
        outputs, inputs, ky, kx = (*tuple(self.shape), 1, 1)[:4]
        places = (outputs // books.shape[2], inputs, ky, kx, 2)
        return AqlmWeight(books, self.assignments.cpu().numpy().astype(np.uint16).reshape(places))

    def scales(self) -> np.ndarray:
        return np.full(self.shape[0], float(self.scale))
