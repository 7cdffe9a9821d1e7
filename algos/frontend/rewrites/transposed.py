"""Transposed convolutions as convolutions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.frontend.graph import Node, Value
from algos.frontend.rewrites.builder import Builder

ATEN = torch.ops.aten


def transposed(node: Node, build: Builder) -> Value | None:
    """A transposed convolution of stride s: a convolution for each of the s places between two inputs, whose results
    take turns. With z[s i + r] = sum over j of x[i - j] w[s j + r]."""
    if node.operation not in ("aten.conv_transpose1d", "aten.conv_transpose2d"):
        return None
    weight, source = node["weight"], node["input"]
    axes = len(weight.extent) - 2
    stride, padding, dilation = (
        [*v * axes][:axes] if len(v) == 1 else v for v in (node["stride"], node["padding"], node["dilation"])
    )
    if not weight.constant or source.extent[0] != 1:
        return None
    real = _spread(weight.data, dilation)
    groups, outputs = node["groups"], weight.extent[1] * node["groups"]
    taps = [-(-k // s) for k, s in zip(real.shape[2:], stride, strict=True)]
    kernel = _phases(real, stride, taps, groups)
    repeated = None
    if node["bias"] is not None:
        repeated = build.constant(node["bias"].data.repeat_interleave(len(kernel) // outputs))
    conv = ATEN.conv2d.default if axes == 2 else ATEN.conv1d.default
    full = [t - 1 for t in taps]
    value = build(conv, source, build.constant(kernel), repeated, [1] * axes, full, [1] * axes, groups)
    sizes = value.extent[2:]
    value = build(ATEN.view.default, value, [1, outputs, *stride, *sizes])
    order = [0, 1] + [place for axis in range(axes) for place in (2 + axes + axis, 2 + axis)]
    value = build(ATEN.permute.default, value, order)
    whole = [n * s for n, s in zip(sizes, stride, strict=True)]
    value = build(ATEN.reshape.default, value, [1, outputs, *whole])
    for axis, (skip, count) in enumerate(zip(padding, node.out.extent[2:], strict=True)):
        more = skip + count - value.extent[2 + axis]
        if more > 0:  # output padding reaches beyond the last tap
            widths = [0, 0] * (axes - 1 - axis) + [0, more]
            value = build(ATEN.constant_pad_nd.default, value, widths)
        if (skip, count) != (0, value.extent[2 + axis]):
            value = build(ATEN.slice.Tensor, value, 2 + axis, skip, skip + count)
    return value


def _spread(weight: Tensor, dilation: list[int]) -> Tensor:
    """A dilated kernel with its zeros."""
    for axis, step in enumerate(dilation):
        if step > 1:
            shape = list(weight.shape)
            shape[2 + axis] = (shape[2 + axis] - 1) * step + 1
            wide = weight.new_zeros(shape)
            wide[(slice(None),) * (2 + axis) + (slice(None, None, step),)] = weight
            weight = wide
    return weight


def _phases(weight: Tensor, stride: list[int], taps: list[int], groups: int) -> Tensor:
    """[C, K / groups, ...] -> [K s.., C / groups, taps..]: for each place between two inputs its taps, turned."""
    axes = len(stride)
    widths = [w for k, s, t in zip(weight.shape[2:], stride, taps, strict=True) for w in (s * t - k, 0)][::-1]
    weight = F.pad(weight, [w for pair in zip(widths[0::2], widths[1::2], strict=True) for w in pair])
    parts = [n for t, s in zip(taps, stride, strict=True) for n in (t, s)]
    inputs, outputs = weight.shape[:2]
    weight = weight.reshape(groups, inputs // groups, outputs, *parts)
    places = [4 + 2 * axis for axis in range(axes)]
    steps = [3 + 2 * axis for axis in range(axes)]
    weight = weight.permute(0, 2, *places, 1, *steps)
    return weight.flip([weight.ndim - axes + axis for axis in range(axes)]).reshape(
        -1, inputs // groups, *taps
    )


def _each(value: list[int] | int, axes: int) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * axes if len(values) == 1 else values
