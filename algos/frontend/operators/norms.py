"""Normalizations."""

from __future__ import annotations

from math import log2, prod
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from algos.frontend.calibrate import Activation
from algos.frontend.constants import affine_layer
from algos.frontend.graph import Node
from algos.frontend.layout import Layout, of_axes
from algos.frontend.lower import Lowering
from algos.frontend.operator import Call, Missing, Operator
from sim.importers.steps import Form, Step, pointwise, work
from sim.network import LayerNorm, Softmax, exponent_table, norm_constants

ROOM = 2.0
"""Times the largest probability seen, which a softmax can give; over many keys none comes near 1."""


def _batch_norm(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    eps: float,
    **_: object,
) -> torch.Tensor:
    return F.batch_norm(input, running_mean, running_var, weight, bias, eps=eps)


class BatchNorm(Operator):
    """A gain and an offset a channel; part of a convolution before it."""

    names: ClassVar[tuple[str, ...]] = ("batch_norm", "_native_batch_norm_legit_no_training")
    function = staticmethod(_batch_norm)

    def steps(self, call: Call) -> list[Step]:
        return [pointwise(call.name, Form.AFFINE, call["input"], call.out)]

    def affine(self, node: Node) -> tuple[torch.Tensor, torch.Tensor]:
        channels = node["input"].extent[1]
        shape = (channels, *[1] * (len(node["input"].extent) - 2))

        def read(name: str, default: float) -> torch.Tensor:
            value = node[name]
            return torch.full((channels,), default).double() if value is None else value.data.double()

        gain = read("weight", 1.0) / (read("running_var", 1.0) + node["eps"]).sqrt()
        offset = read("bias", 0.0) - read("running_mean", 0.0) * gain
        return gain.reshape(shape), offset.reshape(shape)

    def lower(self, node: Node, to: Lowering) -> None:
        affine_layer(to, node, node["input"], *self.affine(node))


class Norm(Operator):
    """Of each position over its channels."""

    names: ClassVar[tuple[str, ...]] = ("layer_norm", "native_layer_norm", "rms_norm")

    def steps(self, call: Call) -> list[Step]:
        kind = "rmsnorm" if call.operator == "aten.rms_norm" else "layernorm"
        return [work(call.name, kind, [call.source], call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        source, rms = node["input"], node.operation == "aten.rms_norm"
        channels = prod(node["normalized_shape"])
        held, order = to.along_channels(source, len(node["normalized_shape"]))
        tail = to.tail(node.out, held.layout)
        out = to.emitted(tail)
        gain, bias = (
            np.full(channels, fill) if value is None else value.data.double().reshape(-1).numpy()
            for value, fill in ((node["weight"], 1.0), (node.arguments.get("bias"), 0.0))
        )
        epsilon = node["eps"] if node["eps"] is not None else float(torch.finfo(source.dtype).eps)
        name = to.name(node.name)
        constants = norm_constants(gain[order], bias[order], epsilon, held.scale, out.scale)
        to.add(LayerNorm(name, held.tensor, *constants, rms, out.zero_point, out.low, out.high))
        to.settle(tail, name, out)


class GroupNorm(Operator):
    """Over groups of channels and all positions."""

    names: ClassVar[tuple[str, ...]] = ("group_norm", "instance_norm")
    fix = "use statistics of the image itself"

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "layernorm", [call.source], call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        source = node["input"]
        if not node.arguments.get("use_input_stats", True):
            raise Missing("an instance norm with running statistics", self.fix)
        channels = source.extent[1]
        groups = node.arguments.get("num_groups", channels)
        spatial = list(range(2, len(source.extent)))
        place = of_axes(source.extent, [1], *[[axis] for axis in spatial[:2]])
        held = to.read(source, place)
        tail = to.tail(node.out, place)
        out = to.emitted(tail)
        gain, bias = (
            np.full(channels, fill) if value is None else value.data.double().numpy()
            for value, fill in ((node["weight"], 1.0), (node["bias"], 0.0))
        )
        count = source.elements // groups
        epsilon = node.arguments.get("eps", 1e-5)
        constants = norm_constants(gain, bias, epsilon, held.scale, out.scale, count)
        name = to.name(node.name)
        to.add(
            LayerNorm(
                name,
                held.tensor,
                *constants,
                False,
                out.zero_point,
                out.low,
                out.high,
                groups=groups,
                spatial=True,
            )
        )
        to.settle(tail, name, out)


class SoftMax(Operator):
    """Over one axis, which lies innermost along channels."""

    names: ClassVar[tuple[str, ...]] = ("softmax", "_softmax", "log_softmax", "_log_softmax")

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "softmax", [call.source], call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        source = node["self"]
        dim = node["dim"] % len(source.extent)
        held, runs = to.held[source], source.extent[dim]
        inner, digits = prod(source.extent[dim + 1 :]), held.layout.channels
        if not (digits and digits[-1][0] == inner and digits[-1][1] % runs == 0):
            rest = [axis for axis in range(len(source.extent)) if axis != dim]
            held = to.read(source, of_axes(source.extent, [dim], rest))
        groups = held.layout.map[0] // runs
        name = to.name(node.name)
        table = exponent_table(held.scale)
        mask = self._mask(node, held.layout, groups)
        bits = min(max(int(log2(255 / (ROOM * to.seen[node.out].high))), 8), 16)
        to.add(Softmax(name, held.tensor, table, groups, -128, shift=40 - bits, mask=mask))
        out = Activation(2.0**-bits, -128)
        tail = to.tail(node.out, held.layout)
        to.settle(type(tail)(tail.end, tail.layout, tail.gain, tail.offset, tail.end), name, out)

    def _mask(self, node: Node, layout: Layout, groups: int) -> np.ndarray | None:
        return None


class MaskedSoftMax(SoftMax):
    """Of some of the elements; the others get 0 (`algos.frontend.rewrites.masked_softmax`)."""

    namespace = "codeword"
    names: ClassVar[tuple[str, ...]] = ("masked_softmax",)

    def _mask(self, node: Node, layout: Layout, groups: int) -> np.ndarray:
        whole = node["mask"].data.expand(node["self"].extent).reshape(-1).numpy()
        mask = whole[layout.index()].reshape(groups, -1, *layout.map[1:])
        count = next(n for n in range(1, groups + 1) if groups % n == 0 and _repeats(mask, n))
        return np.ascontiguousarray(mask[:: groups // count]).astype(np.uint8)


def _repeats(mask: np.ndarray, count: int) -> bool:
    """Whether equal runs of groups share one of `count` masks."""
    each = mask.reshape(count, -1, *mask.shape[1:])
    return bool((each == each[:, :1]).all())
