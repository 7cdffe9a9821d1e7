"""LSTM, GRU and RNN of ONNX, unrolled into matrix products and passes.

The product with the input is one linear layer over all steps; that with the hidden state is one a step,
on which the addition of both rides. The gates are tables and products, element by element.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.errors import InputError
from sim.importers.onnx_graph import Node
from sim.importers.steps import Form, Step, Tensor, arithmetic, pointwise, product, require_few, view, work


class _Cell:
    """One direction of a recurrent operator.

    Attributes:
        state: the hidden state [batch, hidden] after the steps so far.
        memory: the cell's state of an LSTM.
        steps: the layers so far.
    """

    def __init__(self, node: Node, number: int, inputs: Tensor, batch: int) -> None:
        self.node, self.inputs, self.batch = node, inputs, batch
        self.hidden = node.input(2).extent[-1]
        self.prefix = f"{node.name}/{number}"
        self.steps: list[Step] = []
        self.state = self._initial(5)
        self.memory = self._initial(6)
        self.time = 0

    def _initial(self, position: int) -> Tensor:
        """State before the first step; zeros and parameters wait for nothing but the input."""
        out = self._tensor(f"initial{position}", 1)
        given = self.node.optional(position) if self.node.operator == "LSTM" or position == 5 else None
        source = self.inputs if given is None or given.constant else given
        self.steps.append(view(self.node.name, source, out))
        return out

    def _tensor(self, kind: str, gates: int) -> Tensor:
        return Tensor(f"{self.prefix}/{kind}", (self.batch, gates * self.hidden))

    def new(self, kind: str, gates: int = 1) -> Tensor:
        return self._tensor(f"{kind}{self.time}", gates)

    def name(self, kind: str) -> str:
        return f"{self.node.name}.step{self.time}.{kind}"

    def sums(self, kind: str, gates: int, state: Tensor) -> Tensor:
        """The input's product plus that of a state, of some gates."""
        columns = gates * self.hidden
        products, out = self.new(f"{kind}.product", gates), self.new(kind, gates)
        weight = Tensor("", (self.hidden, columns), True)
        part = self.new(f"{kind}.input", gates)
        self.steps += [
            view(self.name(f"{kind}.input"), self.inputs, part),
            product(self.name(kind), state, weight, products),
            arithmetic(self.name(f"{kind}.add"), "add", products, part, out),
        ]
        return out

    def table(self, kind: str, source: Tensor) -> Tensor:
        """Sigmoid, tanh or what the node names; over all gates at once."""
        out = Tensor(f"{self.prefix}/{kind}{self.time}", source.extent)
        self.steps.append(pointwise(self.name(kind), Form.TABLE, source, out))
        return out

    def part(self, kind: str, source: Tensor) -> Tensor:
        """One gate of several."""
        out = self.new(kind)
        self.steps.append(view(self.name(kind), source, out))
        return out

    def of_two(self, kind: str, operation: str, left: Tensor, right: Tensor) -> Tensor:
        out = self.new(kind)
        self.steps.append(arithmetic(self.name(kind), operation, left, right, out))
        return out


def _lstm(cell: _Cell) -> None:
    """c = f c + i g; h = o tanh(c)."""
    sums = cell.sums("gates", 4, cell.state)
    if cell.node.optional(7) is not None:
        sums = _peepholes(cell, sums)
    gates = cell.table("activations", sums)
    i, f, g, o = (cell.part(kind, gates) for kind in "ifgo")
    kept = cell.of_two("forget", "multiply", f, cell.memory)
    added = cell.of_two("write", "multiply", i, g)
    cell.memory = cell.of_two("memory", "add", kept, added)
    cell.state = cell.of_two("state", "multiply", o, cell.table("tanh", cell.memory))


def _peepholes(cell: _Cell, sums: Tensor) -> Tensor:
    """Three gates see the cell's state, times a parameter each."""
    seen = cell.new("seen", 3)
    cell.steps.append(work(cell.name("peepholes"), "multiply", [cell.memory], seen))
    out = cell.new("sums", 4)
    cell.steps.append(work(cell.name("peepholes.add"), "add", [sums, seen], out, seen.elements, 2))
    return out


def _gru(cell: _Cell) -> None:
    """h = (1 - z) n + z h, the reset gate before or after the product of n."""
    if cell.node.attributes.get("linear_before_reset"):
        columns = cell.new("n.product")
        weight = Tensor("", (cell.hidden, cell.hidden), True)
        cell.steps.append(product(cell.name("n"), cell.state, weight, columns))
        z, r = _update_and_reset(cell)
        reset = cell.of_two("reset", "multiply", r, columns)
        given = cell.part("n.input", cell.inputs)
        candidate = cell.of_two("n.add", "add", reset, given)
    else:
        z, r = _update_and_reset(cell)
        candidate = cell.sums("n", 1, cell.of_two("reset", "multiply", r, cell.state))
    new = cell.table("candidate", candidate)
    rest = cell.new("rest")
    cell.steps.append(pointwise(cell.name("rest"), Form.SCALE, z, rest))
    fresh = cell.of_two("fresh", "multiply", rest, new)
    cell.state = cell.of_two("state", "add", fresh, cell.of_two("kept", "multiply", z, cell.state))


def _update_and_reset(cell: _Cell) -> tuple[Tensor, Tensor]:
    gates = cell.table("activations", cell.sums("gates", 2, cell.state))
    return cell.part("z", gates), cell.part("r", gates)


def _rnn(cell: _Cell) -> None:
    cell.state = cell.table("state", cell.sums("sums", 1, cell.state))


_STEP: dict[str, Callable[[_Cell], None]] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def recurrent(node: Node) -> list[Step]:
    """All directions and steps of an LSTM, GRU or RNN.

    Args:
        node: X [steps, batch, inputs], or [batch, steps, inputs] where layout is 1; W [directions,
            gates * hidden, inputs]; R [directions, gates * hidden, hidden].

    Raises:
        InputError: weights that the network computes, or too many steps.
    """
    source, weight = node.input(0), node.input(1)
    if not (weight.constant and node.input(2).constant):
        raise InputError(
            f"node {node.name}",
            weight.name,
            "the weights are computed by the network",
            "make them parameters",
        )
    length, batch, _ = source.extent
    if node.attributes.get("layout"):
        length, batch = batch, length
    require_few(node.name, length, "steps")
    cells, steps, states = [], [], []
    for number in range(weight.extent[0]):
        inputs, first = _input_product(node, number, length * batch)
        cell = _Cell(node, number, inputs, batch)
        for cell.time in range(length):
            _STEP[node.operator](cell)
            states.append(cell.state)
        cells.append(cell)
        steps += [first, *cell.steps]
    outputs = [
        (states, "all"),
        ([cell.state for cell in cells], "last"),
        ([c.memory for c in cells], "memory"),
    ]
    for (parts, kind), out in zip(outputs, node.outputs, strict=False):
        if out.name:
            steps.append(view(f"{node.name}.{kind}", parts[0], out, *parts[1:]))
    return steps


def _input_product(node: Node, number: int, tokens: int) -> tuple[Tensor, Step]:
    """What one direction takes from the input, at all steps."""
    source, weight = node.input(0), node.input(1)
    directions, rows, channels = weight.extent
    name = f"{node.name}.input" if directions == 1 else f"{node.name}.input{number}"
    out = Tensor(f"{node.name}/{number}/input", (tokens, rows))
    tensor, turned = Tensor(source.name, (tokens, channels)), Tensor("", (channels, rows), True)
    return out, product(name, tensor, turned, out)


RECURRENT = dict.fromkeys(_STEP, recurrent)
"""Steps of a node, by operator."""
