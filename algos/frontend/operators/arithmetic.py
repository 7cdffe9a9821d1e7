"""Operations on two tensors, one of which may be constant or broadcast."""

from __future__ import annotations

import torch

from algos.frontend.calibrate import SIGNED
from algos.frontend.constants import affine_layer, expanded
from algos.frontend.graph import Node, Value
from algos.frontend.lower import Held, Lowering, ratio, ratios
from algos.frontend.movement import beside
from algos.frontend.operator import Call, Missing, Operator
from algos.frontend.residual import path_sum, skip
from sim.importers.steps import Form, Step, Tensor, arithmetic, pointwise
from sim.network import Add, Multiply
from sim.shapes import PassShape

OPERATIONS = {
    "add": "add",
    "add_": "add",
    "sub": "subtract",
    "sub_": "subtract",
    "rsub": "subtract",
    "mul": "multiply",
    "mul_": "multiply",
    "div": "divide",
    "div_": "divide",
    "maximum": "compare",
    "minimum": "compare",
}


class Arithmetic(Operator):
    """Sums and products; a constant factor or summand a channel is part of a convolution before it."""

    names = tuple(OPERATIONS)
    elementwise = True

    def steps(self, call: Call) -> list[Step]:
        operation = OPERATIONS[call.operator.removeprefix("aten.")]
        left, right = (
            value if isinstance(value, Tensor) else Tensor("", (), True)  # a number
            for value in list(call.arguments.values())[:2]
        )
        if call.operator == "aten.rsub":
            left, right = right, left
        return [arithmetic(call.name, operation, left, right, call.out)]

    def affine(self, node: Node) -> tuple[torch.Tensor, torch.Tensor] | None:
        left, right = (number(value) for value in (node["self"], node["other"]))
        if (left is None) == (right is None) or node.arguments.get("rounding_mode"):
            return None
        kind, constant = self._kind(node), left if right is None else right
        assert constant is not None
        one, zero = torch.ones(()), torch.zeros(())
        alpha = float(node.arguments.get("alpha") or 1)
        if kind == "multiply":
            return constant, zero
        if kind == "divide" and right is not None:
            return 1 / constant, zero
        if kind == "add":
            return (one, constant * alpha) if right is not None else (one * alpha, constant)
        if kind == "subtract":
            first, second = self._signs(node)
            return (one * first, constant * second) if right is not None else (one * second, constant * first)
        return None

    def lower(self, node: Node, to: Lowering) -> None:
        pair = self.affine(node)
        if pair is not None:
            affine_layer(to, node, node.source, *pair)
            return
        kind = self._kind(node)
        left, right = node["self"], node["other"]
        if not isinstance(left, Value) or not isinstance(right, Value) or left.constant or right.constant:
            raise Missing(f"a constant to {kind} that is not a factor or summand", "compute it beforehand")
        if kind in ("add", "subtract"):
            self._sum(node, to, left, right)
        elif kind == "multiply":
            product(node, to, left, right)
        else:
            raise Missing(f"two computed tensors to {kind}", "use sums, products and functions of one tensor")

    def _kind(self, node: Node) -> str:
        return OPERATIONS[node.operation.removeprefix("aten.")]

    def _signs(self, node: Node) -> tuple[float, float]:
        """Factors of `self` and `other`."""
        alpha = float(node.arguments.get("alpha") or 1)
        if self._kind(node) == "add":
            return 1.0, alpha
        return (-alpha, 1.0) if node.operation == "aten.rsub" else (1.0, -alpha)

    def _sum(self, node: Node, to: Lowering, left: Value, right: Value) -> None:
        factors = self._signs(node)
        if left.extent != node.out.extent and right.extent == node.out.extent:
            left, right, factors = right, left, factors[::-1]
        first, second = both(to, node.out, left, right)
        held = [to.turned(one, factor < 0) for one, factor in zip((first, second), factors, strict=True)]
        tail = to.tail(node.out, first.layout)
        path = skip(to, left, right) if to.scheme.residual_bits == 16 and factors == (1.0, 1.0) else None
        if (
            path is not None
            and left.extent == right.extent
            and tail.function is None
            and tail.clamp == SIGNED
        ):
            mine, branch = (first, second) if path is left else (second, first)
            path_sum(to, node.name, (path, mine), branch, tail)
            return
        out = to.emitted(tail)
        parts = [
            one.scale * abs(factor) / out.scale if to.seen[value].low < to.seen[value].high else 1.0
            for one, factor, value in zip(held, factors, (left, right), strict=True)
        ]  # what is always zero has no scale
        (one, two), shift = ratios(parts)
        name = to.name(node.name)
        tensors = held[0].tensor, held[1].tensor
        to.add(Add(name, tensors, (one, two), shift, out.zero_point, out.low, out.high))
        to.settle(tail, name, out)


def product(node: Node, to: Lowering, left: Value, right: Value) -> None:
    """Element by element."""
    first, second = both(to, node.out, left, right)
    tail = to.tail(node.out, first.layout)
    out = to.emitted(tail)
    m, s = ratio(first.scale * second.scale / out.scale)
    name = to.name(node.name)
    to.add(Multiply(name, (first.tensor, second.tensor), m, s, out.zero_point, out.low, out.high))
    to.settle(tail, name, out)


def both(to: Lowering, out: Value, left: Value, right: Value) -> tuple[Held, Held]:
    """Two values that broadcast to `out`: the one that is as large first, or else the first one repeated."""
    if left.extent != out.extent and right.extent == out.extent:
        left, right = right, left
    if left.extent == right.extent:
        # The newer one stays where it lies: an addition rides on a convolution right before it.
        one, two = to.held[left], to.held[right]
        if to.age(one.tensor) >= to.age(two.tensor):
            return one, to.read(right, one.layout)
        return to.read(left, two.layout), two
    first = expanded(to, left, out)
    if right.extent == out.extent:
        return first, to.read(right, first.layout)
    return first, beside(to, right, out, first.layout)


def number(value: object) -> torch.Tensor | None:
    """A constant, None for what the network computes."""
    if isinstance(value, Value):
        return value.data.double() if value.constant else None
    return torch.tensor(float(value), dtype=torch.float64)  # type: ignore[arg-type]


class Where(Operator):
    """Comparisons: elements of a region, 1 or 0; and what else chooses or combines element by element."""

    names = (
        *(
            "where",
            "gt",
            "ge",
            "lt",
            "le",
            "eq",
            "ne",
            "logical_not",
            "logical_and",
            "logical_or",
            "logical_xor",
        ),
        *(
            "bitwise_not",
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
            "isnan",
            "isinf",
            "remainder",
            "fmod",
            "atan2",
        ),
    )
    elementwise = True
    fix = "compare with a number, and choose between functions of the same tensor"

    def steps(self, call: Call) -> list[Step]:
        """A table of one tensor; of several, what reads them all."""
        read = [tensor for tensor in call.tensors if not tensor.constant or tensor.elements > 1]
        if len(read) == 1:
            return [pointwise(call.name, Form.TABLE, read[0], call.out)]
        n, reads = call.out.elements, sum(tensor.elements for tensor in read)
        shape = PassShape(call.name, "pool", n, 2, n, reads=0 if reads == 2 * n else reads)
        return [Step(call.name, Form.BINARY, tuple(t.name for t in read), call.out.name, shape)]
