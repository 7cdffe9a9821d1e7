"""Functions of one value: nodes that work element by element and so become one table or one clamp.

However a function is spelled (x * sigmoid(x), x * relu6(x + 3) / 6), its nodes are a region between the value that
it starts from, the *root*, and those that something else reads, which are *wanted*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch

from algos.frontend.graph import Graph, Node, Value

Function = Callable[[np.ndarray], np.ndarray]

FAR = 1e30
"""Beyond what any clamp of a network bounds."""


class Regions:
    """Of a graph.

    Attributes:
        root: of each value; its own where it is no function of one other value.
        wanted: values that a layer must hold, since something reads them that is not of their region.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.root: dict[Value, Value] = {}
        self.wanted: set[Value] = set(graph.outputs)
        before = -1
        while before != len(self.wanted):
            before = len(self.wanted)
            self._walk()

    def _walk(self) -> None:
        root = self.root = {value: value for value in self.graph.inputs}
        for node in self.graph.nodes:
            found = self._common(node)
            for value in node.outputs:
                root[value] = found or value
            if found is None:
                self.wanted.update(value for value in node.inputs if not value.constant)

    def _common(self, node: Node) -> Value | None:
        """The root that all operands share, where the node is of a region."""
        if node.operator is None or not node.operator.elementwise:
            return None
        operands = {value for value in node.inputs if not value.constant}
        if any(value.elements != 1 for value in node.inputs if value.constant):
            return None
        if any(value.extent != node.out.extent for value in operands):
            return None
        roots = {value if value in self.wanted else self.root[value] for value in operands}
        return roots.pop() if len(roots) == 1 else None

    def inner(self, node: Node) -> bool:
        """Whether the node is of a region."""
        return self.root[node.out] is not node.out

    def ends(self, value: Value) -> list[Value]:
        """Wanted values that are functions of one that itself may be within a region."""
        root = value if value in self.wanted else self.root[value]
        found = [value] if value in self.wanted else []
        return found + [
            node.out
            for node in self.graph.nodes
            if node.out in self.wanted and self.root[node.out] is root and node.out is not value
        ]


def start(value: Value, held: Collection[Value]) -> Value:
    """The held value that a value is a function of."""
    found: set[Value] = set()
    todo = [value]
    while todo:
        producer = todo.pop().producer
        assert producer is not None
        for operand in producer.inputs:
            if operand in held:
                found.add(operand)
            elif not operand.constant:
                todo.append(operand)
    (one,) = found
    return one


def function(first: Value, last: Value) -> Function:
    """What last is of first, on float64."""
    order: list[Node] = []

    def visit(value: Value) -> None:
        producer = value.producer
        if value is first or value.constant or producer is None or producer in order:
            return
        for operand in producer.inputs:
            visit(operand)
        order.append(producer)

    visit(last)

    constants = {
        value: value.data.reshape(()).double() if value.data.is_floating_point() else value.data.reshape(())
        for node in order
        for value in node.inputs
        if value.constant
    }

    def evaluate(points: np.ndarray) -> np.ndarray:
        known = dict(constants)
        known[first] = torch.from_numpy(np.asarray(points, np.float64))
        with torch.no_grad():
            for node in order:
                known.update(zip(node.outputs, node.run(known), strict=False))
        return known[last].double().numpy().reshape(np.shape(points))

    return evaluate


def clamp_of(function: Function, reach: float) -> tuple[float, float] | None:
    """The range of a function that does nothing but clamp, as far as values go."""
    points = np.concatenate((np.linspace(-reach, reach, 4001), [-FAR, FAR]))
    found = function(points)
    low, high = float(found[-2]), float(found[-1])
    if not low <= high or not np.array_equal(found, np.clip(points, low, high)):
        return None
    return (-np.inf if low == -FAR else low), (np.inf if high == FAR else high)


def factor_of(function: Function, reach: float) -> float | None:
    """a of a function a x with a > 0."""
    points = np.linspace(-reach, reach, 101)
    found = function(points)
    factor = float(found[-1] / points[-1])
    return factor if factor > 0 and np.allclose(found, factor * points, rtol=1e-6, atol=0) else None
