"""Untrained models of the shipped classes, smaller still, and a clip with its edit."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from algos.data import shapes
from algos.video import models
from algos.video.edits import Edit
from algos.video.models import TEXT, VideoModel, Words

SCENE = shapes.scene_of("a red disc moves left over sand")
TASK = Edit(SCENE.caption, SCENE.with_word("blue").caption)
LONGER = Edit(SCENE.caption, "a blue disc moves over sand")


def clip() -> Tensor:
    """[1, 3, 8, 16, 16]"""
    return shapes.clip(SCENE, 3).pixels[None]


@cache
def dit() -> VideoModel:
    torch.manual_seed(0)
    return _fixed(models.dit(num_layers=2, num_attention_heads=2, ffn_dim=64))


@cache
def unet() -> VideoModel:
    torch.manual_seed(0)
    return _fixed(models.unet(block_out_channels=(8, 16)))


@cache
def cogvideox() -> VideoModel:
    """Text and video tokens in one attention, rotary embedding."""
    from diffusers import CogVideoXTransformer3DModel

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 3,
        "out_channels": 3,
        "time_embed_dim": 32,
        "text_embed_dim": TEXT,
        "num_layers": 2,
        "sample_width": 16,
        "sample_height": 16,
        "sample_frames": 8,
        "temporal_compression_ratio": 1,
        "max_text_seq_length": 8,
        "use_rotary_positional_embeddings": True,
    }
    return _fixed(VideoModel(CogVideoXTransformer3DModel(**sizes), Words(), "v", shapes.FRAMES))


def _fixed(model: VideoModel) -> VideoModel:
    return model.eval().requires_grad_(False)
