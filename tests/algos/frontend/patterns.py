"""Modules that spell what networks of others do: attention, rotation, norms, windows, scans."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM, HEADS, TOKENS = 16, 4, 6


class Attention(nn.Module):
    """Self-attention, its core exchanged by the cases below."""

    def __init__(self, keys: int = HEADS) -> None:
        super().__init__()
        self.keys = keys
        self.q = nn.Linear(DIM, DIM)
        self.kv = nn.Linear(DIM, 2 * DIM // HEADS * keys)
        self.out = nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        k, v = self.kv(x).chunk(2, -1)
        q = self.q(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k, v = (part.unflatten(-1, (self.keys, -1)).transpose(1, 2) for part in (k, v))
        return self.out(self.core(q, k, v).transpose(1, 2).flatten(2))

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)


class Causal(Attention):
    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Grouped(Attention):
    """Two heads share keys and values."""

    def __init__(self) -> None:
        super().__init__(2)

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


class Biased(Attention):
    """A summand a head, and keys that do not count."""

    def __init__(self) -> None:
        super().__init__()
        bias = torch.randn(1, HEADS, TOKENS, TOKENS)
        bias[:, :, :, 4:] = float("-inf")
        self.register_buffer("bias", bias)

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)


class Spelled(Attention):
    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        logits = q @ k.transpose(-2, -1) / math.sqrt(DIM / HEADS)
        hidden = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
        return logits.masked_fill(hidden, float("-inf")).softmax(-1) @ v


class Rotated(Attention):
    """Rotary embedding, and a norm of mean squares before, as `transformers` spells them."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(DIM) + 0.5)
        angle = torch.arange(TOKENS)[:, None] / 10 ** torch.linspace(0, 1, DIM // HEADS // 2)
        angle = torch.cat((angle, angle), -1)
        self.register_buffer("cos", angle.cos()[None, None])
        self.register_buffer("sin", angle.sin()[None, None])

    def forward(self, x: Tensor) -> Tensor:
        square = x.pow(2).mean(-1, keepdim=True)
        return x + super().forward(self.gain * (x * torch.rsqrt(square + 1e-6)))

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = (part * self.cos + self.half(part) * self.sin for part in (q, k))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def half(self, x: Tensor) -> Tensor:
        middle = x.shape[-1] // 2
        return torch.cat((-x[..., middle:], x[..., :middle]), -1)


class Summed(Attention):
    """Logits with a slope a head, as one product with a summand (Bloom)."""

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        slopes = torch.arange(HEADS)[:, None, None] / 4 * torch.arange(TOKENS)
        logits = torch.baddbmm(slopes, q[0], k[0].transpose(-2, -1), beta=0.5, alpha=0.5)
        return (logits.softmax(-1) @ v[0])[None]


class Interleaved(Rotated):
    """Rotary embedding of neighbours."""

    def half(self, x: Tensor) -> Tensor:
        return torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)


class Cosine(Attention):
    """Keys and queries of length 1."""

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return (logits * 5).softmax(-1) @ v


class Windows(nn.Module):
    """Attention in windows of a map turned by one place, whose parts do not see one another (Swin)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Spelled()
        region = torch.zeros(4, 6)
        region[3:], region[:, 5:] = 1, region[:, 5:] + 2
        own = self.cut(region[None, :, :, None])[..., 0]
        apart = own[:, None, :] != own[:, :, None]
        self.register_buffer("mask", apart.float() * -100000.0)
        self.norm = nn.LayerNorm(DIM)

    def cut(self, x: Tensor) -> Tensor:
        """[1, 4, 6, n] to windows of 2x3, [4, 6, n]."""
        return x.reshape(1, 2, 2, 2, 3, -1).permute(0, 1, 3, 2, 4, 5).reshape(4, 6, -1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.permute(0, 2, 3, 1))
        q = self.cut(torch.roll(x, (-1, -1), (1, 2)))
        heads = self.attention.q(q).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.attention.kv(q).chunk(2, -1))
        logits = heads @ k.transpose(-2, -1) * 0.5
        logits = (logits.view(1, 4, HEADS, 6, 6) + self.mask[None, :, None]).view(4, HEADS, 6, 6)
        y = (logits.softmax(-1) @ v).transpose(1, 2).reshape(1, 2, 2, 2, 3, DIM)
        y = torch.roll(y.permute(0, 1, 3, 2, 4, 5).reshape(1, 4, 6, DIM), (1, 1), (1, 2))
        return self.attention.out(y).permute(0, 3, 1, 2)


class Tokens(nn.Module):
    """A class token, positions, blocks, the class token's logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(1, 1, DIM))
        self.places = nn.Parameter(torch.randn(1, TOKENS, DIM))
        self.block = Attention()
        self.head = nn.Linear(DIM, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((self.first.expand(len(x), -1, -1), x), 1) + self.places
        return self.head(self.block(x)[:, 0])


class Loop(nn.Module):
    """A selective scan, one token after the other, as `transformers` spells Mamba without its kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.states = 3
        self.inner = nn.Linear(DIM, DIM)
        self.parts = nn.Linear(DIM, 2 * self.states)
        self.delta = nn.Linear(DIM, DIM)
        self.rate = nn.Parameter(torch.rand(DIM, self.states).log())
        self.skip = nn.Parameter(torch.rand(DIM))

    def forward(self, x: Tensor) -> Tensor:
        u = F.silu(self.inner(x)).transpose(1, 2)
        dt = F.softplus(self.delta(x)).transpose(1, 2)
        b, c = self.parts(x).chunk(2, -1)
        decay = torch.exp(-self.rate.exp()[None, :, None, :] * dt[:, :, :, None])
        step = dt[:, :, :, None] * b[:, None] * u[:, :, :, None]
        state = torch.zeros(1, DIM, self.states)
        found = []
        for t in range(x.shape[1]):
            state = decay[:, :, t] * state + step[:, :, t]
            found.append((state @ c[:, t].unsqueeze(-1))[:, :, 0])
        return (torch.stack(found, -1) + u * self.skip[None, :, None]).transpose(1, 2)


def pictures() -> nn.Module:
    """Norms over groups and maps, transposed convolutions, interpolation, padding, shuffles."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.GroupNorm(4, 8),
        nn.SiLU(),
        nn.ReflectionPad2d((1, 2, 0, 1)),
        nn.ConvTranspose2d(8, 6, 3, stride=(1, 2), padding=1, output_padding=(0, 1), groups=2),
        nn.InstanceNorm2d(6),
        nn.Upsample(size=(14, 20), mode="bilinear", align_corners=True),
        nn.PixelUnshuffle(2),
        nn.ChannelShuffle(3),
        nn.Conv2d(24, 8, 1, groups=2),
        nn.PixelShuffle(2),
        nn.ReplicationPad2d((0, 1, 2, 0)),
        nn.AdaptiveAvgPool2d((3, 5)),
        nn.Flatten(),
        nn.Linear(30, 7),
    )
