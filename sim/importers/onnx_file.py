"""Layer shapes of an ONNX file. Needs the extra `onnx`, which only this importer loads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sim.errors import InputError
from sim.importers import onnx_macs
from sim.importers.assemble import assemble
from sim.importers.onnx_graph import Graph, Node, operator
from sim.importers.onnx_operators import KEEPING, OPERATORS, SAME
from sim.importers.onnx_survey import HIDDEN, HOST, refuse_unknown
from sim.importers.result import Imported, checked
from sim.importers.steps import Step, Tensor
from sim.importers.unknown import check_options, refuse, vector


def read(
    path: str | Path,
    vector_operators: Collection[str] = (),
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, int] | None = None,
) -> Imported:
    """Layer shapes of an ONNX model, [N, C, H, W] maps and [..., tokens, channels] sequences.

    Weights are not read, and may be missing. An unknown first dimension of an input is a batch of 1;
    a batch of N is N times the work.

    Args:
        vector_operators: operators without an own meaning here that are one lane operation an
            element.
        input_shapes: sizes of inputs by name, where the file leaves them open or has others.
        values: of inputs of one element, and of conditions of Ifs, by name: what they decide is known then.

    Raises:
        InputError: an unreadable or invalid file, an unknown dimension, operators that are not
            supported (all of them are named), or multiply-accumulates that the graph does not have.
        ModuleNotFoundError: the package onnx is not installed.
    """
    graph = Graph(path, KEEPING, vector_operators, input_shapes, values)
    known = {*OPERATORS, *SAME}
    respelled = {operator(node) for node in graph.source} - {operator(node) for node in graph.active()}
    check_options(vector_operators, graph.operators, {*known, *HIDDEN, *HOST, *respelled})
    refuse_unknown(graph, known, vector_operators)
    walk = _Walk(graph, vector_operators)
    given = graph.given | walk.beside
    outputs = [walk.names.get(output, output) for output in graph.outputs]
    shapes = assemble(walk.steps, given, outputs)
    macs = onnx_macs.count(graph.source, graph.extents, graph.inputs)
    return replace(checked(str(path), shapes, macs, "the ONNX graph"), notes=graph.notes)


class _Walk:
    """The graph node by node.

    Attributes:
        names: of the tensor that each tensor is the same as.
        beside: further results of nodes that carry no arithmetic: masks, indices, statistics.
    """

    def __init__(self, graph: Graph, vector_operators: Collection[str]) -> None:
        self.steps: list[Step] = []
        self.names: dict[str, str] = {}
        self.beside: set[str] = set()
        errors: list[InputError] = []
        for proto in graph.active():
            try:
                node = graph.node(proto)
            except InputError as error:  # the shapes of what follows are unknown because of this one
                refuse([error, *errors])
                raise
            try:
                self._take(node, vector_operators)
            except InputError as error:
                errors.append(error)
            except (KeyError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
                problem = f"its attributes or inputs do not fit: {error}"
                errors.append(
                    InputError(f"node {node.name}", node.operator, problem, "export the network again")
                )
        refuse(errors)

    def _take(self, node: Node, vector_operators: Collection[str]) -> None:
        if node.operator in SAME:
            source = node.input(0).name
            self.names[node.outputs[0].name] = self.names.get(source, source)
            self.beside.update(out.name for out in node.outputs[1:])
            return
        steps = _steps(_renamed(node, self.names), vector_operators)
        self.steps += steps
        written = {step.output for step in steps}
        self.beside.update(out.name for out in node.outputs[1:] if out.name not in written)


def _steps(node: Node, vector_operators: Collection[str]) -> list[Step]:
    if node.operator in OPERATORS:
        return OPERATORS[node.operator](node)
    sources = [tensor for tensor in node.inputs if tensor is not None]
    return vector(node.name, node.operator, sources, node.outputs, vector_operators)


def _renamed(node: Node, names: dict[str, str]) -> Node:
    """Inputs by the name of the tensor that they are the same as."""

    def rename(tensor: Tensor | None) -> Tensor | None:
        return tensor and replace(tensor, name=names.get(tensor.name, tensor.name))

    return replace(node, inputs=tuple(map(rename, node.inputs)))
