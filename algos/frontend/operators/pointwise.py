"""Functions of one element."""

from __future__ import annotations

from typing import ClassVar

from algos.frontend.graph import Node
from algos.frontend.lower import Lowering
from algos.frontend.operator import Call, Missing, Operator
from sim.errors import InputError
from sim.importers.steps import Form, Step, pointwise, work


class Clamp(Operator):
    """Part of any requantization."""

    names: ClassVar[tuple[str, ...]] = (
        "relu",
        "relu_",
        "relu6",
        "hardtanh",
        "hardtanh_",
        "clamp",
        "clamp_min",
        "clamp_max",
        "clamp_",
        "neg",
    )
    elementwise = True

    def steps(self, call: Call) -> list[Step]:
        return [pointwise(call.name, Form.CLAMP, call.source, call.out)]


class Lookup(Operator):
    """A table."""

    names: ClassVar[tuple[str, ...]] = (
        "abs",
        "atan",
        "ceil",
        "celu",
        "cos",
        "elu",
        "elu_",
        "erf",
        "exp",
        "expm1",
        "floor",
        "gelu",
        "hardshrink",
        "hardsigmoid",
        "hardsigmoid_",
        "hardswish",
        "hardswish_",
        "leaky_relu",
        "leaky_relu_",
        "log",
        "log1p",
        "log_sigmoid",
        "mish",
        "mish_",
        "reciprocal",
        "round",
        "rsqrt",
        "selu",
        "selu_",
        "sigmoid",
        "sigmoid_",
        "sign",
        "silu",
        "silu_",
        "sin",
        "softplus",
        "softshrink",
        "sqrt",
        "square",
        "tanh",
        "tanh_",
        "threshold",
    )
    elementwise = True

    def steps(self, call: Call) -> list[Step]:
        return [pointwise(call.name, Form.TABLE, call.source, call.out)]


class Power(Lookup):
    """Of a constant exponent."""

    names: ClassVar[tuple[str, ...]] = ("pow",)

    def steps(self, call: Call) -> list[Step]:
        exponent = call["exponent"]
        source = call["self"]
        if not hasattr(source, "extent") or (hasattr(exponent, "extent") and not exponent.constant):
            raise InputError(
                f"node {call.name}",
                call.operator,
                "the exponent is computed by the network",
                "make it a number",
            )
        return super().steps(call)


class Slopes(Lookup):
    """PReLU: a table where all channels share it, else a product an element."""

    names: ClassVar[tuple[str, ...]] = ("prelu",)

    def steps(self, call: Call) -> list[Step]:
        if call["weight"].elements == 1:
            return super().steps(call)
        return [work(call.name, "multiply", [call["self"]], call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        raise Missing("has a slope a channel, and a table is of a whole map", "use one slope: nn.PReLU()")
