"""A decoder of the Llama family (Touvron et al. 2023): RMS norm, rotary positions, grouped queries, SwiGLU.

Modules bear the names that transformers gives them, so that what walks over one walks over the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sim.errors import InputError


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder.

    Attributes:
        vocabulary: different tokens.
        dim: channels of a token.
        blocks: decoder layers.
        heads, kv_heads: of queries, and of keys and values; a multiple of them.
        hidden: channels inside the perceptron.
        context: tokens that a window may have.
        base: of the angles of positions.
        epsilon: of the norms.
    """

    vocabulary: int = 256
    dim: int = 192
    blocks: int = 4
    heads: int = 6
    kv_heads: int = 2
    hidden: int = 512
    context: int = 256
    base: float = 10_000.0
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if self.dim % (2 * self.heads):
            problem, fix = f"is not a multiple of 2 * {self.heads} heads", "change dim or heads"
            raise InputError("dim", self.dim, problem, fix)
        if self.heads % self.kv_heads:
            problem = f"do not share {self.kv_heads} heads of keys and values evenly"
            raise InputError("heads", self.heads, problem, "make them a multiple")

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


class Attention(nn.Module):
    """Causal attention of grouped queries (Ainslie et al. 2023)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.q_proj = nn.Linear(shape.dim, shape.dim, bias=False)
        self.k_proj = nn.Linear(shape.dim, shape.kv_heads * shape.head_dim, bias=False)
        self.v_proj = nn.Linear(shape.dim, shape.kv_heads * shape.head_dim, bias=False)
        self.o_proj = nn.Linear(shape.dim, shape.dim, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """[batch, tokens, dim] -> the same; angles [tokens, head_dim]."""
        return self.mixed(*self.heads(x, cosine, sine), causal=True)

    def heads(self, x: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [batch, heads, tokens, head_dim]; the first two turned by their positions."""
        q, k, v = (
            part(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        return turned(q, cosine, sine), turned(k, cosine, sine), v

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        """What the queries find, projected: [batch, tokens, dim]."""
        share = q.shape[1] // k.shape[1]
        k, v = (each.repeat_interleave(share, 1) for each in (k, v))
        found = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.o_proj(found.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.dim, shape.hidden, bias=False)
        self.up_proj = nn.Linear(shape.dim, shape.hidden, bias=False)
        self.down_proj = nn.Linear(shape.hidden, shape.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Attention and perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.dim, shape.epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.dim, shape.epsilon)
        self.mlp = Perceptron(shape)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Tokens -> normed channels, without the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.dim)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.norm = nn.RMSNorm(shape.dim, shape.epsilon)
        cosine, sine = angles(shape.context, shape.head_dim, shape.base)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x, cosine, sine = (
            self.embed_tokens(tokens),
            *(each[: tokens.shape[1]] for each in (self.cosine, self.sine)),
        )
        for layer in self.layers:
            x = layer(x, cosine, sine)
        return self.norm(x)


class Llama(nn.Module):
    """Tokens, int64 [batch, tokens] -> logits of the next one, [batch, tokens, vocabulary]."""

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        self.lm_head = nn.Linear(shape.dim, shape.vocabulary, bias=False)
        self.apply(_begin)

    def forward(self, tokens: Tensor) -> Tensor:
        """
        Raises:
            InputError: a window longer than the context.
        """
        if tokens.shape[1] > self.shape.context:
            problem = f"the context has {self.shape.context} tokens"
            raise InputError("tokens", tokens.shape[1], problem, "give shorter windows")
        return self.lm_head(self.model(tokens))


class Step(nn.Module):
    """Writes the token at one position, with the keys and values of those before it as inputs.

    All of them lie in one tensor, [batch, rows, kv_heads * head_dim]: the token's embedding in dim / width rows, then
    of each layer a row of keys, turned, for every token before it, and a row of values.

    Args:
        model: whose weights are used.
        position: tokens before this one.
    """

    def __init__(self, model: Llama, position: int) -> None:
        super().__init__()
        self.shape, self.position = model.shape, position
        self.layers, self.norm, self.lm_head = model.model.layers, model.model.norm, model.lm_head
        for name in ("cosine", "sine"):
            angle = getattr(model.model, name)[position : position + 1]
            self.register_buffer(name, angle.clone(), persistent=False)

    def forward(self, packed: Tensor) -> tuple[Tensor, ...]:
        """Logits [batch, 1, vocabulary], then keys and values of this token, [batch, kv_heads, 1, head_dim] a layer."""
        shape, past = self.shape, self.position
        first = shape.heads // shape.kv_heads
        x = packed[:, :first].flatten(1).unsqueeze(1)
        found: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            q, k, v = layer.self_attn.heads(layer.input_layernorm(x), self.cosine, self.sine)
            begin = first + 2 * past * number
            before = (packed[:, begin : begin + past], packed[:, begin + past : begin + 2 * past])
            keys, values = (
                torch.cat([rows.unflatten(-1, (shape.kv_heads, shape.head_dim)).transpose(1, 2), new], 2)
                for rows, new in zip(before, (k, v), strict=True)
            )
            x = x + layer.self_attn.mixed(q, keys, values, causal=False)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            found += [k, v]
        return self.lm_head(self.norm(x)), *found


@torch.no_grad()
def packed(model: Llama, tokens: Tensor) -> Tensor:
    """What `Step` takes for the last of some tokens, int64 [batch, tokens]: its embedding, and what the others left."""
    decoder, last = model.model, tokens.shape[1] - 1
    width = model.shape.kv_heads * model.shape.head_dim
    x = decoder.embed_tokens(tokens)
    rows = [x[:, last].unflatten(1, (-1, width))]
    cosine, sine = decoder.cosine[: last + 1], decoder.sine[: last + 1]
    for layer in decoder.layers:
        _, keys, values = layer.self_attn.heads(layer.input_layernorm(x), cosine, sine)
        rows += [each[:, :, :last].transpose(1, 2).flatten(2) for each in (keys, values)]
        x = layer(x, cosine, sine)
    return torch.cat(rows, 1)


def angles(tokens: int, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position and channel, [tokens, head_dim] (Su et al. 2021, eq. 15)."""
    speed = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    turns = torch.outer(torch.arange(tokens, dtype=torch.float64), speed).repeat(1, 2)
    return turns.cos().float(), turns.sin().float()


def turned(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Channels n and n + half of [..., tokens, head_dim] turned by their position's angle."""
    first, second = heads.chunk(2, -1)
    return heads * cosine + torch.cat([-second, first], -1) * sine


def _begin(part: nn.Module) -> None:
    """Normal values of deviation 0.02, as Llama's and GPT-2's."""
    if isinstance(part, nn.Linear | nn.Embedding):
        nn.init.normal_(part.weight, std=0.02)
