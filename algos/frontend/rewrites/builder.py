"""New nodes in the place of old ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from algos.frontend.graph import Graph, Node, Value
from algos.frontend.operator import Operator


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
            named = {argument.name: argument.default_value for argument in schema.arguments} | named
            named |= dict(zip(named, arguments, strict=False))
            operation = str(getattr(function, "overloadpacket", function))
        suffix = operation.split(".")[-1]
        operator = self.operators.get(operation)
        function = (operator and operator.function) or function
        node = Node(f"{self.node.name}.{suffix}", operation, self.node.path, function, named, (), operator)
        known = {v: torch.zeros(v.extent, dtype=v.dtype) for v in node.inputs if not v.constant}
        with torch.no_grad():
            (result,) = node.run(known)
        name = f"{node.name}/{len(self.nodes)}"
        out = Value(name, tuple(result.shape), result.dtype, not known, producer=node)
        node.outputs = (out,)
        if known:
            self.nodes.append(node)
        return out

    def constant(self, tensor: Tensor, origin: str = "") -> Value:
        """A tensor, made of the parameter of that name if any."""
        name = f"{self.node.name}/constant{len(self.nodes)}"
        return Value(name, tuple(tensor.shape), tensor.dtype, True, origin, stored=tensor.contiguous())


Rule = Callable[[Node, Builder], Value | None]
"""The value that takes the place of a node's only one, made by the builder; None where the rule does not apply."""

VIEWS = ("aten.view", "aten.reshape", "aten._unsafe_view", "aten.unsqueeze", "aten.squeeze", "aten.expand")


def apply(rule: Rule, graph: Graph, operators: Mapping[str, Operator]) -> None:
    """At every node, in execution order."""
    nodes: list[Node] = []
    replaced: dict[Value, Value] = {}
    for node in graph.nodes:
        node.arguments = _replaced(node.arguments, replaced)
        build = Builder(node, operators)
        out = rule(node, build)
        nodes += [node] if out is None else build.nodes
        if out is not None:
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
