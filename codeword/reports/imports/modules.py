"""PyTorch packages and the modules in them, with one input for each; weights have shapes only."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import Any

import torch
from torch import nn

from codeword.reports.imports.counting import macs

Built = tuple[nn.Module, tuple[Any, ...]]

META = torch.device("meta")


@dataclass(frozen=True)
class Module:
    """Something to import.

    Attributes:
        build: the module and its inputs; called within `torch.device("meta")`, or, where the module's
            construction computes with values, outside of it.
    """

    name: str
    build: Callable[[], Built]


def built(module: Module) -> tuple[nn.Module, tuple[Any, ...], int]:
    """The module, its inputs and the multiply-accumulates of one run, without values where that is possible.

    Where the forward pass asks for values the parameters become memory that nobody wrote, and buffers zeros.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with META:
                found, arguments = module.build()
        except _NO_META:
            found, arguments = module.build()
            return found, arguments, macs(found, arguments)
        try:
            with META:
                return found, arguments, macs(found, arguments)
        except _NO_META:
            found.to_empty(device="cpu")
            for buffer in found.buffers():
                buffer.zero_()
            arguments = tuple(_zeros(argument) for argument in arguments)
            return found, arguments, macs(found, arguments)


_NO_META = (RuntimeError, NotImplementedError, ValueError, TypeError, AttributeError)
"""What torch and modules raise where a tensor has no values."""


def _zeros(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_zeros(one) for one in argument]
    return torch.zeros_like(argument, device="cpu")


def torchvision() -> Iterator[Module]:
    """Every model at the least size that its weights are for, but those that are quantized already and detectors,
    where the size of what follows the network depends on the picture."""
    models = import_module("torchvision.models")
    for name in models.list_models():
        if not name.startswith("quantized_") and "detection" not in _file(models, name):
            yield Module(name, lambda name=name: (Tensors(_plain(models, name)), _pictures(models, name)))  # type: ignore[misc]


def _file(models: Any, name: str) -> str:
    return str(models.get_model_builder(name).__module__)


def _plain(models: Any, name: str) -> nn.Module:
    parameters = signature(models.get_model_builder(name)).parameters
    found: nn.Module = models.get_model(
        name, weights=None, **({"weights_backbone": None} if "weights_backbone" in parameters else {})
    )
    return found


def _pictures(models: Any, name: str) -> tuple[Any, ...]:
    module = _file(models, name)
    if "video" in module:
        size = 224 if name.startswith(("mvit", "s3d", "swin")) else 112
        return (torch.rand(1, 3, 16, size, size),)
    if "optical_flow" in module:
        return torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)
    weights = models.get_model_weights(name)
    crop = min(
        (w.transforms().crop_size[0] for w in weights if hasattr(w.transforms(), "crop_size")), default=224
    )
    return (torch.rand(1, 3, crop, crop),)


def timm() -> Iterator[Module]:
    """The first model of two of three files of the package, at its own input size."""
    package = import_module("timm")
    for place, file in enumerate(package.list_modules()):
        if place % 3 < 2:
            (name, *_) = package.list_models(module=file)
            yield Module(name, lambda name=name: _timm(package, name))  # type: ignore[misc]


def _timm(package: Any, name: str) -> Built:
    module = package.create_model(name)
    size = module.pretrained_cfg.get("input_size", (3, 224, 224))
    return module, (torch.rand(1, *size),)


_ENCODERS = ("resnet18", "mit_b0")


def segmentation_models() -> Iterator[Module]:
    """Every architecture on an encoder of convolutions and one of attention, 256x256."""
    package = import_module("segmentation_models_pytorch")
    for architecture in package.MODEL_ARCHITECTURES_MAPPING:
        for encoder in _ENCODERS if architecture != "dpt" else ("tu-vit_tiny_patch16_224.augreg_in21k",):
            yield Module(f"{architecture}/{encoder}", lambda a=architecture, e=encoder: _smp(package, a, e))  # type: ignore[misc]


def _smp(package: Any, architecture: str, encoder: str) -> Built:
    options = {"dynamic_img_size": True} if encoder.startswith("tu-vit") else {}
    module = package.create_model(architecture, encoder, encoder_weights=None, **options)
    return module, (torch.rand(1, 3, 256, 256),)


class Tensors(nn.Module):
    """A module whose results, whatever holds them, are given as a list of tensors."""

    def __init__(self, inner: nn.Module, names: Sequence[str] = (), **fixed: Any) -> None:
        """
        Args:
            names: of the arguments, where they are given by name.
        """
        super().__init__()
        self.inner, self.names, self.fixed = inner, names, fixed

    def forward(self, *arguments: Any) -> list[torch.Tensor]:
        if not self.names:
            return _flat(self.inner(*arguments))
        return _flat(self.inner(**dict(zip(self.names, arguments, strict=True)), **self.fixed))


def _flat(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    values: Sequence[Any] = list(found.values()) if hasattr(found, "values") else list(found or ())
    return [
        tensor
        for value in values
        if isinstance(value, torch.Tensor | list | tuple) or hasattr(value, "values")
        for tensor in _flat(value)
    ]
