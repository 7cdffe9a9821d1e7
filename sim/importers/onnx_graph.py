"""An ONNX file with the shape of every tensor and what is constant in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import checker, inliner, shape_inference

from sim.errors import InputError
from sim.importers.onnx_fold import infer
from sim.importers.steps import Tensor

_FREE_OF_DATA = ("Shape", "Size")
"""Operators that read no element."""


@dataclass(frozen=True)
class Node:
    """An operator of the graph.

    Attributes:
        inputs: tensors by position; None where an optional one is left out.
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
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise InputError(
                f"node {self.name}", self.operator, f"lacks input {position}", "export the network again"
            )
        return found

    @property
    def active(self) -> list[Tensor]:
        """The inputs that are not constant."""
        return [tensor for tensor in self.inputs if tensor is not None and not tensor.constant]


class Graph:
    """A model whose shapes are inferred.

    Attributes:
        model: the inferred model.
        constants: names of the tensors that do not depend on the network's inputs.
        notes: what was assumed on the way.
    """

    def __init__(self, path: str | Path) -> None:
        model = _load(path)
        self.notes = _fix_batch(model)
        try:
            self.model = infer(model)
        except (shape_inference.InferenceError, ValueError) as error:
            raise InputError(
                "network", str(path), f"shapes do not fit: {_line(error)}", "export the network again"
            ) from None
        graph = self.model.graph
        self.extents: dict[str, list[int | str]] = {
            value.name: _dimensions(value)
            for value in (*graph.value_info, *graph.input, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
        weights |= {tensor.values.name: list(tensor.dims) for tensor in graph.sparse_initializer}
        self.extents |= weights
        self.constants = set(weights)
        for node in graph.node:
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
        """Kinds of nodes."""
        return {_operator(node) for node in self.model.graph.node}

    @property
    def given(self) -> set[str]:
        """Names of the inputs and of all constants."""
        return self.constants | {value.name for value in self.model.graph.input}

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.model.graph.output]

    def nodes(self) -> Iterator[Node]:
        """Nodes in execution order, without those that only compute constants.

        Raises:
            InputError: the shape of a tensor is unknown.
        """
        for node in self.model.graph.node:
            name = node.name or node.output[0]
            if all(not output or output in self.constants for output in node.output):
                continue
            yield Node(
                name,
                _operator(node),
                tuple(self._tensor(n, name) if n else None for n in node.input),
                tuple(self._tensor(n, name) for n in node.output if n),
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )

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
                "simplify the network with onnxsim or export it with fixed sizes",
            )
        unknown = [d for d in extent if not isinstance(d, int)]
        if unknown and not constant:
            raise InputError(
                f"tensor {name}",
                extent,
                f"dimension {unknown[0]!r} at node {node} is unknown",
                "export the network with fixed sizes, or set them with onnx.tools.update_model_dims",
            )
        return Tensor(name, tuple(d if isinstance(d, int) else 0 for d in extent), constant)


def _operator(node: onnx.NodeProto) -> str:
    """Its name, with the domain where that is not ONNX itself."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _load(path: str | Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError, ValueError) as error:
        problem = str(error) if isinstance(error, OSError) else "is no ONNX model, or damaged"
        raise InputError("network", str(path), problem, "give a readable .onnx file") from None
    try:
        if not any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
            checker.check_model(model)  # which would look for the files of external weights
        return inliner.inline_local_functions(model) if model.functions else model
    except (checker.ValidationError, RuntimeError) as error:
        raise InputError(
            "network", str(path), f"is no valid ONNX model: {_line(error)}", "export the network again"
        ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _fix_batch(model: onnx.ModelProto) -> tuple[str, ...]:
    """Sets the unknown first dimension of the inputs to 1, wherever its name occurs."""
    graph, notes, symbols = model.graph, [], set()
    weights = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in weights and dims and dims[0].dim_value < 1:
            symbols.add(dims[0].dim_param)
            notes.append(f"input {value.name}: batch {dims[0].dim_param or '?'} taken as 1")
            dims[0].dim_value = 1
    for value in (*graph.input, *graph.value_info, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param in symbols:
                dim.dim_value = 1
    return tuple(notes)


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    return [
        dim.dim_value if dim.dim_value > 0 else dim.dim_param or "?"
        for dim in value.type.tensor_type.shape.dim
    ]
