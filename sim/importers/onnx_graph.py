"""An ONNX file with the shape of every tensor and what is constant in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import shape_inference

from sim.errors import InputError
from sim.importers.onnx_fold import infer, taken
from sim.importers.onnx_foreign import respell
from sim.importers.onnx_load import Loaded, forget_sizes, free_inputs, load, scalars
from sim.importers.steps import Tensor

_FREE_OF_DATA = ("Shape", "Size")
"""Operators that read no element."""


@dataclass(frozen=True)
class Node:
    """An operator of the graph.

    Attributes:
        inputs: tensors by position; None where an optional one is left out.
        outputs: tensors by position; one that is left out has no name.
        attributes: Python values.
    """

    name: str
    operator: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: dict[str, Any]

    def input(self, position: int) -> Tensor:
        """An input that must be there.

        Raises:
            InputError: it is left out.
        """
        found = self.optional(position)
        if found is None:
            raise InputError(
                f"node {self.name}", self.operator, f"lacks input {position}", "export the network again"
            )
        return found

    def optional(self, position: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    @property
    def active(self) -> list[Tensor]:
        """The inputs that are not constant."""
        return [tensor for tensor in self.inputs if tensor is not None and not tensor.constant]


class Graph:
    """A model whose shapes are inferred.

    Attributes:
        source: nodes as the file has them, with functions and branches that are taken inlined.
        model: the inferred model, in operators of ONNX.
        extents: shapes of the tensors of both, by name; a size that is unknown is a string.
        constants: names of the tensors that do not depend on the network's inputs.
        notes: what was assumed on the way.
    """

    def __init__(
        self,
        path: str | Path,
        keeping: Collection[str],
        presumed: Collection[str],
        input_shapes: Mapping[str, Sequence[int]] | None,
        values: Mapping[str, int] | None = None,
    ) -> None:
        """Loads a file.

        Args:
            keeping: operators whose result has the shape of their first input.
            presumed: operators that are presumed to do the same where the file does not give it.
        """
        loaded = load(path, input_shapes, values)
        self.source = [onnx.NodeProto.FromString(n.SerializeToString()) for n in loaded.model.graph.node]
        self.misspelled = respell(loaded)
        self.sizes_to_give = _sizes_to_give(loaded)
        self._scalars = set(scalars(loaded))
        stood_for = _stand_in(loaded, keeping, presumed)
        try:
            self.model, decided = _inferred(loaded)
        except (shape_inference.InferenceError, ValueError) as error:
            line = " ".join(str(error).split())
            raise InputError(
                "network", str(path), f"shapes do not fit: {line}", "export the network again"
            ) from None
        self.notes = tuple(loaded.notes)
        self.source = taken(self.source, decided)
        graph = self.model.graph
        self.nodes_in_order = [stood_for.get(node.output[0], node) for node in graph.node]
        self.extents: dict[str, list[int | str]] = {
            value.name: _dimensions(value)
            for value in (*graph.value_info, *graph.input, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        weights = {**loaded.weights, **{tensor.name: list(tensor.dims) for tensor in graph.initializer}}
        self.extents |= weights
        self.constants = set(weights)
        for node in self.nodes_in_order:
            if node.op_type in _FREE_OF_DATA or self._known(node):
                self.constants.update(node.output)
            elif node.op_type == "DynamicQuantizeLinear":  # scale and zero point, as in any requantization
                self.constants.update(node.output[1:])

    def _known(self, node: onnx.NodeProto) -> bool:
        """Whether a node reads constants alone; a subgraph reads what it likes."""
        inner = any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
        return not inner and all(not name or name in self.constants for name in node.input)

    @property
    def operators(self) -> set[str]:
        """Kinds of nodes, as the file names them and as they are spelled here."""
        return {operator(node) for node in (*self.source, *self.nodes_in_order)}

    @property
    def inputs(self) -> list[str]:
        """What the user gives, no weights."""
        return [value.name for value in self.model.graph.input if value.name not in self.constants]

    @property
    def given(self) -> set[str]:
        """Names of the inputs and of all constants."""
        return self.constants | set(self.inputs)

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.model.graph.output]

    def active(self) -> Iterator[onnx.NodeProto]:
        """Nodes in execution order, without those that only compute constants."""
        for node in self.nodes_in_order:
            if not all(not output or output in self.constants for output in node.output):
                yield node

    def deciding(self, node: onnx.NodeProto) -> str:
        """What to give so that it is known which branch of an If is taken."""
        (condition,) = node.input
        makers = {name: maker for maker in self.nodes_in_order for name in maker.output}
        waiting, sources, by_size = [condition], set[str](), False
        while waiting:
            name = waiting.pop()
            maker = makers.get(name)
            if maker is not None and maker.op_type in _FREE_OF_DATA:
                by_size = True
            elif maker is not None:
                waiting += maker.input
            elif name not in self.constants:
                sources.add(name)
        if by_size and not sources and self.sizes_to_give:
            return self.sizes_to_give
        if sources and sources <= self._scalars:
            options = " ".join(f"--value {name}=N" for name in sorted(sources))
            return f"give {options} (values in Python)"
        return f"say whether its condition holds, --value {condition}=1 or =0 (values in Python)"

    def node(self, node: onnx.NodeProto) -> Node:
        """A node with its tensors.

        Raises:
            InputError: the shape of an input or of the first output is unknown.
        """
        name = node.name or node.output[0]
        inputs = tuple(self._tensor(n, name) if n else None for n in node.input)
        first, *others = node.output
        return Node(
            name,
            operator(node),
            inputs,
            (self._tensor(first, name) if first else self._other(first), *map(self._other, others)),
            {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
        )

    def _other(self, name: str) -> Tensor:
        """A further output, which may be one that nobody reads and that has no known shape."""
        extent = self.extents.get(name, [])
        return Tensor(name, tuple(d if isinstance(d, int) else 0 for d in extent), name in self.constants)

    def _tensor(self, name: str, node: str) -> Tensor:
        constant = name in self.constants
        extent = self.extents.get(name)
        if extent is None:
            if constant:
                return Tensor(name, (), True)
            raise InputError(
                f"tensor {name}",
                "no shape",
                f"unknown at node {node}",
                self.sizes_to_give or "simplify the network with onnxsim or export it with fixed sizes",
            )
        unknown = [d for d in extent if not isinstance(d, int)]
        if unknown and not constant:
            raise InputError(
                f"tensor {name}",
                extent,
                f"dimension {unknown[0]!r} at node {node} is unknown",
                self.sizes_to_give or "export the network with sizes that do not depend on data",
            )
        return Tensor(name, tuple(d if isinstance(d, int) else 0 for d in extent), constant)


def _inferred(loaded: Loaded) -> tuple[onnx.ModelProto, dict[str, int]]:
    """The model with all shapes; where those that the file states contradict its operators, without the former."""
    model = onnx.ModelProto.FromString(loaded.model.SerializeToString())
    try:
        return infer(loaded.model)
    except shape_inference.InferenceError:
        forget_sizes(model.graph)
        found = infer(model)
        loaded.notes.append("sizes that the file states contradict its operators: all are inferred anew")
        return found


def operator(node: onnx.NodeProto) -> str:
    """Its name, with the domain where that is not ONNX itself."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _stand_in(
    loaded: Loaded, keeping: Collection[str], presumed: Collection[str]
) -> dict[str, onnx.NodeProto]:
    """Identity in the place of operators that ONNX of the model's version has no shape for.

    Returns:
        The real nodes by the name of their first output.
    """
    model, found = loaded.model, {}
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    shaped = {
        v.name for v in (*model.graph.value_info, *model.graph.output) if v.type.tensor_type.HasField("shape")
    }
    for node in model.graph.node:
        own = node.domain in ("", "ai.onnx")
        foreign = not own and operator(node) in presumed and node.output[0] not in shaped
        if foreign:
            loaded.notes.append(f"{operator(node)} {node.output[0]}: shape taken as that of its first input")
        if foreign or (own and node.op_type in keeping and not onnx.defs.has(node.op_type, version)):
            found[node.output[0]] = onnx.NodeProto.FromString(node.SerializeToString())
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output[:1], name=node.name))
    return found


def _sizes_to_give(loaded: Loaded) -> str:
    """How to make the sizes of the inputs known, or ""."""
    options = []
    for value in free_inputs(loaded):
        sizes = _dimensions(value)
        if not all(isinstance(size, int) for size in sizes):
            options.append(f"--input-shape {value.name}={','.join(map(str, sizes))}")
    if not options:
        return ""
    return f"give numbers for {' '.join(options)} (input_shapes in Python)"


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    return [
        dim.dim_value if dim.dim_value > 0 else dim.dim_param or "?"
        for dim in value.type.tensor_type.shape.dim
    ]
