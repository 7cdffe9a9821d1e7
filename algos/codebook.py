"""INT8 codebooks with a learned scale, and weights rebuilt from them for fine-tuning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from algos.grouping import ungroup

LOW, HIGH = -128, 127  # q_b = 8 (MVQ eq. 5)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def quantize(codebook: Tensor, scale: Tensor) -> Tensor:
    """s * clamp(round(v / s), -128, 127) (MVQ eq. 5), with LSQ's gradients of v and s."""
    return _Round.apply((codebook / scale).clamp(LOW, HIGH)) * scale


def initial_scale(codebook: Tensor) -> Tensor:
    """The scale of least squared error among 64 fractions of the largest magnitude."""
    top = codebook.abs().max() / HIGH
    candidates = top * torch.linspace(0.4, 1.0, 64)
    errors = [((quantize(codebook, s) - codebook) ** 2).sum() for s in candidates]
    return candidates[int(torch.stack(errors).argmin())].clone()


class _MaskedMean(torch.autograd.Function):
    """Look-up whose gradient is the masked mean over the members of a codeword (MVQ eq. 6)."""

    @staticmethod
    def forward(ctx: Any, codebook: Tensor, assignments: Tensor, masks: Tensor) -> Tensor:
        ctx.save_for_backward(assignments, masks)
        ctx.shape = codebook.shape
        return codebook[assignments] * masks

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        assignments, masks = ctx.saved_tensors
        total = gradient.new_zeros(ctx.shape).index_add_(0, assignments, gradient * masks)
        count = gradient.new_zeros(ctx.shape).index_add_(0, assignments, masks)
        return total / count.clamp(min=1), None, None


class CodebookWeightParametrization(nn.Module):
    """A convolution's weight as codebook[assignments] o masks; codebook and scale are learned.

    The logarithm of the scale is the parameter: a scale is about 1e-3, and an optimizer step of the
    codebook's size would turn its sign.

    Register it with `unsafe=True`: the convolution's own weight is no longer used.

    Args:
        codebook: float [k, d].
        assignments: int64 [n].
        masks: bool or float [n, d].
        shape: of the weight.
        pattern: N:M of the masks, (0, 0) without.
    """

    def __init__(
        self, codebook: Tensor, assignments: Tensor, masks: Tensor, shape: torch.Size,
        pattern: tuple[int, int],
    ) -> None:
        super().__init__()
        self.codebook = nn.Parameter(codebook.clone())
        self.log_scale = nn.Parameter(initial_scale(codebook).log())
        self.register_buffer("assignments", assignments.clone())
        self.register_buffer("masks", masks.to(codebook.dtype))
        self.shape, self.pattern = shape, pattern

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    def forward(self, weight: Tensor) -> Tensor:
        values = quantize(self.codebook, self.scale)
        return ungroup(_MaskedMean.apply(values, self.assignments, self.masks), self.shape)


def attach(layer: nn.Conv2d, weight: CodebookWeightParametrization) -> None:
    """Makes the layer take its weight from a codebook; its own one is frozen and unused."""
    parametrize.register_parametrization(layer, "weight", weight, unsafe=True)
    layer.parametrizations.weight.original.requires_grad_(False)


def attached(layer: nn.Module) -> CodebookWeightParametrization | None:
    """The codebook that a layer takes its weight from, None for a dense layer."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    part = layer.parametrizations.weight[0]
    return part if isinstance(part, CodebookWeightParametrization) else None
