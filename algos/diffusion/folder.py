"""A diffusion network of a folder in the layout of diffusers, with its text encoder; nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from algos.diffusion.sampling import Condition
from sim.errors import InputError

MODELS = ("unet", "transformer")
"""Folders of networks, the first that is there."""


@dataclass(frozen=True)
class Pretrained:
    """What a folder holds.

    Attributes:
        model: U-Net or DiT, evaluating.
        settings: of the scheduler that it was trained for.
        tokenizer, encoder: of its text; None where the network reads none.
    """

    model: nn.Module
    settings: dict[str, Any]
    tokenizer: Any = None
    encoder: nn.Module | None = None

    @torch.no_grad()
    def condition(self, prompts: Sequence[str]) -> Condition:
        """Text of each prompt, and that of the empty one for guidance."""
        return Condition(text=self._text(prompts), without=Condition(text=self._text([""] * len(prompts))))

    def _text(self, prompts: Sequence[str]) -> Tensor:
        if self.encoder is None:
            raise InputError("text_encoder", None, "the network reads no text", "give classes instead")
        length = self.tokenizer.model_max_length
        codes = self.tokenizer(
            list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        text: Tensor = self.encoder(codes.input_ids)[0]
        return text


def load_folder(folder: str | Path) -> Pretrained:
    """Stable Diffusion v1 or v2, or any other network of classes `UNet2DModel`, `UNet2DConditionModel`, DiT.

    Raises:
        InputError: a part is missing, or the network reads the text of two encoders, as XL.
    """
    root = Path(folder)
    place = next((root / name for name in MODELS if (root / name / "config.json").exists()), None)
    if place is None:
        raise InputError(
            "folder", str(root), f"holds no {' or '.join(MODELS)}/config.json", "give a folder of diffusers"
        )
    import diffusers

    said = json.loads((place / "config.json").read_text())
    kind = said.get("_class_name", "")
    if not hasattr(diffusers, kind):
        raise InputError("model", kind, "is no class of diffusers", "save the network with save_pretrained")
    model = getattr(diffusers, kind).from_pretrained(place, local_files_only=True).eval()
    settings = _settings(root)
    if not said.get("cross_attention_dim") or kind == "UNet2DModel":
        return Pretrained(model, settings)
    if (root / "text_encoder_2").exists():
        fix = "encode the prompts yourself and give `Condition`"
        raise InputError("text_encoder_2", str(root), "two encoders are not read here", fix)
    for part in ("text_encoder", "tokenizer"):
        if not (root / part).is_dir():
            raise InputError(
                part, str(root / part), "No such folder", "the network reads text: copy it there"
            )
    from transformers import AutoTokenizer, CLIPTextModel

    tokenizer = AutoTokenizer.from_pretrained(root / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(root / "text_encoder", local_files_only=True).eval()
    return Pretrained(model, settings, tokenizer, encoder)


def _settings(root: Path) -> dict[str, Any]:
    path = root / "scheduler" / "scheduler_config.json"
    if not path.exists():
        raise InputError("scheduler", str(path), "No such file", "copy the folder's scheduler too")
    kept = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type", "shift")
    return {name: value for name, value in json.loads(path.read_text()).items() if name in kept}


def read_prompts(path: str | Path) -> list[str]:
    """Lines of a text file that are not empty.

    Raises:
        InputError: it is missing, or holds none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError("prompts", str(path), error.strerror or str(error), "give a text file") from None
    if found := [line.strip() for line in lines if line.strip()]:
        return found
    raise InputError("prompts", str(path), "is empty", "write a prompt a line")
