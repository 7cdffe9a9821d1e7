"""Layer shapes of any PyTorch module, from the graph that torch.export records."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from operator import getitem
from typing import Any

import torch
from torch import nn
from torch.fx import Node
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from algos.frontend.aten import HIDDEN, OPERATORS, PARTS, SAME, Call
from sim.errors import InputError
from sim.importers import assemble, checked
from sim.importers.steps import Step, Tensor, view
from sim.importers.unknown import check_options, hidden_products, vector
from sim.shapes import Shape

_KNOWN = {*OPERATORS, *SAME, *PARTS, *HIDDEN, str(getitem)}


def import_module(
    module: nn.Module, example_inputs: Sequence[Any], vector_operators: Collection[str] = ()
) -> list[Shape]:
    """Layer shapes of a module in execution order, in evaluation mode.

    Args:
        module: maps are [1, C, H, W], sequences [..., tokens, channels].
        example_inputs: arguments of its `forward`, with a batch of 1. Their shapes are fixed; they run
            through the module once to count its operations.
        vector_operators: ATen operators without an own meaning here, such as "aten.cumsum", that are
            one lane operation an element.

    Raises:
        InputError: a module that torch.export cannot record, an operator that is not supported, more
            than one image, or multiply-accumulates other than FlopCounterMode counts.
    """
    name, arguments = type(module).__name__, tuple(example_inputs)
    with _evaluating(module):
        try:
            program = torch.export.export(module, arguments)
        except Exception as error:  # torch raises what its tracer and the module do
            line = " ".join(str(error).split())[:300]
            raise InputError(
                "module",
                name,
                f"torch.export cannot record it: {line}",
                "make its control flow independent of the data",
            ) from error
        program = _known(program)
        macs = _macs(module, arguments)
    walk = _Walk(program, vector_operators)
    steps = walk.steps()
    shapes = assemble(steps, walk.given, walk.outputs)
    return checked(name, shapes, macs, "torch.utils.flop_counter").shapes


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each part is as it was."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


def _known(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program with operators that have no meaning here spelled in others, as torch knows."""
    if all(_operator(node.target) in _KNOWN for node in program.graph.nodes if node.op == "call_function"):
        return program
    rules = {
        overload: rule
        for overload, rule in torch.export.default_decompositions().items()
        if _operator(overload) not in _KNOWN
    }
    with warnings.catch_warnings():  # torch deprecates what it uses itself
        warnings.simplefilter("ignore", FutureWarning)
        return program.run_decompositions(rules)


def _macs(module: nn.Module, arguments: tuple[Any, ...]) -> int:
    """Multiply-accumulates of one run; fused attention, which escapes the counter, is switched off."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            module(*arguments)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() // 2


def _operator(target: Any) -> str:
    """aten.conv2d of aten.conv2d.default."""
    return str(getattr(target, "overloadpacket", target))


class _Walk:
    """The recorded graph, node by node."""

    def __init__(self, program: torch.export.ExportedProgram, vector_operators: Collection[str]) -> None:
        self.nodes = list(program.graph.nodes)
        self.vector_operators = vector_operators
        self.inputs = {str(name) for name in program.graph_signature.user_inputs}
        self.constant = {
            node.name
            for node in self.nodes
            if node.op in ("placeholder", "get_attr") and node.name not in self.inputs
        }
        self.returned = [str(name) for name in program.graph_signature.user_outputs]
        self.same: dict[str, str] = {}
        self.calls = Counter(_path(node) for node in self.nodes if node.target is not getitem)

    @property
    def given(self) -> set[str]:
        """Names of the inputs and of all constants."""
        return self.constant | self.inputs

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors that the module returns."""
        return [self.same.get(name, name) for name in self.returned]

    def steps(self) -> list[Step]:
        """What the module does, in execution order.

        Raises:
            InputError: an operator that is not supported.
        """
        calls = [node for node in self.nodes if node.op == "call_function"]
        present = {_operator(node.target) for node in calls}
        check_options(self.vector_operators, present, _KNOWN)
        steps: list[Step] = []
        for node in calls:
            steps += self._steps(node)
        return steps

    def _steps(self, node: Node) -> list[Step]:
        sources = [self._tensor(source) for source in node.all_input_nodes]
        if all(source.constant for source in sources):
            self.constant.add(node.name)
            return []
        operator, name = _operator(node.target), self._name(node)
        if operator in HIDDEN:
            raise hidden_products(name, operator, HIDDEN[operator])
        out = self._tensor(node)
        if node.target is getitem and _operator(node.all_input_nodes[0].target) in PARTS:
            return [view(name, sources[0], out)]
        if operator in SAME or operator in PARTS or node.target is getitem:
            self.same[node.name] = sources[0].name
            return []
        if operator not in OPERATORS:
            return vector(name, operator, sources, [out], self.vector_operators)
        return OPERATORS[operator](Call(name, operator, self._arguments(node), out))

    def _arguments(self, node: Node) -> dict[str, Any]:
        """Arguments in the order of the operator's schema, with its defaults; nodes as tensors."""
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        values = {argument.name: argument.default_value for argument in schema}
        values |= dict(zip(values, node.args, strict=False))
        values |= node.kwargs
        return {name: self._value(value) for name, value in values.items()}

    def _value(self, value: Any) -> Any:
        if isinstance(value, Node):
            return self._tensor(value)
        return [self._value(item) for item in value] if isinstance(value, list | tuple) else value

    def _tensor(self, node: Node) -> Tensor:
        value = node.meta.get("val")
        if isinstance(value, list | tuple):
            value = next((item for item in value if isinstance(item, torch.Tensor)), None)
        extent = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
        if not all(isinstance(n, int) for n in extent):
            raise InputError(
                f"tensor {node.name}",
                [str(n) for n in extent],
                "its size depends on the data",
                "give the module a fixed size",
            )
        return Tensor(self.same.get(node.name, node.name), extent, node.name in self.constant)

    def _name(self, node: Node) -> str:
        """Path of the module that does nothing else, or of the one around it and the operator."""
        path = _path(node)
        if path and self.calls[path] == 1:
            return path
        return f"{path}.{node.name}" if path else node.name


def _path(node: Node) -> str:
    """Path of the innermost module that a node belongs to."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]).removeprefix("L['self'].") if stack else ""
