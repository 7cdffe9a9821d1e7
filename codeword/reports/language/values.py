"""SmolLM2-135M in integers, block after block: a prompt, and tokens behind it, on the engine and by definition.

The blocks are networks of their own, so that neither memory nor time grows with their number; what one of them gives in
INT8 is what the next one takes, at the same scale.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import codeword
from algos.data.text import windows
from algos.frontend.calibrate import Activation
from algos.frontend.export import Quantized, quantize
from algos.models.llama import Block, Llama, Shape, angles
from codeword.reports.registry import Task
from sim.files import write_json
from sim.network import run as run_integers
from sim.steps import steps

PROMPT, TOKENS = 4, 2
"""Tokens of the prompt, and tokens behind it."""

MACHINE = "ews-64"
CALIBRATION = 8
"""Windows of the text that set scales; the next one is run."""


class Prompt(nn.Module):
    """A block on all tokens: [n, tokens, dim] -> the same, and keys and values [n, kv_heads, tokens, head_dim]."""

    def __init__(self, block: Block, cosine: Tensor, sine: Tensor) -> None:
        super().__init__()
        self.block = block
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.block.self_attn.heads(self.block.input_layernorm(x), self.cosine, self.sine)
        y = x + self.block.self_attn.mixed(q, k, v, causal=True)
        return y + self.block.mlp(self.block.post_attention_layernorm(y)), k, v


class Behind(nn.Module):
    """A block on one token, with the keys and values of those before it in the rows behind it.

    [n, dim / width + 2 past, width] -> [n, 1, dim], and the token's key and value; width is that of all keys.
    """

    def __init__(self, block: Block, shape: Shape, cosine: Tensor, sine: Tensor) -> None:
        super().__init__()
        self.block, self.shape = block, shape
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)

    def forward(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape, attention = self.shape, self.block.self_attn
        first = shape.heads // shape.kv_heads
        past = (packed.shape[1] - first) // 2
        x = packed[:, :first].flatten(1).unsqueeze(1)
        q, k, v = attention.heads(self.block.input_layernorm(x), self.cosine, self.sine)
        before = packed[:, first : first + past], packed[:, first + past :]
        keys, values = (
            torch.cat([rows.unflatten(-1, (shape.kv_heads, shape.head_dim)).transpose(1, 2), new], 2)
            for rows, new in zip(before, (k, v), strict=True)
        )
        y = x + attention.mixed(q, keys, values, causal=False)
        return y + self.block.mlp(self.block.post_attention_layernorm(y)), k, v


@dataclass
class Stream:
    """What has been computed of some windows so far, float.

    Attributes:
        x: of the tokens at hand, [n, tokens, dim].
        kept: keys and values of each block, [n, kv_heads, tokens, head_dim].
        scale: of `x`, where it is integers.
    """

    x: Tensor
    kept: list[tuple[Tensor, Tensor]]
    scale: Activation | None = None

    def rows(self, number: int) -> Tensor:
        """What `Behind` takes for block `number`."""
        keys, values = (each.transpose(1, 2).flatten(2) for each in self.kept[number])
        return torch.cat([self.x[:, 0].unflatten(1, (-1, keys.shape[2])), keys, values], 1)

    def add(self, number: int, found: tuple[Tensor, Tensor, Tensor]) -> None:
        self.x, *new = found
        if number == len(self.kept):
            self.kept.append((new[0], new[1]))
        else:
            keys, values = (torch.cat(pair, 2) for pair in zip(self.kept[number], new, strict=True))
            self.kept[number] = keys, values


def run(task: Task) -> None:
    """Rows a block and pass, kept in the work folder."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    model, tokens = load()
    rows = list(passes(model, tokens, task.work))
    write_json(
        task.out.with_name("language_values.json"), {"machine": MACHINE, "prompt": PROMPT, "rows": rows}
    )


def load() -> tuple[Llama, Tensor]:
    """SmolLM2-135M as our own model, and windows of text [n, PROMPT + TOKENS]."""
    from algos.data import smollm2
    from algos.zoo import llama

    given, tokenizer = smollm2.load()
    config = given.config
    shape = Shape(
        *(config.vocab_size, config.hidden_size, config.num_hidden_layers, config.num_attention_heads),
        *(config.num_key_value_heads, config.intermediate_size, PROMPT + TOKENS),
        config.rope_parameters["rope_theta"],
        config.rms_norm_eps,
    )
    model = Llama(shape)
    model.load_state_dict(given.state_dict(), strict=False)
    model.lm_head.weight = model.model.embed_tokens.weight
    text = smollm2.tokens(tokenizer, llama.load_text()["held_out"][:8192])
    return model.eval(), windows(text, PROMPT + TOKENS, CALIBRATION + 1)


@torch.no_grad()
def passes(model: Llama, tokens: Tensor, work: Path) -> Iterator[dict[str, Any]]:
    """The prompt and then each token through all blocks, in float and in integers."""
    embedded = model.model.embed_tokens(tokens)
    seen, judged = Stream(embedded[:-1, :PROMPT], []), Stream(embedded[-1:, :PROMPT], [])
    for past in (0, *range(PROMPT, PROMPT + TOKENS)):
        if past:
            seen.x, judged.x = embedded[:-1, past : past + 1], embedded[-1:, past : past + 1]
            judged.scale = None
        for number in steps(range(model.shape.blocks), f"blocks, token {past}", model.shape.blocks):
            yield _block(model, number, past, (seen, judged), work)


def _block(
    model: Llama, number: int, past: int, streams: tuple[Stream, Stream], work: Path
) -> dict[str, Any]:
    """One block of one pass; both streams move on."""
    seen, judged = streams
    block, shape = model.model.layers[number], model.shape
    assert isinstance(block, Block)
    angle = angles(shape.context, shape.head_dim, shape.base)
    if past:
        module: nn.Module = Behind(block, shape, *(each[past : past + 1] for each in angle))
        given, sample = seen.rows(number), judged.rows(number)
    else:
        module, given, sample = Prompt(block, *(each[:PROMPT] for each in angle)), seen.x, judged.x
    path = work / f"smollm2-{past}-{number}.json"
    if path.exists():
        row: dict[str, Any] = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz")) as file:
            found = tuple(torch.from_numpy(file[name]) for name in "xkv")
        judged.scale = Activation(*row["scale"])
    else:
        begin = time.process_time()
        made = quantize(module, [given], input=None if past else judged.scale, allow=["*"])
        wanted = module(sample)
        row, found, judged.scale = _exact(made, sample, wanted)
        row |= {"block": number, "past": past, "cpu_seconds": time.process_time() - begin}
        row["scale"] = [judged.scale.scale, judged.scale.zero_point]
        np.savez(path.with_suffix(".npz"), **dict(zip("xkv", (each.numpy() for each in found), strict=True)))
        write_json(path, row)
        print(path.stem, row, flush=True)
    seen.add(number, module(given))
    judged.add(number, found)  # type: ignore[arg-type]
    return row


def _exact(
    made: Quantized, sample: Tensor, real: tuple[Tensor, ...]
) -> tuple[dict[str, Any], tuple[Tensor, ...], Activation]:
    """A row, the three results as what their integers stand for, and the scale of the first.

    Args:
        real: the results in float.
    """
    images = made.integers(sample)
    network = made.network
    simulated = codeword.simulate(network, MACHINE, images)
    wanted = run_integers(network, images)
    results, first = [], None
    for name, like in zip(network.metadata["outputs"], real, strict=True):  # type: ignore[call-overload]
        activation = made.activations[name]
        first = first or activation
        tokens = (
            torch.from_numpy(activation.real(wanted[name])).float()[..., 0].transpose(1, 2)
        )  # channels last
        heads = tokens.unflatten(2, (like.shape[1], -1)).transpose(1, 2) if like.ndim == 4 else tokens
        results.append(heads)
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(results, real, strict=True)]
    assert first is not None
    row = {
        "layers": len(network.layers),
        "error": max(errors),
        "bit_exact": bool(simulated.to_json()["bit_exact"]),
        "cycles": sum(layer.total_cycles for layer in simulated.layers),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return row, tuple(results), first
