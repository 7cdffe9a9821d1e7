"""Transposed convolutions as convolutions."""

from __future__ import annotations

import torch
from torch import Tensor

from algos.frontend.graph import Node, Value
from algos.frontend.rewrites.builder import Builder
from algos.weights.phases import phases

ATEN = torch.ops.aten


def transposed(node: Node, build: Builder) -> Value | None:
    """A transposed convolution of stride s: a convolution for each of the s places between two inputs, whose results
    take turns (`algos.weights.phases`)."""
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
    kernel = phases(real, stride, groups)
    repeated = None
    if node["bias"] is not None:
        repeated = build.constant(node["bias"].data.repeat_interleave(len(kernel) // outputs))
    conv = ATEN.conv2d.default if axes == 2 else ATEN.conv1d.default
    full = [t - 1 for t in taps]
    value = build(
        conv, source, build.constant(kernel, weight.origin), repeated, [1] * axes, full, [1] * axes, groups
    )
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
