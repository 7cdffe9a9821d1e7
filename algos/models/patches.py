"""Patches of a small picture as tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE, PATCH = 28, 7
TOKENS = (SIDE // PATCH) ** 2


class Patches(nn.Module):
    """Pixels [batch, 1, 28, 28] -> tokens [batch, 16, dim]: 7x7 patches, row by row, each with its place."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(1, dim, PATCH, PATCH)
        self.place = nn.Parameter(torch.zeros(TOKENS, dim))
        nn.init.trunc_normal_(self.place, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.project(pixels).flatten(2).transpose(1, 2) + self.place
