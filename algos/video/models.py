"""Models that generate video from words: a backbone of diffusers behind one face, and the small ones trained here.

Clips are float32 [n, channels, frames, height, width], as all backbones of diffusers take them; for the small models
these are pixels from -1 to 1 themselves, for real ones the latents of their autoencoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data.shapes import CHANNELS, FRAMES, SIZE, WORDS
from sim.errors import InputError, nearest

VOCABULARY = ("", "a", "moves", "over", *(word for words in WORDS.values() for word in words))
LENGTH = 8
"""Tokens of a prompt; the rest are the empty word."""
TEXT = 64
"""Channels of a token."""


class Words(nn.Module):
    """A text encoder of single words: what a word is, and where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.what = nn.Embedding(len(VOCABULARY), TEXT)
        self.where = nn.Parameter(torch.randn(LENGTH, TEXT) / 4)

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """float32 [n, 8, 64].

        Raises:
            InputError: a word that the model has never seen, or too many words.
        """
        rows = [self.tokens(prompt) for prompt in prompts]
        return self.what(torch.tensor(rows, device=self.where.device)) + self.where

    @staticmethod
    def split(prompt: str) -> list[str]:
        """The words of a prompt, a token each."""
        return prompt.lower().split()

    def tokens(self, prompt: str) -> list[int]:
        """Numbers in `VOCABULARY`, filled up to `LENGTH`."""
        words = self.split(prompt)
        for word in words:
            if word not in VOCABULARY:
                raise InputError("prompt", word, "is no word of this model", nearest(word, VOCABULARY[1:]))
        if len(words) > LENGTH:
            problem = f"has {len(words)} words"
            raise InputError("prompt", prompt, problem, f"use at most {LENGTH}")
        return [VOCABULARY.index(word) for word in words] + [0] * (LENGTH - len(words))


class VideoModel(nn.Module):
    """A backbone of diffusers and the encoder of its prompts.

    Attributes:
        predicts: "flow", noise minus clip at a sigma of 0 to 1; "noise" at a step of a schedule; or "v", which is
            A x noise - S x clip at one (CogVideoX).
        steps: time steps as the backbone counts them.
        frames: that a clip must have at least.
        fold: pixels a side that the backbone sees as channels of one; 1 for latents of an autoencoder.
        vae: the autoencoder, with `encode` and `decode`; None where clips are pixels.
    """

    def __init__(
        self, backbone: nn.Module, text: nn.Module, predicts: str, frames: int, fold: int = 1, vae: Any = None
    ) -> None:
        super().__init__()
        self.backbone, self.text, self.predicts, self.frames = backbone, text, predicts, frames
        self.fold, self.vae = fold, vae

    def encoded(self, pixels: Tensor) -> Tensor:
        """What is edited, of pixels [n, 3, frames, height, width]."""
        return pixels if self.vae is None else self.vae.encode(pixels)

    def decoded(self, clips: Tensor) -> Tensor:
        """Pixels of what was edited."""
        return clips if self.vae is None else self.vae.decode(clips)

    def forward(self, clips: Tensor, times: Tensor, text: Tensor) -> Tensor:
        """What `predicts` says, of clips [n, ...] at time steps [n] under text [n, tokens, channels]."""
        *_, last = self.backbone.parameters()
        kind = last.dtype  # of the output layer: diffusers keeps some of the first ones in float32
        clips, text = clips.to(kind), text.to(kind)
        if type(self.backbone).__name__ == "CogVideoXTransformer3DModel":
            turned = cogvideox_rotary(self.backbone, clips.shape)
            found = self.backbone(clips.transpose(1, 2), text, times, image_rotary_emb=turned)
            return found.sample.transpose(1, 2)
        if self.fold == 1:
            return self.backbone(clips, times, text).sample
        frames = F.pixel_unshuffle(clips.transpose(1, 2), self.fold)
        found = self.backbone(frames.transpose(1, 2), times, text).sample
        return F.pixel_shuffle(found.transpose(1, 2), self.fold).transpose(1, 2)


def cogvideox_rotary(backbone: Any, shape: torch.Size) -> tuple[Tensor, Tensor] | None:
    """Cosine and sine of CogVideoX's rotary embedding of clips of this shape, or None where it has none."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    sizes = backbone.config
    if not sizes.use_rotary_positional_embeddings:
        return None
    frames, high, wide = shape[2], shape[3] // sizes.patch_size, shape[4] // sizes.patch_size
    return get_3d_rotary_pos_embed(
        sizes.attention_head_dim, ((0, 0), (high, wide)), (high, wide), frames, device=backbone.device
    )


def dit(**changed: Any) -> VideoModel:
    """A Wan transformer of four blocks of 128 channels, 256 tokens a clip: each stands for 2x2x2 pixels.

    Args:
        changed: fields of diffusers' configuration.
    """
    from diffusers import WanTransformer3DModel

    sizes: dict[str, Any] = {
        "patch_size": (2, 2, 2),
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "text_dim": TEXT,
        "freq_dim": 64,
        "ffn_dim": 384,
        "num_layers": 4,
        "rope_max_seq_len": 32,
    }
    return VideoModel(WanTransformer3DModel(**sizes | changed), Words(), "flow", FRAMES)


def unet(**changed: Any) -> VideoModel:
    """Zeroscope's U-Net with 24 and 48 channels at 8x8 and 4x4 places of 2x2 pixels, one layer a block.

    Args:
        changed: fields of diffusers' configuration.
    """
    from diffusers import UNet3DConditionModel

    fold = 2
    sizes: dict[str, Any] = {
        "sample_size": SIZE // fold,
        "in_channels": fold**2 * CHANNELS,
        "out_channels": fold**2 * CHANNELS,
        "down_block_types": ("CrossAttnDownBlock3D",) * 2,
        "up_block_types": ("CrossAttnUpBlock3D",) * 2,
        "block_out_channels": (24, 48),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "cross_attention_dim": TEXT,
        "attention_head_dim": 8,
    }
    return VideoModel(UNet3DConditionModel(**sizes | changed), Words(), "noise", FRAMES, fold)


class Judge(nn.Module):
    """Tells colour, form, motion and background of a clip: a metric, no part of any editor."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(CHANNELS, width, 3, padding=1),
            nn.GELU(),
            nn.Conv3d(width, 2 * width, 3, (1, 2, 2), 1),
            nn.GELU(),
            nn.Conv3d(2 * width, 4 * width, 3, 2, 1),
            nn.GELU(),
        )
        self.heads = nn.Linear(4 * width, 4 * len(WORDS))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits [n, attributes, words of each]."""
        found = self.body(clips).amax((2, 3, 4))  # wherever the shape is
        return self.heads(found).unflatten(1, (len(WORDS), -1))
