"""Patterns of operators that are one, and operators that are several: a graph becomes one that has integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from algos.frontend.graph import Graph, Node, Value
from algos.frontend.operator import Operator
from algos.frontend.resampling import larger, resampled, transposed

ATEN = torch.ops.aten

MASKED = -1e4
"""A summand of logits from which on a key counts as left out; exp of it is 0 in every format."""


class Builder:
    """New nodes in the place of one.

    Args:
        node: that they replace; they take its name and path.
        operators: by name, "aten.matmul".
    """

    def __init__(self, node: Node, operators: Mapping[str, Operator]) -> None:
        self.node, self.operators = node, operators
        self.nodes: list[Node] = []

    def __call__(
        self, function: Callable[..., Any], /, *arguments: Any, operation: str = "", **named: Any
    ) -> Value:
        """The result of an ATen overload, or of a plain function by its operation's name."""
        schema = getattr(function, "_schema", None)
        if schema is not None:
            values = {argument.name: argument.default_value for argument in schema.arguments}
            values |= dict(zip(values, arguments, strict=False)) | named
            operation = str(function.overloadpacket)
        else:
            values = named
        suffix = operation.split(".")[-1]
        operator = self.operators.get(operation)
        function = (operator and operator.function) or function
        node = Node(f"{self.node.name}.{suffix}", operation, self.node.path, function, values, (), operator)
        constant = all(value.constant for value in node.inputs)
        known = {v: torch.zeros(v.extent, dtype=v.dtype) for v in node.inputs if not v.constant}
        with torch.no_grad():
            (result,) = node.run(known)
        out = Value(
            f"{node.name}/{len(self.nodes)}", tuple(result.shape), result.dtype, constant, producer=node
        )
        node.outputs = (out,)
        if not constant:
            self.nodes.append(node)
        return out

    def constant(self, tensor: Tensor) -> Value:
        name = f"{self.node.name}/constant{len(self.nodes)}"
        return Value(name, tuple(tensor.shape), tensor.dtype, True, stored=tensor.contiguous())


def rewrite(graph: Graph, operators: Mapping[str, Operator]) -> None:
    """Applies every rule of `RULES` at every node, in execution order."""
    for rule in RULES:
        graph.connect()
        nodes: list[Node] = []
        replaced: dict[Value, Value] = {}
        for node in graph.nodes:
            node.arguments = _replaced(node.arguments, replaced)
            build = Builder(node, operators)
            out = rule(node, build)
            if out is None:
                nodes.append(node)
                continue
            nodes += build.nodes
            replaced[node.out] = out
        graph.nodes = nodes
        graph.outputs = [replaced.get(value, value) for value in graph.outputs]
    graph.connect()


def _replaced(argument: Any, by: dict[Value, Value]) -> Any:
    if isinstance(argument, Value):
        return by.get(argument, argument)
    if isinstance(argument, dict):
        return {name: _replaced(value, by) for name, value in argument.items()}
    return [_replaced(item, by) for item in argument] if isinstance(argument, list | tuple) else argument


Rule = Callable[[Node, Builder], Value | None]
"""The value that takes the place of a node's, made by the builder; None where the rule does not apply."""


def masked_softmax(self: Tensor, dim: int, mask: Tensor) -> Tensor:
    """Softmax over the elements where the mask (bool, broadcasts) is true; the others get 0."""
    return self.masked_fill(~mask, float("-inf")).softmax(dim)


def attention(node: Node, build: Builder) -> Value | None:
    """Scaled dot-product attention as the products that it is."""
    if node.operation != "aten.scaled_dot_product_attention":
        return None
    query, key, value, mask = node["query"], node["key"], node["value"], node["attn_mask"]
    if mask is not None and not mask.constant:
        return None
    if node["enable_gqa"] and query.extent[-3] != key.extent[-3]:
        times = query.extent[-3] // key.extent[-3]
        key, value = (
            build(ATEN.repeat_interleave.self_int, one, times, len(one.extent) - 3) for one in (key, value)
        )
    scale = node["scale"] if node["scale"] is not None else query.extent[-1] ** -0.5
    logits = build(ATEN.matmul.default, query, build(ATEN.transpose.int, key, -2, -1))
    if scale != 1:
        logits = build(ATEN.mul.Scalar, logits, scale)
    kept = None
    if node["is_causal"]:
        kept = torch.ones(logits.extent[-2:], dtype=torch.bool).tril()
    if mask is not None:
        logits, kept = _added(build, logits, mask.data)
    weights = _softmax(build, logits, -1, kept)
    return build(ATEN.matmul.default, weights, value)


def _added(build: Builder, logits: Value, mask: Tensor) -> tuple[Value, Tensor | None]:
    """Logits with the finite part of a mask, and where the rest lets values count; None where everywhere."""
    if mask.dtype == torch.bool:
        return logits, None if bool(mask.all()) else mask
    kept = mask > MASKED
    finite = torch.where(kept, mask, 0.0)
    if bool(finite.any()):
        logits = build(ATEN.add.Tensor, logits, build.constant(finite))
    return logits, None if bool(kept.all()) else kept


def _softmax(build: Builder, logits: Value, dim: int, kept: Tensor | None) -> Value:
    if kept is None:
        return build(ATEN.softmax.int, logits, dim)
    return build(
        masked_softmax, operation="codeword.masked_softmax", self=logits, dim=dim, mask=build.constant(kept)
    )


VIEWS = ("aten.view", "aten.reshape", "aten._unsafe_view", "aten.unsqueeze", "aten.squeeze")


def masked(node: Node, build: Builder) -> Value | None:
    """A softmax of logits plus a constant mask, or of logits filled with -inf."""
    if node.operation not in ("aten.softmax", "aten._softmax"):
        return None
    views: list[Node] = []
    logits = node["self"]
    while (
        (producer := logits.producer) is not None and producer.operation in VIEWS and len(logits.users) == 1
    ):
        views.append(producer)
        logits = producer.source
    if producer is None or len(logits.users) > 1:
        return None
    found = _mask_of(producer)
    if found is None:
        return None
    source, mask = found
    whole = mask.expand(logits.extent)
    inner, kept = (source, mask) if mask.dtype == torch.bool else _added(build, source, mask)
    if kept is None and mask.dtype != torch.bool:
        return None
    for one in reversed(views):
        inner = build(
            one.function, *(inner if value is one.source else value for value in one.arguments.values())
        )
    whole = (whole if mask.dtype == torch.bool else whole > MASKED).reshape(node["self"].extent)
    return _softmax(build, inner, node["dim"], whole)


def _mask_of(node: Node) -> tuple[Value, Tensor] | None:
    """The logits, and the summand, or bool mask of what is kept, that a node applies to them."""
    arguments = node.arguments
    if node.operation in ("aten.add", "aten.add_") and isinstance(arguments["other"], Value):
        left, right = arguments["self"], arguments["other"]
        if left.constant:
            left, right = right, left
        if right.constant and left.extent == node.out.extent and bool((right.data <= MASKED).any()):
            return left, right.data
    if node.operation in ("aten.masked_fill", "aten.masked_fill_"):
        mask, value = arguments["mask"], arguments["value"]
        level = float(value.data) if isinstance(value, Value) and value.constant else value
        if mask.constant and not isinstance(level, Value) and float(level) <= MASKED:
            return arguments["self"], ~mask.data
    if node.operation == "aten.where":
        condition, left, right = (arguments.get(n) for n in ("condition", "self", "other"))
        if (
            condition.constant
            and isinstance(right, Value)
            and right.constant
            and float(right.data.max()) <= MASKED
        ):
            return left, condition.data
    return None


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
        plain = norm is not None and norm.operation == "aten.rms_norm" and norm["weight"] is None
        if plain and factor.constant and factor.elements == x.extent[-1] and len(x.users) == 1:
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


def turned(node: Node, build: Builder) -> Value | None:
    """Rotary embedding: cat(-x2, x1) times a constant is x turned by half, times the constant with signs."""
    if node.operation != "aten.mul":
        return None
    for joined, factor in ((node["self"], node["other"]), (node["other"], node["self"])):
        if not isinstance(joined, Value) or not isinstance(factor, Value) or not factor.constant:
            continue
        x = _rotated(joined)
        if x is not None:
            half = x.extent[-1] // 2
            signs = torch.cat((-torch.ones(half), torch.ones(x.extent[-1] - half)))
            swapped = build(ATEN.roll.default, x, [half], [len(x.extent) - 1])
            return build(ATEN.mul.Tensor, swapped, build.constant(factor.data * signs))
    return None


def _rotated(joined: Value) -> Value | None:
    """x of cat(-x[half:], x[:half]) along the last axis."""
    join = joined.producer
    if join is None or join.operation != "aten.cat" or len(join["tensors"]) != 2:
        return None
    last = len(joined.extent) - 1
    minus, first = (part.producer for part in join["tensors"])
    if join["dim"] % (last + 1) != last or minus is None or minus.operation != "aten.neg" or first is None:
        return None
    second = minus["self"].producer
    if second is None or {first.operation, second.operation} != {"aten.slice"}:
        return None
    x, half = first["self"], joined.extent[-1] // 2
    places = torch.arange(x.elements).reshape(x.extent)
    if second["self"] is not x or x.extent != joined.extent or joined.extent[-1] % 2:
        return None
    if not torch.equal(first.run({x: places})[0], places[..., :half]):
        return None
    return x if torch.equal(second.run({x: places})[0], places[..., half:]) else None


RULES: tuple[Rule, ...] = (attention, masked, rms, rms, turned, resampled, transposed, larger)
"""In their order; `rms` twice, for the norm and for its gain."""
