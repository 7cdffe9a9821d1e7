"""Normalizations."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from algos.frontend.constants import affine_layer
from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout
from algos.frontend.lower import Lowering
from algos.frontend.operator import Call, Missing, Operator
from sim.importers.steps import Form, Step, pointwise, work
from sim.network import LayerNorm, Softmax, exponent_table, norm_constants
from algos.frontend.calibrate import Activation

PROBABILITY = Activation(1 / 256, -128)
"""What a softmax gives."""


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

    names = ("batch_norm", "_native_batch_norm_legit_no_training")
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

    names = ("layer_norm", "native_layer_norm", "rms_norm")

    def steps(self, call: Call) -> list[Step]:
        kind = "rmsnorm" if call.operator == "aten.rms_norm" else "layernorm"
        return [work(call.name, kind, [call.source], call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        source, rms = node["input"], node.operation == "aten.rms_norm"
        if len(node["normalized_shape"]) != 1:
            raise Missing("normalizes over several axes", "normalize over the last axis")
        channels = source.extent[-1]
        held = to.held[source]
        order = Layout(held.layout.channels).index().reshape(-1)
        if sorted(order) != list(range(channels)):
            raise Missing("normalizes elements that do not lie along channels", "a layer that permutes a map")
        tail = to.tail(node.out, held.layout)
        out = to.emitted(tail)
        gain, bias = (
            np.full(channels, fill) if value is None else value.data.double().numpy()
            for value, fill in ((node["weight"], 1.0), (node.arguments.get("bias"), 0.0))
        )
        epsilon = node["eps"] if node["eps"] is not None else float(torch.finfo(source.dtype).eps)
        name = to.name(node.name)
        constants = norm_constants(gain[order], bias[order], epsilon, held.scale, out.scale)
        to.add(LayerNorm(name, held.tensor, *constants, rms, out.zero_point, out.low, out.high))
        to.settle(tail, name, out)


class GroupNorm(Operator):
    """Over groups of channels and all positions."""

    names = ("group_norm", "instance_norm")
    fix = "use a batch norm, or a layer norm over channels"

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "layernorm", [call.source], call.out)]


class SoftMax(Operator):
    """Over the last axis."""

    names = ("softmax", "_softmax", "log_softmax", "_log_softmax")

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "softmax", [call.source], call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        source = node["self"]
        held, runs, groups = to.held[source], source.extent[node["dim"]], 0
        inner = _stride(source, node["dim"])
        if "log" in node.operation:
            raise Missing("a logarithm of probabilities", "end with the logits")
        digits = held.layout.channels
        if digits and digits[-1][0] == inner and digits[-1][1] % runs == 0:
            groups = held.layout.map[0] // runs
        elif runs > 1:
            raise Missing(
                "a softmax over elements that do not lie along channels", "a layer that permutes a map"
            )
        name = to.name(node.name)
        to.add(Softmax(name, held.tensor, exponent_table(held.scale), groups or held.layout.map[0], -128))
        tail = to.tail(node.out, held.layout)
        to.settle(type(tail)(tail.end, tail.layout, tail.gain, tail.offset, tail.end), name, PROBABILITY)


def _stride(value: Value, axis: int) -> int:
    inner = 1
    for n in value.extent[axis % len(value.extent) + 1 :]:
        inner *= n
    return inner
