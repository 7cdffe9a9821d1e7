"""Attention and feed-forward layers, and the transformers of images and language made of them."""

from __future__ import annotations

from dataclasses import dataclass

from sim.workloads.builder import BIAS, NONE, Builder, Tensor
from sim.workloads.workload import Workload


@dataclass(frozen=True)
class Attention:
    """Multi-head attention, from its input to the output projection.

    Attributes:
        heads, size: query heads and channels of each.
        kv_heads: heads of keys and values, each shared by heads / kv_heads query heads; 0: heads.
        affine: parameters for each output of the query, key and value projections: NONE or BIAS.
        sequences: equal parts of the tokens that do not see each other.
        norm: of queries and keys, "layernorm" within each head, "rmsnorm" over all, or "".
        rotary: queries and keys are rotated by their position.
        cached: tokens whose keys and values are there already.
    """

    heads: int
    size: int
    kv_heads: int = 0
    affine: int = BIAS
    sequences: int = 1
    norm: str = ""
    rotary: bool = False
    cached: int = 0

    def __call__(self, net: Builder, name: str, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Every token of x looks at every token of the context, which is x itself if not given.

        The full matrix of scores is computed, also where a causal mask hides half of it.
        """
        source = context or x
        shared = self.kv_heads or self.heads
        queries, keys = x.pixels // self.sequences, source.pixels // self.sequences + self.cached
        groups = self.sequences * shared
        q = self._projected(net, f"{name}.query", x, self.heads)
        self._projected(net, f"{name}.key", source, shared)  # the weights of the scores
        net.linear(f"{name}.value", source, shared * self.size, affine=self.affine)  # of the mix
        q = q.view(groups * self.size, (queries * self.heads // shared, 1))
        scores = net.product(f"{name}.scores", q, groups * keys, groups)
        found = net.product(f"{name}.mix", net.softmax(f"{name}.softmax", scores), groups * self.size, groups)
        found = found.view(self.heads * self.size, x.size)
        return net.linear(f"{name}.output", found, x.channels)

    def _projected(self, net: Builder, name: str, x: Tensor, heads: int) -> Tensor:
        x = net.linear(name, x, heads * self.size, affine=self.affine)
        if self.norm:
            x = net.norm(f"{name}.norm", x, self.norm, 2 * self.size if self.norm == "layernorm" else None)
        return net.rotate(f"{name}.rotate", x) if self.rotary else x


def feed_forward(net: Builder, name: str, x: Tensor, hidden: int) -> Tensor:
    """Two linear layers with an activation between."""
    return net.linear(f"{name}.down", net.linear(f"{name}.up", x, hidden), x.channels)


def gated_feed_forward(net: Builder, name: str, x: Tensor, hidden: int) -> Tensor:
    """Three linear layers: the activation of one scales the other (SwiGLU, GEGLU)."""
    gate = net.linear(f"{name}.gate", x, hidden)
    up = net.linear(f"{name}.up", x, hidden)
    return net.linear(f"{name}.down", net.multiply(f"{name}.scale", up, gate), x.channels)


def patches(net: Builder, image: Tensor, width: int, size: int = 16) -> Tensor:
    """Non-overlapping size x size patches of an image as tokens, one class token, and their positions."""
    x = net.conv("patches", image, width, size, size, padding=0)
    x = net.add("positions", x, Tensor(width, x.size))
    x = x.view(width, (x.pixels + 1, 1))
    net.parameters += x.elements + width
    return x


def deit(name: str, width: int) -> Workload:
    """DeiT of Touvron et al., ICML 2021, without distillation: 12 blocks, 3x224x224, 1000 classes.

    Args:
        width: channels a token, 64 a head: 192 (T), 384 (S), 768 (B).
    """
    net = Builder(name)
    x = patches(net, Tensor(3, (224, 224)), width)
    attention = Attention(width // 64, 64)
    for number in range(12):
        block = f"block{number}"
        y = attention(net, f"{block}.attention", net.norm(f"{block}.norm1", x))
        x = net.add(f"{block}.add1", y, x)
        y = feed_forward(net, f"{block}.mlp", net.norm(f"{block}.norm2", x), 4 * width)
        x = net.add(f"{block}.add2", y, x)
    net.linear("head", net.norm("norm", x).last, 1000)
    return net.workload()


@dataclass(frozen=True)
class Llama:
    """A language model of the Llama family (Touvron et al., arXiv 2307.09288).

    Attributes:
        tied: the embedding is also the output layer.
        biased: queries, keys and values have biases.
    """

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int
    tied: bool = False
    biased: bool = False

    def prefill(self, tokens: int = 512, batch: int = 1) -> Workload:
        """Reads a prompt for each sequence of a batch; only last tokens are turned into logits."""
        return self._pass(self.name, tokens, 0, batch)

    def decode(self, context: int = 512, batch: int = 1) -> Workload:
        """Writes a token of each sequence of a batch, which is the last of `context` tokens."""
        return self._pass(f"{self.name}-decode", 1, context - 1, batch)

    def _pass(self, name: str, tokens: int, cached: int, batch: int) -> Workload:
        net = Builder(name, affine=NONE)
        net.parameters += 0 if self.tied else self.vocabulary * self.width
        affine = BIAS if self.biased else NONE
        attention = Attention(
            self.heads,
            self.width // self.heads,
            self.kv_heads,
            affine,
            sequences=batch,
            rotary=True,
            cached=cached,
        )
        x = Tensor(self.width, (batch * tokens, 1))
        for number in range(self.layers):
            block = f"layer{number}"
            y = attention(net, f"{block}.attention", net.norm(f"{block}.norm1", x, "rmsnorm"))
            x = net.add(f"{block}.add1", y, x)
            y = gated_feed_forward(net, f"{block}.mlp", net.norm(f"{block}.norm2", x, "rmsnorm"), self.hidden)
            x = net.add(f"{block}.add2", y, x)
        last = net.norm("norm", x, "rmsnorm").view(self.width, (batch, 1))
        net.linear("head", last, self.vocabulary)
        return net.workload()


LLAMA2_7B = Llama("llama2-7b", 32, 4096, 32, 32, 11008, 32000)
SMOLLM2_135M = Llama("smollm2-135m", 30, 576, 9, 3, 1536, 49152, tied=True)
"""Allal et al., arXiv 2502.02737; sizes of the public configuration."""
LLAMA3_8B = Llama("llama3-8b", 32, 4096, 32, 8, 14336, 128256)
"""Grattafiori et al., arXiv 2407.21783, table 3."""
QWEN2_7B = Llama("qwen2-7b", 28, 3584, 28, 4, 18944, 152064, biased=True)
"""Yang et al., arXiv 2407.10671, table 1; the vocabulary of the public configuration."""

LANGUAGE_MODELS = (SMOLLM2_135M, LLAMA2_7B, LLAMA3_8B, QWEN2_7B)
