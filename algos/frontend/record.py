"""The graph of a module, as torch.export records it."""

from __future__ import annotations

import copy
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import getitem
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from algos.frontend.graph import Graph, Node, Value
from algos.frontend.recurrent import STEPS
from algos.weights.codebook import IntegerWeight, in_integers
from sim.errors import InputError

if TYPE_CHECKING:
    from algos.frontend.operator import Operator

SAME = {
    f"aten.{name}"
    for name in (
        "contiguous",
        "clone",
        "detach",
        "detach_",
        "alias",
        "lift_fresh_copy",
        "dropout",
        "dropout_",
        "feature_dropout",
        "alpha_dropout",
        "to",
        "_to_copy",
        "type_as",
        "float",
        "positive",
    )
}
"""Operators whose result is their first input, unless they make integers of it."""


def record(module: nn.Module, arguments: Sequence[Any], known: Mapping[str, Operator]) -> Graph:
    """The graph of a module in evaluation mode.

    Args:
        known: operators by name; torch spells out the others where it can.

    Raises:
        InputError: torch.export cannot record it, or a size depends on the data.
    """
    name = type(module).__name__
    module, coded = plain(module)
    with evaluating(module), warnings.catch_warnings():  # torch's own, of its own calls
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(module, tuple(arguments))
            present = {overload(node.target) for node in program.graph.nodes if node.op == "call_function"}
            rules: dict[Any, Any] = {}
            if not present <= {*known, *SAME}:
                rules = {
                    target: rule
                    for target, rule in torch.export.default_decompositions().items()
                    if overload(target) not in {*known, *SAME}
                } | dict(STEPS)
            program = program.run_decompositions(rules)
        except Exception as error:  # torch raises what its tracer and the module do
            line = " ".join(str(error).split())[:300]
            raise InputError(
                "module",
                name,
                f"torch.export cannot record it: {line}",
                "make its control flow independent of the data, and its results tensors (use_cache=False)",
            ) from error
    leaves = {path for path, part in module.named_modules() if not any(True for _ in part.children())}
    graph = _Reader(program, known, leaves).graph(name)
    graph.coded = coded
    return graph


def plain(module: nn.Module) -> tuple[nn.Module, dict[str, IntegerWeight]]:
    """A copy whose weights are parameters, and what gave them in integers, by name."""
    coded = {
        f"{path}.weight" if path else "weight": part
        for path, layer in module.named_modules()
        if (part := in_integers(layer)) is not None
    }
    if not any(nn.utils.parametrize.is_parametrized(layer) for layer in module.modules()):
        return module, coded
    with torch.no_grad():
        module = copy.deepcopy(module)
        for layer in module.modules():
            if not nn.utils.parametrize.is_parametrized(layer):
                continue
            tensors = {name: getattr(layer, name).detach() for name in layer.parametrizations}  # type: ignore[union-attr]
            # Torch's own removal would change the class, which the original shares.
            layer.__class__ = type(layer).__bases__[0]
            del layer.parametrizations
            for name, tensor in tensors.items():
                layer.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
    return module, coded


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each part is as it was."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


def overload(target: Any) -> str:
    """aten.conv2d of aten.conv2d.default."""
    return str(getattr(target, "overloadpacket", target))


class _Reader:
    """The recorded program, node by node."""

    def __init__(
        self, program: torch.export.ExportedProgram, known: Mapping[str, Operator], leaves: Collection[str]
    ) -> None:
        self.program, self.known, self.leaves = program, known, leaves
        self.value: dict[fx.Node, tuple[Value, ...]] = {}
        self.silent = _silent(program)
        calls = [node for node in program.graph.nodes if node.target is not getitem]
        self.calls = Counter(_path(node) for node in calls if node not in self.silent)
        self.used: Counter[str] = Counter()

    def graph(self, name: str) -> Graph:
        inputs, nodes = [], []
        stored, targets = self._stored()
        given = {str(name) for name in self.program.graph_signature.user_inputs}
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                value = self._result(node.name, node.meta.get("val"))
                self.value[node] = (value,)
                if node.name in given:
                    inputs.append(value)
                    continue
                value.constant, value.origin = True, targets[node.name]
                tensor = stored.get(value.origin)
                value.parameter = tensor if isinstance(tensor, Tensor) else None
            elif node.op == "call_function" and node not in self.silent:
                nodes += self._call(node)
        returned = next(node for node in self.program.graph.nodes if node.op == "output").args[0]
        outputs = [self.value[node][0] for node in returned if isinstance(node, fx.Node)]
        graph = Graph(name, inputs, nodes, outputs)
        graph.connect()
        return graph

    def _stored(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Tensors by the name of their parameter, and that name by placeholder."""
        stored = {**self.program.state_dict, **self.program.constants}
        specs = self.program.graph_signature.input_specs
        return stored, {getattr(spec.arg, "name", ""): str(spec.target) for spec in specs}

    def _call(self, node: fx.Node) -> list[Node]:
        """The node, unless it is another name of what is there or a constant."""
        operation = overload(node.target)
        if node.target is getitem:
            source, index = node.args
            self.value[node] = (self.value[source][index],)  # type: ignore[index]
            return []
        if _alias(node, operation):
            self.value[node] = self.value[node.all_input_nodes[0]][:1]
            return []
        found = node.meta.get("val")
        results = found if isinstance(found, list | tuple) else [found]
        outputs = tuple(
            self._result(f"{node.name}/{place}" if place else node.name, one)
            for place, one in enumerate(results)
        )
        operator = self.known.get(operation)
        call = Node(
            self._name(node),
            operation,
            _path(node),
            (operator.function if operator else None) or node.target,  # type: ignore[arg-type]
            self._arguments(node),
            outputs,
            operator,
        )
        if operation.endswith("_like") or operation.startswith("aten.new_"):
            call.arguments["self"] = _shape_of(call["self"])
        constant = all(value.constant for value in call.inputs)
        for value in outputs:
            value.producer, value.constant = call, constant
        self.value[node] = outputs
        return [] if constant else [call]

    def _result(self, name: str, found: Any) -> Value:
        extent = tuple(found.shape) if isinstance(found, Tensor) else ()
        if not all(isinstance(n, int) for n in extent):
            raise InputError(
                f"tensor {name}",
                [str(n) for n in extent],
                "its size depends on the data",
                "give the module a fixed size",
            )
        return Value(name, extent, found.dtype if isinstance(found, Tensor) else torch.float32)

    def _arguments(self, node: fx.Node) -> dict[str, Any]:
        """Arguments in the order of the operator's schema, with its defaults; nodes as values."""
        if not hasattr(node.target, "_schema"):
            raise InputError(
                f"node {node.name}",
                overload(node.target),
                "computes with sizes that depend on the data",
                "give the module a fixed size",
            )
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        values = {argument.name: argument.default_value for argument in schema}
        values |= dict(zip(values, node.args, strict=False))
        values |= node.kwargs
        return {name: self._argument(value) for name, value in values.items()}

    def _argument(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return self.value[value][0]
        return [self._argument(item) for item in value] if isinstance(value, list | tuple) else value

    def _name(self, node: fx.Node) -> str:
        """Path of the module that does nothing else, or of the one around it and the operator."""
        path = _path(node)
        if path and path in self.leaves and self.calls[path] == 1:
            name = path
        else:
            name = ".".join(part for part in (path, re.sub(r"_\d+$", "", node.name)) if part)
        self.used[name] += 1
        return name if self.used[name] == 1 else f"{name}_{self.used[name] - 1}"


def _shape_of(value: Value) -> Value:
    """A constant in the place of a value of which only the shape counts."""
    zeros = torch.zeros((), dtype=value.dtype).expand(value.extent)
    return Value(value.name, value.extent, value.dtype, True, stored=zeros)


def _silent(program: torch.export.ExportedProgram) -> set[fx.Node]:
    """Guards, and the questions about tensors and sizes that nothing but guards asks: they give no tensor."""
    found: set[fx.Node] = set()
    for node in reversed(program.graph.nodes):
        results = node.meta.get("val")
        parts = results if isinstance(results, list | tuple) else [results]
        tensors = any(isinstance(part, Tensor) for part in parts)
        if node.op == "call_function" and not tensors and found.issuperset(node.users):
            found.add(node)
    return found


def _alias(node: fx.Node, operation: str) -> bool:
    """Whether the result is the first input: no work, and nothing that makes integers of it."""
    if operation not in SAME or not node.all_input_nodes:
        return False
    before, after = node.all_input_nodes[0].meta.get("val"), node.meta.get("val")
    if not isinstance(before, Tensor) or not isinstance(after, Tensor):
        return True
    return before.dtype == after.dtype or (before.is_floating_point() and after.is_floating_point())


def _path(node: fx.Node) -> str:
    """Path of the innermost module that a node belongs to."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]).removeprefix("L['self'].").replace("L['self']", "") if stack else ""
