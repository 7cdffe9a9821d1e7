"""Functions of one element."""

from __future__ import annotations

from typing import ClassVar

from algos.frontend.operator import Call, Operator
from sim.importers.steps import Form, Step, Tensor, arithmetic, pointwise, work


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
        "_to_copy",
        "abs",
        "acos",
        "asin",
        "asinh",
        "atan",
        "ceil",
        "celu",
        "cos",
        "cosh",
        "elu",
        "elu_",
        "erf",
        "erfc",
        "erfinv",
        "exp",
        "exp2",
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
        "log10",
        "log1p",
        "log2",
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
        "sinh",
        "softplus",
        "softshrink",
        "sqrt",
        "square",
        "tan",
        "tanh",
        "tanh_",
        "threshold",
        "to",
        "type_as",
        "trunc",
    )
    elementwise = True

    def steps(self, call: Call) -> list[Step]:
        return [pointwise(call.name, Form.TABLE, (call.active or call.tensors)[0], call.out)]


class Power(Lookup):
    """Of a constant exponent, or else exp(e log x)."""

    names: ClassVar[tuple[str, ...]] = ("pow",)

    def steps(self, call: Call) -> list[Step]:
        base, exponent, out = call["self"], call["exponent"], call.out
        if not isinstance(exponent, Tensor) or exponent.constant or not isinstance(base, Tensor):
            return super().steps(call)
        steps, factor = [], Tensor(f"{out.name}/log", base.extent, base.constant)
        if not base.constant:
            steps.append(pointwise(f"{call.name}.log", Form.TABLE, base, factor))
        elif base.elements == 1:
            return super().steps(call)
        scaled = Tensor(f"{out.name}/scaled", out.extent)
        return [
            *steps,
            arithmetic(f"{call.name}.multiply", "multiply", factor, exponent, scaled),
            pointwise(f"{call.name}.exp", Form.TABLE, scaled, out),
        ]


class Slopes(Lookup):
    """PReLU: a table where all channels share it, else a product an element."""

    names: ClassVar[tuple[str, ...]] = ("prelu",)

    def steps(self, call: Call) -> list[Step]:
        if call["weight"].elements == 1:
            return super().steps(call)
        return [work(call.name, "multiply", [call["self"]], call.out)]
