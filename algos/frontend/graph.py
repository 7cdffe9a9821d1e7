"""A module as a typed graph: what torch.export records, without guards, aliases and constants to compute.

Shapes (`shapes`) and integers (`lower`) are two readings of it; what an operator means to either stands in
`operators`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from algos.weights.codebook import IntegerWeight

if TYPE_CHECKING:
    from algos.frontend.operator import Operator


@dataclass(eq=False)
class Value:
    """A tensor of the graph.

    Attributes:
        extent: its shape.
        constant: known before the network runs: a parameter, or computed from such alone.
        origin: name of the parameter or buffer that it is, or "".
        producer: the node that computes it; None for inputs and parameters.
        users: the nodes that read it, each as often as it does.
        parameter: the module's tensor, of which a copy is made when it is read.
    """

    name: str
    extent: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    constant: bool = False
    origin: str = ""
    producer: Node | None = None
    users: list[Node] = field(default_factory=list, repr=False)
    parameter: Tensor | None = field(default=None, repr=False)
    stored: Tensor | None = field(default=None, repr=False)

    @property
    def elements(self) -> int:
        return math.prod(self.extent)

    @property
    def data(self) -> Tensor:
        """What a constant holds."""
        if self.stored is None and self.parameter is not None:
            self.stored = standard(self.parameter)
        if self.stored is None:
            assert self.constant
            assert self.producer is not None
            with torch.no_grad():
                results = self.producer.run({})
            for value, result in zip(self.producer.outputs, results, strict=True):
                value.stored = standard(result)
        assert self.stored is not None
        return self.stored


@dataclass(eq=False)
class Node:
    """A call of an operator.

    Attributes:
        name: path of the module that does nothing else, or of the one around it and the operator.
        operation: "aten.conv2d" of aten.conv2d.default.
        path: of the module that it belongs to.
        function: runs it, on `arguments` by name with tensors in the place of values.
        operator: what it means; None where nobody knows.
    """

    name: str
    operation: str
    path: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    outputs: tuple[Value, ...] = ()
    operator: Operator | None = None

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    @property
    def out(self) -> Value:
        """The first result."""
        return self.outputs[0]

    @property
    def inputs(self) -> list[Value]:
        """The values among the arguments, in order."""
        return list(_values(self.arguments))

    @property
    def source(self) -> Value:
        """The first tensor that is computed by the network, or else the first one."""
        return next((value for value in self.inputs if not value.constant), self.inputs[0])

    def run(self, known: Mapping[Value, Tensor]) -> tuple[Tensor, ...]:
        """Results, from the values that are known beside the constants."""
        arguments = {name: _filled(value, known) for name, value in self.arguments.items()}
        schema = getattr(self.function, "_schema", None)
        if schema is not None:  # "self" is no keyword that every operator takes
            names = [argument.name for argument in schema.arguments if not argument.kwarg_only]
            placed = [arguments.pop(name) for name in names]
            result = self.function(*placed, **arguments)
        else:
            result = self.function(**arguments)
        return tuple(result) if isinstance(result, list | tuple) else (result,)


@dataclass(eq=False)
class Graph:
    """Nodes in execution order; constants are in none.

    Attributes:
        outputs: what the module returns, tensors alone.
        coded: weights that are given in integers, by name of the parameter.
    """

    name: str
    inputs: list[Value]
    nodes: list[Node]
    outputs: list[Value]
    coded: dict[str, IntegerWeight] = field(default_factory=dict)

    def run(self, arguments: Sequence[Tensor]) -> dict[Value, Tensor]:
        """Every value that is computed, in floats, for one call of the module."""
        known: dict[Value, Tensor] = dict(zip(self.inputs, arguments, strict=True))
        for node in self.nodes:
            known.update(zip(node.outputs, node.run(known), strict=False))
        return known

    def connect(self) -> None:
        """Writes down who reads each value, and leaves out nodes whose results nobody does."""
        wanted = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                kept.append(node)
                wanted.update(node.inputs)
        self.nodes = kept[::-1]
        for value in wanted:
            value.users = []
        for node in self.nodes:
            for value in node.inputs:
                value.users.append(node)


def standard(tensor: Tensor) -> Tensor:
    """A copy in the standard memory layout, axes of size 1 included: sums follow the layout, differently on every
    processor, and a training leaves other layouts than a file."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor.detach())


def _values(arguments: Any) -> Iterator[Value]:
    if isinstance(arguments, Value):
        yield arguments
    elif isinstance(arguments, dict):
        for item in arguments.values():
            yield from _values(item)
    elif isinstance(arguments, list | tuple):
        for item in arguments:
            yield from _values(item)


def _filled(argument: Any, known: Mapping[Value, Tensor]) -> Any:
    """An argument with tensors in the place of values."""
    if isinstance(argument, Value):
        return known[argument] if argument in known else argument.data  # noqa: SIM401  data is computed
    return [_filled(item, known) for item in argument] if isinstance(argument, list) else argument
