"""Weights of transposed convolutions as those of the convolutions that compute them.

A transposed convolution of stride s is one convolution with s output channels for each of its own, whose results
take turns: with z[s i + r] = sum over j of x[i - j] w[s j + r], channel r has the taps w[s j + r].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F

Transposed: TypeAlias = nn.ConvTranspose1d | nn.ConvTranspose2d
KINDS = (nn.ConvTranspose1d, nn.ConvTranspose2d)


def phases(weight: Tensor, stride: Sequence[int], groups: int) -> Tensor:
    """[C, K / groups, ...] -> [K s.., C / groups, taps..]: for each place between two inputs its taps, turned; taps
    that the kernel lacks are 0."""
    axes = len(stride)
    taps = [-(-k // s) for k, s in zip(weight.shape[2:], stride, strict=True)]
    missing = [s * t - k for k, s, t in zip(weight.shape[2:], stride, taps, strict=True)]
    weight = F.pad(weight, [width for more in missing[::-1] for width in (0, more)])
    parts = [n for t, s in zip(taps, stride, strict=True) for n in (t, s)]
    inputs, outputs = weight.shape[:2]
    weight = weight.reshape(groups, inputs // groups, outputs, *parts)
    places = [4 + 2 * axis for axis in range(axes)]
    steps = [3 + 2 * axis for axis in range(axes)]
    weight = weight.permute(0, 2, *places, 1, *steps).flip(list(range(-axes, 0)))
    return weight.reshape(-1, inputs // groups, *taps)


def joined(kernel: Tensor, stride: Sequence[int], groups: int) -> Tensor:
    """Inverse of `phases`, for a kernel of as many taps at each place."""
    axes = len(stride)
    per_group, taps = kernel.shape[1], kernel.shape[2:]
    kernel = kernel.flip(list(range(-axes, 0))).reshape(groups, -1, *stride, per_group, *taps)
    pairs = [place for axis in range(axes) for place in (3 + axes + axis, 2 + axis)]
    kernel = kernel.permute(0, 2 + axes, 1, *pairs)
    sizes = [t * s for t, s in zip(taps, stride, strict=True)]
    return kernel.reshape(groups * per_group, -1, *sizes)


def whole(layer: nn.Module) -> TypeGuard[Transposed]:
    """Whether it is a transposed convolution with as many taps at each place, none of them dilated."""
    return (
        isinstance(layer, KINDS)
        and all(k % s == 0 for k, s in zip(layer.kernel_size, layer.stride, strict=True))
        and all(step == 1 for step in layer.dilation)
    )


class Joined(nn.Module):
    """Parametrization behind one that gives `phases`: what the layer itself takes."""

    def __init__(self, stride: Sequence[int], groups: int) -> None:
        super().__init__()
        self.stride, self.groups = tuple(stride), groups

    def forward(self, kernel: Tensor) -> Tensor:
        return joined(kernel, self.stride, self.groups)
