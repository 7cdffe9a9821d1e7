"""INT8 codebooks with a learned scale, and weights rebuilt from them for fine-tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from algos.weights import phases
from algos.weights.grouping import ungroup
from sim.formats.encoding import mask_rank
from sim.network import CodebookWeight, Weight

LOW, HIGH = -128, 127  # q_b = 8 (MVQ eq. 5)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def rounded(values: Tensor) -> Tensor:
    """To whole numbers; gradients pass through."""
    found: Tensor = _Round.apply(values)
    return found


def quantize(codebook: Tensor, scale: Tensor, low: int = LOW) -> Tensor:
    """s * clamp(round(v / s), low, 127) (MVQ eq. 5), with LSQ's gradients of v and s.

    Clamped after it is rounded: the largest element, which starts at 127 steps, is a rounding error above them
    as often as below, and would get no gradient.
    """
    return rounded(codebook / scale).clamp(low, HIGH) * scale


def initial_scale(codebook: Tensor, low: int = LOW) -> Tensor:
    """The scale of least squared error among 64 fractions of the largest magnitude."""
    top = codebook.abs().max().clamp(min=1e-12) / HIGH
    candidates = top * torch.linspace(0.4, 1.0, 64, device=codebook.device)
    errors = [((quantize(codebook, s, low) - codebook) ** 2).sum() for s in candidates]
    return candidates[int(torch.stack(errors).argmin())].clone()


class Codebook(nn.Module):
    """k INT8 codewords of one learned scale. Layers that hold the same module share it.

    The logarithm of the scale is the parameter: a scale is about 1e-3, and an optimizer step of the
    codebook's size would turn its sign.

    Args:
        codewords: float [k, d].
        low: of the integers; -128, or 0 where codewords are magnitudes (SSVQ).
    """

    def __init__(self, codewords: Tensor, low: int = LOW) -> None:
        super().__init__()
        self.codewords = nn.Parameter(codewords.clone())
        self.log_scale = nn.Parameter(initial_scale(codewords, low).log())
        self.low = low

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    def forward(self) -> Tensor:
        """float [k, d], multiples of the scale."""
        return quantize(self.codewords, self.scale, self.low)

    @torch.no_grad()
    def integers(self) -> np.ndarray:
        """int8 [k, d]."""
        steps = (self.codewords / self.scale).round().clamp(self.low, HIGH)
        return steps.to(torch.int8).cpu().numpy()


class IntegerWeight(nn.Module, ABC):
    """A weight, put on a layer as a parametrization, whose integers an export takes as they are."""

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Its parameters by what they are."""
        return {}

    def after_step(self, done: int, total: int | None) -> None:
        """After update `done` of `total`, which is None where nobody knows: projects parameters."""

    @abstractmethod
    def stored(self) -> Weight:
        """The weight in integers."""

    @abstractmethod
    def scales(self) -> np.ndarray:
        """float64 [K]: real values of the integer 1 in each output channel, added ones included."""


class CodedWeight(IntegerWeight):
    """A weight, grouped output-channel-wise, that comes from a codebook; put on a layer by `attach`.

    Args:
        assignments: int64 [n].
        shape: of the weight, with the output channels added.
        added: how many of its last output channels have the value 0 and are stored only.
    """

    def __init__(self, codebook: Codebook, assignments: Tensor, shape: torch.Size, added: int = 0) -> None:
        super().__init__()
        self.codebook, self.shape, self.added = codebook, shape, added
        self.register_buffer("assignments", assignments.clone())

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"codebook": list(self.codebook.parameters())}

    @abstractmethod
    def vectors(self) -> Tensor:
        """The decoded sub-vectors, float [n, d]."""

    @abstractmethod
    def stored(self) -> CodebookWeight:
        """The weight in integers."""

    def forward(self, weight: Tensor) -> Tensor:
        return self.used(ungroup(self.vectors(), self.shape))

    def used(self, weight: Tensor) -> Tensor:
        """The weight without the channels that were added."""
        return weight[: self.shape[0] - self.added] if self.added else weight

    def scales(self) -> np.ndarray:
        return np.full(self.shape[0], float(self.codebook.scale.detach()))

    @property
    def places(self) -> tuple[int, int, int, int]:
        """[K/d, C, Ky, Kx]: where the sub-vectors lie."""
        outputs, inputs, ky, kx = (*tuple(self.shape), 1, 1)[:4]
        return outputs // self.codebook.codewords.shape[1], inputs, ky, kx

    def stored_assignments(self) -> np.ndarray:
        """uint16 [K/d, C, Ky, Kx]."""
        return self.assignments.cpu().numpy().astype(np.uint16).reshape(self.places)


class _MaskedMean(torch.autograd.Function):
    """Look-up whose gradient is the masked mean over the members of a codeword (MVQ eq. 6)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, assignments: Tensor, masks: Tensor, members: Tensor) -> Tensor:
        ctx.save_for_backward(assignments, masks, members)
        return values[assignments] * masks

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        assignments, masks, members = ctx.saved_tensors
        total = torch.zeros_like(members).index_add_(0, assignments, gradient * masks)
        return total / members.clamp(min=1), None, None, None


class MaskedWeight(CodedWeight):
    """codebook[assignments] o masks; codebook and scale are learned (MVQ sec. 4.2). Masks of ones: plain VQ.

    Args:
        masks: bool or float [n, d].
        pattern: N:M of the masks, (0, 0) without.
    """

    def __init__(
        self,
        codebook: Codebook,
        assignments: Tensor,
        masks: Tensor,
        shape: torch.Size,
        pattern: tuple[int, int],
        added: int = 0,
    ) -> None:
        super().__init__(codebook, assignments, shape, added)
        self.pattern = pattern
        masks = masks.to(codebook.codewords.dtype)
        self.register_buffer("masks", masks)
        members = torch.zeros_like(codebook.codewords).index_add_(0, assignments, masks)
        self.register_buffer("members", members.detach(), persistent=False)

    def vectors(self) -> Tensor:
        return _MaskedMean.apply(self.codebook(), self.assignments, self.masks, self.members)

    def stored(self) -> CodebookWeight:
        keep, group = self.pattern
        codes = None
        if group:
            masks = self.masks.bool().cpu().numpy().reshape(*self.places, -1, group)
            codes = mask_rank(masks, keep, group).astype(np.uint16)
        return CodebookWeight(self.codebook.integers(), self.stored_assignments(), codes, keep, group)


def tie(weights: Sequence[MaskedWeight]) -> None:
    """Makes the gradient of the codebook that these weights share the mean over all their members."""
    total = torch.stack([weight.members for weight in weights]).sum(0)
    for weight in weights:
        weight.members = total


def attach(layer: nn.Module, weight: IntegerWeight) -> None:
    """Makes the layer take its weight from integers, a transposed convolution as its `phases`; its own one is frozen
    and unused."""
    parametrize.register_parametrization(layer, "weight", weight, unsafe=True)
    if phases.whole(layer):
        joined = phases.Joined(layer.stride, layer.groups)
        parametrize.register_parametrization(layer, "weight", joined, unsafe=True)
    layer.parametrizations.weight.original.requires_grad_(False)


def attached(layer: nn.Module) -> CodedWeight | None:
    """The codebook that a layer takes its weight from, None without one."""
    part = in_integers(layer)
    return part if isinstance(part, CodedWeight) else None


def in_integers(layer: nn.Module) -> IntegerWeight | None:
    """What gives a layer's weight in integers, None for a dense layer."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    part = layer.parametrizations.weight[0]
    return part if isinstance(part, IntegerWeight) else None
