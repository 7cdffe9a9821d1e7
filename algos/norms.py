"""Batch norms on integer hardware: folded into requantization, whose multiplier is unsigned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos.flow import normed
from sim.errors import InputError


def fold_norm(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset [K] of a batch norm at inference.

    Raises:
        InputError: a negative gain, which an unsigned multiplier cannot express.
    """
    gain = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    if (gain < 0).any():
        raise InputError(
            "batch norm gain",
            float(gain.min()),
            "negative",
            "flip the filter first: algos.norms.absorb_gain_signs",
        )
    return gain.numpy(), (norm.bias.detach().double() - norm.running_mean.double() * gain).numpy()


def _norms(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    layers = list(model.modules())
    return [
        (conv, norm)
        for conv, norm in pairwise(layers)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    ]


@torch.no_grad()
def absorb_gain_signs(model: nn.Module) -> None:
    """Makes every batch-norm gain positive by flipping its filter; the function stays the same.

    Requantization multiplies by an unsigned integer, and the filters of one codeword cannot be
    flipped one by one after clustering.
    """
    for conv, norm in _norms(model):
        _absorb(conv, norm)


def _absorb(conv: nn.Module, norm: nn.Module) -> None:
    sign = torch.where(norm.weight < 0, -1.0, 1.0)
    conv.weight *= sign.reshape(-1, *[1] * (conv.weight.ndim - 1))
    for tensor in (conv.bias, norm.weight, norm.running_mean):
        if tensor is not None:
            tensor *= sign


@torch.no_grad()
def make_gains_positive(module: nn.Module, inputs: Any) -> Callable[[], None]:
    """The same for any module, by data flow; the projection that keeps them so after each training step.

    Args:
        inputs: of the module.
    """
    pairs = [(conv, norm) for conv, norm in normed(module, inputs) if norm.weight is not None]
    for conv, norm in pairs:
        _absorb(conv, norm)
    return _clamping([norm.weight for _, norm in pairs])


def gains_kept_positive(model: nn.Module) -> Callable[[], None]:
    """A projection to call after each training step, so that gains stay above 0."""
    return _clamping([norm.weight for _, norm in _norms(model)])


def _clamping(gains: Sequence[Tensor]) -> Callable[[], None]:
    @torch.no_grad()
    def clamp() -> None:
        for gain in gains:
            gain.clamp_(min=1e-4)

    return clamp
