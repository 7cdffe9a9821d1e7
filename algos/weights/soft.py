"""Soft assignments: convex combinations of candidate codewords that harden one by one.

VQ4DiT (arXiv 2408.17131) mixes the n nearest codewords of a sub-vector by softmax ratios; VQ4ALL
(arXiv 2412.06875) and ViM-VQ (arXiv 2503.09509) confirm the decided ones step by step, while the
others go on learning.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5


def uniform_logits(distances: Tensor) -> Tensor:
    """Ratios of 1/n (VQ4DiT eq. 6); float [L, n]."""
    return torch.zeros_like(distances)


def inverse_distance_logits(distances: Tensor) -> Tensor:
    """Ratios proportional to 1 / distance: z_m = log(D_n / (D_m + 1e-5)) and z_n = 0; float [L, n].

    Args:
        distances: [L, n], ascending.
    """
    farthest = distances[:, -1:].clamp(min=EPSILON)
    logits = (farthest / (distances + EPSILON)).log()
    logits[:, -1] = 0
    return logits


class SoftAssignment(nn.Module):
    """Which codewords L sub-vectors take: ratios over n candidates, or one confirmed code.

    The logits of a confirmed sub-vector are no longer read, so that they get no gradient and nothing that an
    optimizer still does to them has an effect. All state lies in parameters and buffers.

    Args:
        candidates: int64 [L, n], distinct in a row.
        logits: float [L, n].

    Attributes:
        confirmed: bool [L].
        code: int64 [L], the codeword of a confirmed sub-vector.
    """

    candidates: Tensor
    confirmed: Tensor
    code: Tensor

    def __init__(self, candidates: Tensor, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.detach().clone())
        self.register_buffer("candidates", candidates.clone())
        self.register_buffer(
            "confirmed", torch.zeros(len(candidates), dtype=torch.bool, device=candidates.device)
        )
        self.register_buffer("code", candidates[:, 0].clone())

    def open(self) -> Tensor:
        """Numbers of the sub-vectors that are not confirmed, int64, ascending."""
        return (~self.confirmed).nonzero()[:, 0]

    def ratios(self) -> Tensor:
        """Of the open sub-vectors, float [len(open()), n]: not negative, with sums of 1."""
        return self.logits[self.open()].softmax(1)

    def forward(self, codebook: Tensor) -> Tensor:
        """The sub-vectors sum_m r_m C[candidate_m], or C[code] where confirmed; float [L, d].

        Differentiable in the logits and in the codebook [k, d].
        """
        hard = F.embedding(self.code, codebook)
        open = self.open()
        if not len(open):
            return hard
        soft = F.embedding_bag(
            self.candidates[open], codebook, mode="sum", per_sample_weights=self.logits[open].softmax(1)
        )
        return hard.index_copy(0, open, soft)

    def penalty(self, kind: Literal["absolute", "quadratic"]) -> Tensor:
        """`absolute_penalty` or `quadratic_penalty`."""
        return self.absolute_penalty() if kind == "absolute" else self.quadratic_penalty()

    def quadratic_penalty(self) -> Tensor:
        """n * mean(r (1 - r)) over the open sub-vectors (VQ4DiT as released); 0 where all are one-hot."""
        r = self.ratios()
        return r.shape[1] * (r * (1 - r)).sum() / max(1, r.numel())

    def absolute_penalty(self) -> Tensor:
        """Sum of 1 - |2r - 1| over the ratios of an open sub-vector, mean over these (VQ4DiT eq. 9)."""
        r = self.ratios()
        return (1 - (2 * r - 1).abs()).sum() / max(1, len(r))

    @torch.no_grad()
    def confirm(self, threshold: float) -> None:
        """Gives every open sub-vector of a ratio above the threshold the codeword of that ratio."""
        certainty = self.ratios().amax(1)
        self._confirm(self.open()[certainty > threshold])

    @torch.no_grad()
    def confirm_top(self, fraction: float) -> None:
        """Confirms the most certain open ones until at least this fraction of all is; 1 leaves none."""
        wanted = math.ceil(fraction * len(self.code)) - int(self.confirmed.sum())
        if wanted > 0:
            order = self.ratios().amax(1).sort(descending=True, stable=True).indices
            self._confirm(self.open()[order[:wanted]])

    def _confirm(self, chosen: Tensor) -> None:
        best = self.logits[chosen].argmax(1, keepdim=True)
        self.code[chosen] = self.candidates[chosen].gather(1, best)[:, 0]
        self.confirmed[chosen] = True
