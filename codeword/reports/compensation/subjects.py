"""The language models that are measured, with their text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algos.data.text import windows
from algos.zoo import llama
from sim.steps import steps


@dataclass(frozen=True)
class Subject:
    """A language model.

    Attributes:
        module: as it is before anything is rounded.
        learned, held_out: tokens to calibrate on, and to measure with, [n].
        length: tokens of a window that are predicted.
        calibration, measured: windows of each.
        batch: windows at once.
        bits_per_token: whether the measure is bits a token, which is a byte; else perplexity.
    """

    module: nn.Module
    learned: Tensor
    held_out: Tensor
    length: int
    calibration: int
    measured: int
    batch: int
    bits_per_token: bool

    def samples(self, seed: int) -> list[dict[str, Any] | Tensor]:
        """Batches of windows from random places of what was learned."""
        drawn = windows(self.learned, self.length, self.calibration, seed)
        return [self._given(part) for part in drawn.split(self.batch)]

    @torch.no_grad()
    def quality(self, module: nn.Module) -> float:
        """Bits a token, or perplexity, over windows of the held-out text that follow one another."""
        drawn = windows(self.held_out, self.length + 1, self.measured)
        total = 0.0
        for part in steps(drawn.split(self.batch), "held-out text", -(-self.measured // self.batch)):
            given = self._given(part[:, :-1])
            found = module(**given).logits if isinstance(given, dict) else module(given)
            total += float(llama.loss(found, part[:, 1:])) * len(part)
        nats = total / len(drawn)
        return nats / math.log(2) if self.bits_per_token else math.exp(nats)

    def _given(self, tokens: Tensor) -> dict[str, Any] | Tensor:
        return tokens if self.bits_per_token else {"input_ids": tokens, "use_cache": False}


def small() -> Subject:
    """The shipped Llama on the bytes of Moby Dick."""
    text = llama.load_text()
    context = llama.SHAPE.context
    return Subject(llama.load_llama(), text["calibration"], text["held_out"], context, 32, 128, 8, True)


def smollm2() -> Subject:
    """SmolLM2-135M on the same text, in its own tokens."""
    from algos.data import smollm2 as source

    module, tokenizer = source.load()
    text = llama.load_text()
    learned, held_out = (source.tokens(tokenizer, text[name]) for name in llama.TEXTS)
    return Subject(module, learned, held_out, 512, 4, 8, 1, False)


SUBJECTS: dict[str, Callable[[], Subject]] = {"llama-moby": small, "smollm2-135m": smollm2}
