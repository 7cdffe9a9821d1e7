"""Real models from a folder: what diffusers saves of a Wan or CogVideoX pipeline, read without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from algos.video.models import VideoModel
from sim.errors import InputError, nearest

LENGTHS = {"WanTransformer3DModel": 512, "CogVideoXTransformer3DModel": 226}
"""Text tokens of a prompt, by the class of the backbone."""
PREDICTS = {"WanTransformer3DModel": "flow", "CogVideoXTransformer3DModel": "v"}


class Prompts(nn.Module):
    """A T5 encoder and its tokenizer.

    Args:
        length: tokens of a prompt; what is behind its end is 0, as in Wan's pipeline.
    """

    def __init__(self, encoder: nn.Module, tokenizer: Any, length: int) -> None:
        super().__init__()
        self.encoder, self.tokenizer, self.length = encoder, tokenizer, length

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """[n, tokens, channels] in float32."""
        given = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        device = next(self.encoder.parameters()).device
        seen = given.attention_mask.to(device)
        found: Tensor = self.encoder(given.input_ids.to(device), seen).last_hidden_state
        return found.float() * seen[..., None]

    def split(self, prompt: str) -> list[str]:
        """The tokens of a prompt as words; a word of several tokens is several."""
        return [token.strip("\u2581").lower() for token in self.tokenizer.tokenize(prompt)]


class Autoencoder(nn.Module):
    """Between pixels of -1 to 1 and normalized latents."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        sizes = vae.config
        means, deviations = getattr(sizes, "latents_mean", None), getattr(sizes, "latents_std", None)
        self.mean = torch.tensor(means or [0.0]).view(1, -1, 1, 1, 1)
        self.deviation = torch.tensor(deviations or [1 / sizes.scaling_factor]).view(1, -1, 1, 1, 1)

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the latents' distribution, as DFVEdit's code takes it."""
        found: Tensor = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mode().float()
        return (found - self.mean.to(found)) / self.deviation.to(found)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels of latents."""
        raw = latents * self.deviation.to(latents) + self.mean.to(latents)
        found: Tensor = self.vae.decode(raw.to(self.vae.dtype)).sample.float()
        return found


def load(folder: Path, dtype: torch.dtype = torch.bfloat16) -> VideoModel:
    """A model with its autoencoder, of the subfolders transformer, vae, text_encoder and tokenizer.

    Args:
        dtype: of the weights.

    Raises:
        InputError: no such folder, another kind of model, or files that do not fit.
    """
    import diffusers
    import transformers

    kinds = {name: _class(folder, name) for name in ("transformer", "vae", "text_encoder")}
    if kinds["transformer"] not in PREDICTS:
        raise InputError(
            "--model", kinds["transformer"], "is no known backbone", nearest(kinds["transformer"], PREDICTS)
        )
    try:
        backbone = getattr(diffusers, kinds["transformer"]).from_pretrained(
            folder / "transformer", torch_dtype=dtype
        )
        vae = getattr(diffusers, kinds["vae"]).from_pretrained(folder / "vae", torch_dtype=dtype)
        encoder = getattr(transformers, kinds["text_encoder"]).from_pretrained(
            folder / "text_encoder", dtype=dtype
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError("--model", str(folder), f"cannot be read: {error}", "give a whole folder") from None
    text = Prompts(encoder, tokenizer, LENGTHS[kinds["transformer"]])
    model = VideoModel(backbone, text, PREDICTS[kinds["transformer"]], frames=1, vae=Autoencoder(vae))
    return model.eval().requires_grad_(False)


def _class(folder: Path, part: str) -> str:
    """The class that a part was saved from."""
    path = folder / part / "config.json"
    try:
        found = json.loads(path.read_text())
        return str(found.get("_class_name") or found["architectures"][0])
    except (OSError, ValueError, LookupError, AttributeError) as error:
        fix = "give a folder that diffusers' save_pretrained wrote: transformer, vae, text_encoder, tokenizer"
        raise InputError("--model", str(path), f"cannot be read: {error}", fix) from None
