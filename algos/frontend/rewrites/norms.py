"""Norms that are spelled out."""

from __future__ import annotations

import torch

from algos.frontend.graph import Node, Value
from algos.frontend.rewrites.builder import VIEWS, Builder

ATEN = torch.ops.aten


def rms(node: Node, build: Builder) -> Value | None:
    """x rsqrt(mean(x^2) + epsilon), times a gain a channel."""
    if node.operation not in ("aten.mul", "aten.mul_"):
        return None
    for x, factor in ((node["self"], node["other"]), (node["other"], node["self"])):
        if not isinstance(x, Value) or not isinstance(factor, Value):
            continue
        epsilon = _mean_square(factor, x)
        if epsilon is not None:
            return build(ATEN.rms_norm.default, x, [x.extent[-1]], None, epsilon)
        norm = x.producer
        if norm is None or norm.operation != "aten.rms_norm" or norm["weight"] is not None:
            continue
        if factor.constant and factor.elements == x.extent[-1] and len(x.users) == 1:
            gain = build.constant(factor.data.reshape(-1))
            return build(ATEN.rms_norm.default, norm["input"], norm["normalized_shape"], gain, norm["eps"])
    return None


def _mean_square(factor: Value, x: Value) -> float | None:
    """Epsilon of rsqrt(mean over the last axis of x^2 + epsilon)."""
    root = factor.producer
    if root is None or root.operation != "aten.rsqrt":
        return None
    added = root["self"].producer
    if added is None or added.operation not in ("aten.add", "aten.add_"):
        return None
    number = added["other"]
    number = float(number.data) if isinstance(number, Value) and number.constant else number
    mean = added["self"].producer
    if not isinstance(number, float) or mean is None or mean.operation != "aten.mean":
        return None
    axes = [axis % len(x.extent) for axis in mean["dim"] or []]
    power = mean["self"].producer
    if axes != [len(x.extent) - 1] or power is None:
        return None
    squared = power.operation == "aten.pow" and power["self"] is x and power.arguments.get("exponent") == 2
    product = power.operation == "aten.mul" and power["self"] is x and power["other"] is x
    return number if squared or product or power.operation == "aten.square" else None


def unit(node: Node, build: Builder) -> Value | None:
    """x over its length along an axis: a norm of the mean square, over the root of the axis' size."""
    if node.operation != "aten.div" or not isinstance(node["other"], Value):
        return None
    x, length = node["self"], node["other"]
    while (below := length.producer) is not None and below.operation in (
        *VIEWS,
        "aten.clamp_min",
        "aten.clamp",
    ):
        length = below["self"]
    if below is None or below.operation != "aten.linalg_vector_norm" or below["self"] is not x:
        return None
    axes = [axis % len(x.extent) for axis in below["dim"] or []]
    if len(axes) != 1 or below["ord"] != 2 or not below["keepdim"]:
        return None
    size = x.extent[axes[0]]
    along = build(ATEN.transpose.int, x, axes[0], -1)
    gain = build.constant(torch.full((size,), size**-0.5))
    return build(ATEN.transpose.int, build(ATEN.rms_norm.default, along, [size], gain, 1e-12), axes[0], -1)


def logarithm(node: Node, build: Builder) -> Value | None:
    """log softmax: x + (log p - x) of the likeliest entry, whose probability INT8 resolves."""
    if node.operation not in ("aten.log_softmax", "aten._log_softmax"):
        return None
    x, axis = node["self"], [node["dim"]]
    likeliest = build(ATEN.amax.default, build(ATEN.softmax.int, x, node["dim"]), axis, True)
    offset = build(
        ATEN.sub.Tensor,
        build(ATEN.log.default, build(ATEN.clamp.default, likeliest, 1e-6)),
        build(ATEN.amax.default, x, axis, True),
    )
    return build(ATEN.add.Tensor, x, offset)
