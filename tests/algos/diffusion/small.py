"""Small diffusion networks with random weights, and what runs them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from algos.diffusion import Clock, Condition, Sampler, classes

diffusers = pytest.importorskip("diffusers")

CLASSES = 3
LINEAR: dict[str, Any] = {"beta_schedule": "linear", "clip_sample": True}
SAMPLER = Sampler("ddim", 4, settings=LINEAR)


def unet(seed: int = 0, **options: Any) -> nn.Module:
    """Of 8x8 maps of one channel; the last convolution does something, unlike a fresh one of some networks."""
    torch.manual_seed(seed)
    settings: dict[str, Any] = dict(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=8,
        num_class_embeds=CLASSES,
    )
    return diffusers.UNet2DModel(**settings | options).eval()


def text_unet(seed: int = 0, **options: Any) -> nn.Module:
    """Reads text of 8 channels."""
    torch.manual_seed(seed)
    settings: dict[str, Any] = dict(
        sample_size=8,
        in_channels=2,
        out_channels=2,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=8,
    )
    return diffusers.UNet2DConditionModel(**settings | options).eval()


def dit(seed: int = 0) -> nn.Module:
    """Of 8x8 maps of two channels; predicts a variance too."""
    torch.manual_seed(seed)
    return diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=2,
        out_channels=4,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=CLASSES,
        norm_num_groups=2,
    ).eval()


def call(model: nn.Module, count: int, time: Tensor, labels: Tensor | None) -> None:
    """On zeros."""
    named: dict[str, Any] = {} if labels is None else {"class_labels": labels}
    if "ConditionModel" in type(model).__name__:
        named["encoder_hidden_states"] = torch.zeros(count, 3, 8)
    model(torch.zeros(count, model.config["in_channels"], 8, 8), timestep=time.expand(count), **named)


def noise(count: int, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, 8, 8, generator=torch.Generator().manual_seed(seed))


def labelled(count: int) -> Condition:
    """Classes in turn; the last one means none."""
    return classes(torch.arange(count) % (CLASSES - 1), CLASSES - 1)


def clock(sampler: Sampler = SAMPLER) -> Clock:
    return Clock(sampler.times)
