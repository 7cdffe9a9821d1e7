"""Integers in float while a network is calibrated: weights a channel, activations a time step.

Activations are asymmetric with one scale for a group of time steps ("multi-timestep activation quantization", inspired
by arXiv 2412.06661), weights symmetric with a scale an output channel. Scales learn as in LSQ (Esser et al. 2020), kept
positive as exponents.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from algos.diffusion.clock import Clock

Range = Literal["minmax", "mse"]
FRACTIONS = torch.linspace(0.3, 1.0, 29)
"""Of the whole range, tried for the least squared error."""
SEEN = 4096
"""Values that one call leaves for the choice of a range."""
SMALLEST = 1e-8


def straight(x: Tensor) -> Tensor:
    """Rounded, with the gradient of x."""
    return x + (x.round() - x).detach()


class ActivationQuantizer(nn.Module):
    """x [n, ...] -> the nearest of 2^bits values, those of the sample's time step.

    Attributes:
        log_scale: float [G], natural logarithms of the scales of G groups of consecutive time steps.
        zero: float [G], integers: the step that stands for 0.
        enabled: whether it does anything.
        watching: whether it notes what passes.
    """

    log_scale: Tensor
    zero: Tensor

    def __init__(self, bits: int, groups: int, clock: Clock) -> None:
        super().__init__()
        self.bits, self.clock = bits, clock
        self.log_scale = nn.Parameter(torch.zeros(groups))
        self.register_buffer("zero", torch.zeros(groups))
        self.enabled, self.watching = False, False
        self._seen: list[list[Tensor]] = [[] for _ in range(groups)]

    @property
    def groups(self) -> int:
        return len(self.zero)

    def group(self) -> Tensor:
        """int64 [n], of each sample's time step."""
        return self.clock.step * self.groups // len(self.clock)

    def forward(self, x: Tensor) -> Tensor:
        if self.watching:
            self._watch(x.detach())
        if not self.enabled:
            return x
        group, ones = self.group(), [1] * (x.ndim - 1)
        scale = self.log_scale.exp()[group].view(-1, *ones)
        zero = self.zero[group].view(-1, *ones)
        q = straight(x / scale) + zero
        return (q.clamp(0, 2**self.bits - 1) - zero) * scale

    def _watch(self, x: Tensor) -> None:
        """Both ends of each group, and some values between."""
        group = self.group()
        for number in group.unique().tolist():
            flat = x[group == number].flatten()
            few = flat[:: max(1, len(flat) // SEEN)]
            self._seen[number].append(torch.cat([few, torch.stack(torch.aminmax(flat))]))

    @torch.no_grad()
    def settle(self, way: Range) -> float:
        """Scales and zeros from what passed, which is then forgotten; the squared error a value.

        Groups that nothing passed keep those of all.
        """
        everything = torch.cat([part for parts in self._seen for part in parts])
        total = 0.0
        for number, parts in enumerate(self._seen):
            values = torch.cat(parts) if parts else everything
            scale, zero, error = self._fitted(values, way)
            self.log_scale[number], self.zero[number] = scale.log(), zero
            total += float(error) / self.groups
        self._seen = [[] for _ in self._seen]
        return total

    def _fitted(self, values: Tensor, way: Range) -> tuple[Tensor, Tensor, Tensor]:
        low, high = values.min().clamp(max=0), values.max().clamp(min=0)
        top = 2**self.bits - 1
        fractions = torch.ones(1) if way == "minmax" else FRACTIONS
        scales = ((high - low) * fractions / top).clamp(min=SMALLEST)
        zeros = (-low * fractions / scales).round().clamp(0, top)
        q = ((values / scales[:, None]).round() + zeros[:, None]).clamp(0, top)
        errors = (((q - zeros[:, None]) * scales[:, None] - values) ** 2).mean(1)
        best = errors.argmin()
        return scales[best], zeros[best], errors[best]


class WeightQuantizer(nn.Module):
    """Parametrization of a weight [K, ...]: the nearest integer in -2^(bits-1)..2^(bits-1)-1 times the channel's scale.

    Attributes:
        log_scale: float [K], natural logarithms.
    """

    def __init__(self, weight: Tensor, bits: int, way: Range) -> None:
        super().__init__()
        self.bits, self.enabled = bits, False
        self.log_scale = nn.Parameter(_scales(weight.detach(), bits, way).log())

    def scale(self, ndim: int) -> Tensor:
        """[K, 1, ...]."""
        return self.log_scale.exp().view(-1, *[1] * (ndim - 1))

    def integers(self, weight: Tensor) -> Tensor:
        """float [K, ...], whole numbers."""
        top = 2.0 ** (self.bits - 1)
        return straight(weight / self.scale(weight.ndim)).clamp(-top, top - 1)

    def forward(self, weight: Tensor) -> Tensor:
        return self.integers(weight) * self.scale(weight.ndim) if self.enabled else weight


class RoundedWeight(WeightQuantizer):
    """A weight whose values go up or down as it learns (AdaRound, Nagel et al. 2020).

    Attributes:
        logit: float [K, ...]; the rectified sigmoid of it is what is added to the integer below.
        hard: whether it is rounded to 0 or 1.
    """

    STRETCH = (-0.1, 1.1)
    """Of the sigmoid (AdaRound eq. 23)."""

    def __init__(self, weight: Tensor, bits: int, way: Range) -> None:
        super().__init__(weight, bits, way)
        self.log_scale.requires_grad_(False)
        low, high = self.STRETCH
        rest = weight.detach() / self.scale(weight.ndim)
        share = ((rest - rest.floor()) - low) / (high - low)
        self.logit = nn.Parameter(torch.logit(share))
        self.hard = False

    def added(self) -> Tensor:
        """[K, ...], 0..1."""
        low, high = self.STRETCH
        soft = (self.logit.sigmoid() * (high - low) + low).clamp(0, 1)
        return (soft >= 0.5).float() if self.hard else soft

    def integers(self, weight: Tensor) -> Tensor:
        top = 2.0 ** (self.bits - 1)
        return ((weight.detach() / self.scale(weight.ndim)).floor() + self.added()).clamp(-top, top - 1)

    def penalty(self, beta: float) -> Tensor:
        """Mean of 1 - |2 h - 1|^beta (AdaRound eq. 24)."""
        return (1 - (2 * self.added() - 1).abs().pow(beta)).mean()


def _scales(weight: Tensor, bits: int, way: Range) -> Tensor:
    """[K] of a weight [K, ...]."""
    flat, top = weight.flatten(1), 2 ** (bits - 1)
    reach = flat.abs().amax(1).clamp(min=SMALLEST) / (top - 1)
    if way == "minmax":
        return reach
    tried = reach[:, None] * FRACTIONS
    q = (flat[:, None] / tried[..., None]).round().clamp(-top, top - 1)
    errors = ((q * tried[..., None] - flat[:, None]) ** 2).sum(2)
    return tried.gather(1, errors.argmin(1, keepdim=True))[:, 0]
