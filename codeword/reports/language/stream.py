"""Blocks of a decoder as networks of integers in a row: scales at their borders, the cache, one block, the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.frontend.calibrate import Activation, calibrate
from algos.frontend.export import Quantized, quantize
from algos.models.llama import Block, Llama, angles
from sim.network import Network

WHOLE = Activation(1.0)
"""Of a network's input whose values are the integers themselves."""


@dataclass(frozen=True)
class Floats:
    """Windows of tokens in float.

    Attributes:
        x: at every border of blocks, [n, tokens, dim] each.
        keys, values: of every block, [n, kv_heads, tokens, head_dim] each.
    """

    x: list[Tensor]
    keys: list[Tensor]
    values: list[Tensor]


@torch.no_grad()
def floats(model: Llama, tokens: Tensor) -> Floats:
    """Of tokens, int64 [n, tokens]."""
    shape = model.shape
    cosine, sine = angles(tokens.shape[1], shape.head_dim, shape.base)
    found = Floats([model.model.embed_tokens(tokens)], [], [])
    for block in model.model.layers:
        assert isinstance(block, Block)
        _, keys, values = block.self_attn.heads(block.input_layernorm(found.x[-1]), cosine, sine)
        found.keys.append(keys)
        found.values.append(values)
        found.x.append(block(found.x[-1], cosine, sine))
    return found


@dataclass(frozen=True)
class Scales:
    """Of INT8 without zero points, so that keys, values and the stream lie side by side as they are.

    Attributes:
        x: at every border of blocks.
        keys, values: of every block.
    """

    x: list[Activation]
    keys: list[Activation]
    values: list[Activation]

    @classmethod
    def found(cls, seen: Floats, opening: int) -> Scales:
        """From windows; of their first tokens, `opening` in number, only keys and values count."""
        return cls(
            [calibrate(each[:, opening:]) for each in seen.x],
            [calibrate(each) for each in seen.keys],
            [calibrate(each) for each in seen.values],
        )


@dataclass(frozen=True)
class Cache:
    """Keys and values so far, int8 [n, kv_heads, tokens, head_dim] of every block."""

    keys: list[np.ndarray]
    values: list[np.ndarray]

    @classmethod
    def of(cls, given: Floats, scales: Scales, tokens: int) -> Cache:
        """Of the first tokens, computed in float."""
        keys, values = (
            [scale.integers(each[:, :, :tokens].numpy()) for each, scale in zip(parts, own, strict=True)]
            for parts, own in ((given.keys, scales.keys), (given.values, scales.values))
        )
        return cls(keys, values)

    def past(self, number: int) -> int:
        """Tokens of which block `number` has them."""
        return self.keys[number].shape[2]

    def rows(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Of a block."""
        return self.keys[number], self.values[number]

    def add(self, number: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Behind those of a block."""
        self.keys[number] = np.concatenate([self.keys[number], keys], 2)
        self.values[number] = np.concatenate([self.values[number], values], 2)


class Chunk(nn.Module):
    """A block on some tokens, behind those whose keys and values it is given.

    [n, tokens * dim / width + 2 past, width] -> [n, tokens, dim], keys and values [n, kv_heads, tokens, head_dim];
    width is that of all keys. Rows of the stream, of keys and of values have units of their own, as real / integer.
    """

    def __init__(
        self, model: Llama, number: int, units: tuple[float, float, float], past: int, end: int
    ) -> None:
        super().__init__()
        block, shape = model.model.layers[number], model.shape
        assert isinstance(block, Block)
        self.block, self.shape, self.units, self.past = block, shape, units, past
        cosine, sine = angles(end, shape.head_dim, shape.base)
        self.register_buffer("cosine", cosine[past:])
        self.register_buffer("sine", sine[past:])
        self.register_buffer("kept", torch.ones(end - past, end, dtype=torch.bool).tril(past))

    def forward(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape, attention, past = self.shape, self.block.self_attn, self.past
        first = self.kept.shape[0] * shape.heads // shape.kv_heads
        x = packed[:, :first].reshape(len(packed), -1, shape.dim) * self.units[0]
        q, k, v = attention.heads(self.block.input_layernorm(x), self.cosine, self.sine)
        keys, values = k, v
        if past:
            before = (
                packed[:, first : first + past] * self.units[1],
                packed[:, first + past :] * self.units[2],
            )
            keys, values = (
                torch.cat([each.unflatten(-1, (shape.kv_heads, -1)).transpose(1, 2), new], 2)
                for each, new in zip(before, (k, v), strict=True)
            )
        share = shape.heads // shape.kv_heads
        keys, values = (each.repeat_interleave(share, 1) for each in (keys, values))
        found = F.scaled_dot_product_attention(q, keys, values, attn_mask=self.kept)
        y = x + attention.o_proj(found.transpose(1, 2).flatten(2))
        return y + self.block.mlp(self.block.post_attention_layernorm(y)), k, v


class Head(nn.Module):
    """The stream of one token, in a unit of its own -> logits, [n, 1, vocabulary]."""

    def __init__(self, model: Llama, unit: float) -> None:
        super().__init__()
        self.norm, self.lm_head, self.unit = model.model.norm, model.lm_head, unit

    def forward(self, x: Tensor) -> Tensor:
        return self.lm_head(self.norm(x * self.unit))


@dataclass(frozen=True)
class Made:
    """A network of integers; arrays have the axes of the float module."""

    quantized: Quantized
    heads: int

    @property
    def network(self) -> Network:
        return self.quantized.network

    def integers(self, x: np.ndarray, cache: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
        """Its input, int8."""
        given = tensor(x) if cache is None else rows(tensor(x), *map(tensor, cache))
        return self.quantized.integers(given)

    def results(self, found: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Its results from all tensors, int8: first [n, tokens, channels], others [n, heads, tokens, channels]."""
        names = self.network.metadata.get("outputs", [self.network.layers[-1].name])
        first, *others = (found[name][..., 0].swapaxes(1, 2) for name in names)  # type: ignore[attr-defined]
        return first, *(
            each.reshape(*each.shape[:2], self.heads, -1).transpose(0, 2, 1, 3) for each in others
        )


def tensor(integers: np.ndarray) -> Tensor:
    """As floats."""
    return torch.from_numpy(integers).float()


def rows(x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What `Chunk` takes of the stream, and of keys and values in heads."""
    width = keys.shape[1] * keys.shape[3]
    return torch.cat(
        [x.reshape(len(x), -1, width), *(e.transpose(1, 2).flatten(2) for e in (keys, values))], 1
    )


@torch.no_grad()
def chunk(
    model: Llama, number: int, scales: Scales, seen: Floats, past: int, end: int
) -> tuple[nn.Module, Made]:
    """Block `number` on tokens `past` to `end` of windows, in float and in integers."""
    own = scales.x[number], scales.keys[number], scales.values[number]
    units = own[0].scale, own[1].scale, own[2].scale
    module = Chunk(model, number, units, past, end).eval()
    given = rows(
        seen.x[number][:, past:end] / units[0],
        seen.keys[number][:, :, :past] / units[1],
        seen.values[number][:, :, :past] / units[2],
    )
    results = [scales.x[number + 1], *own[1:]]
    made = quantize(module, [given], input=WHOLE, results=results, allow=["*"])
    return module, Made(made, model.shape.kv_heads)


@torch.no_grad()
def head(model: Llama, scales: Scales, seen: Floats, opening: int) -> Made:
    """The head on the stream of one token."""
    unit = scales.x[-1].scale
    given = seen.x[-1][:, opening:].flatten(0, 1).unsqueeze(1) / unit
    made = quantize(Head(model, unit).eval(), [given], input=WHOLE, allow=["*"])
    return Made(made, 1)


def error(found: np.ndarray, true: np.ndarray) -> float:
    """Norm of the difference over that of the truth."""
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))
