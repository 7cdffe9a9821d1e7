"""A small Vision Mamba (Zhu et al. 2024, arXiv 2401.09417): tokens scanned in both directions.

It differs from Vim-T in size, in the mean over tokens in place of a class token, and in depth-wise
convolutions that are centred instead of causal, since the integer network pads both sides alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.models.scan import selective_scan
from algos.models.tokens import TokenNet

EXPANSION, STATES, RANK, KERNEL = 2, 8, 8, 3
"""Inner over outer channels, N of the scan, inner size of the step projection, tokens of a convolution."""


class Direction(nn.Module):
    """Convolution over neighbouring tokens, then a scan whose steps, B and C depend on them."""

    def __init__(self, channels: int, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        self.conv = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.x_proj = nn.Linear(channels, RANK + 2 * STATES, bias=False)
        self.dt_proj = nn.Linear(RANK, channels)
        self.log_rate = nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(channels, 1))
        self.skip = nn.Parameter(torch.ones(channels))
        # The inverse softplus of steps spread evenly in the logarithm, as Mamba starts.
        step = torch.exp(torch.rand(channels) * math.log(50) + math.log(0.01))
        self.dt_proj.bias.data.copy_(step + torch.log(-torch.expm1(-step)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.conv(x.transpose(1, 2)).transpose(1, 2))
        low, b, c = self.x_proj(x).split([RANK, STATES, STATES], -1)
        delta = F.softplus(self.dt_proj(low))
        return selective_scan(x, delta, -self.log_rate.exp(), b, c, self.skip, self.reverse)


class Block(nn.Module):
    """x + out_proj((forward(u) + backward(u)) * SiLU(z)) with u, z = in_proj(norm(x))."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        self.in_proj = nn.Linear(dim, 2 * EXPANSION * dim, bias=False)
        self.ways = nn.ModuleList(Direction(EXPANSION * dim, reverse) for reverse in (False, True))
        self.out_proj = nn.Linear(EXPANSION * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u, z = self.in_proj(self.norm(x)).chunk(2, -1)
        return x + self.out_proj(sum(way(u) for way in self.ways) * F.silu(z))


class Vim(TokenNet):
    """The network.

    Args:
        dim: channels of a token.
        depth: blocks.
    """

    def __init__(self, dim: int = 64, depth: int = 3) -> None:
        super().__init__(dim, (Block(dim) for _ in range(depth)), nn.RMSNorm(dim, eps=1e-5))
