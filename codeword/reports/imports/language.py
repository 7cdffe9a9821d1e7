"""The architectures of the package transformers: each configuration with two layers and random weights."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from itertools import islice
from typing import Any

import torch
from torch import nn

from codeword.reports.imports.modules import Built, Module, Tensors

TOKENS = 32
LAYERS = 2
EXPERTS = 16
"""At most: those of one layer may take more memory than a machine has."""

_DEPTHS = (
    *("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers"),
    *("num_decoder_layers", "num_encoder_layers", "encoder_num_layers", "decoder_num_layers"),
)
"""What configurations call the number of their layers."""


def transformers() -> Iterator[Module]:
    """Every ninth architecture of AutoModel, in the order of the package."""
    yield from islice(_architectures(), 0, None, 9)


def _architectures() -> Iterator[Module]:
    auto = import_module("transformers.models.auto.modeling_auto")
    seen = set()
    for config in auto.MODEL_MAPPING:
        try:
            classes = auto.MODEL_MAPPING[config]
        except (ValueError, ImportError):  # a name without a class, or one of another package
            continue
        for one in classes if isinstance(classes, tuple) else (classes,):
            if one.__name__ not in seen:
                seen.add(one.__name__)
                yield Module(one.__name__, lambda c=config, o=one: _built(c, o))  # type: ignore[misc]


def _built(config_class: Any, model_class: Any) -> Built:
    model = model_class(_config(config_class))
    taken = signature(model.forward).parameters
    fixed = {name: value for name, value in (("use_cache", False), ("return_dict", True)) if name in taken}
    inputs = {model.main_input_name: _input(model, model.main_input_name)}
    for other in ("input_ids", "pixel_values", "decoder_input_ids"):
        required = other in taken and taken[other].default is taken[other].empty
        pair = other == "decoder_input_ids" and model.config.is_encoder_decoder
        both = model.main_input_name == "input_ids" and hasattr(model, "get_image_features")
        clip = other == "pixel_values" and both and not hasattr(model.config, "image_token_id")
        if other not in inputs and other in taken and (required or pair or clip):
            inputs[other] = _input(model, other)
    return Tensors(model, tuple(inputs), **fixed), tuple(inputs.values())


def _config(config_class: Any) -> Any:
    config = config_class()
    depths = {name: LAYERS for name in _DEPTHS if isinstance(getattr(config, name, None), int)}
    for name, value in vars(config).items():
        if "experts" in name and "per" not in name and isinstance(value, int):
            depths[name] = min(value, EXPERTS)
        if hasattr(value, "to_dict") and name.endswith("_config"):
            depths[name] = _config(type(value)).to_dict()
    for one in (depths, {k: v for k, v in depths.items() if isinstance(v, int)}, {}):
        try:
            return config_class(**one)
        except (TypeError, ValueError, AttributeError, KeyError):
            continue
    return config


def _input(model: nn.Module, name: str) -> torch.Tensor:
    config = model.config
    if name.endswith("input_ids"):
        return torch.ones(1, TOKENS, dtype=torch.long)
    if name.startswith("pixel_values"):
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", 224)
        height, width = size if isinstance(size, list | tuple) else (size, size)
        frames = (
            (getattr(vision, "num_frames", 8),)
            if name == "pixel_values_videos" or "Video" in type(model).__name__
            else ()
        )
        return torch.rand(1, *frames, getattr(vision, "num_channels", 3), height, width)
    if name == "input_features":
        bins = getattr(config, "num_mel_bins", None) or getattr(config, "feature_size", 80)
        length = 2 * getattr(config, "max_source_positions", 50)
        return torch.rand(1, bins, length) if "hisper" in type(model).__name__ else torch.rand(1, 100, bins)
    if name == "input_values":
        return torch.rand(1, 8000)
    raise ValueError(f"its input {name} is of no known form")
