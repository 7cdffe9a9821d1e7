"""A small vision transformer like DeiT (Touvron et al. 2021), with the mean over tokens as class token."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from algos.models.tokens import TokenNet

EXPANSION = 4
"""Inner over outer channels of the perceptron."""


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, EXPANSION * dim)
        self.fc2 = nn.Linear(EXPANSION * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class DeiT(TokenNet):
    """The network.

    Args:
        dim: channels of a token, a multiple of `heads`.
        depth: blocks.
    """

    def __init__(self, dim: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__(dim, (Block(dim, heads) for _ in range(depth)), nn.LayerNorm(dim))
