"""Layer shapes of an ONNX file. Needs the extra `onnx`, which only this importer loads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from sim.importers import onnx_macs
from sim.importers.assemble import assemble
from sim.importers.onnx_graph import Graph, Node
from sim.importers.onnx_operators import HIDDEN, OPERATORS, SAME
from sim.importers.result import Imported, checked
from sim.importers.steps import Step, Tensor
from sim.importers.unknown import check_options, hidden_products, vector


def read(path: str | Path, vector_operators: Collection[str] = ()) -> Imported:
    """Layer shapes of an ONNX model, [1, C, H, W] maps and [..., tokens, channels] sequences.

    Weights are not read, and may be missing where they are stored outside the file. An unknown
    first dimension of an input is a batch of 1.

    Args:
        vector_operators: operators without an own meaning here that are one lane operation an
            element.

    Raises:
        InputError: an unreadable or invalid file, an unknown dimension, an operator that is not
            supported, more than one image, or multiply-accumulates that the graph does not have.
        ModuleNotFoundError: the package onnx is not installed.
    """
    graph = Graph(path)
    known = {*OPERATORS, *SAME, *HIDDEN}
    check_options(vector_operators, graph.operators, known)
    steps: list[Step] = []
    names: dict[str, str] = {}
    for node in graph.nodes():
        if node.operator in SAME:
            names[node.outputs[0].name] = names.get(node.input(0).name, node.input(0).name)
            continue
        steps += _steps(_renamed(node, names), vector_operators)
    shapes = assemble(steps, graph.given, [names.get(output, output) for output in graph.outputs])
    found = checked(str(path), shapes, onnx_macs.count(graph.model), "the ONNX graph")
    return replace(found, notes=graph.notes)


def _steps(node: Node, vector_operators: Collection[str]) -> list[Step]:
    if node.operator in HIDDEN:
        raise hidden_products(node.name, node.operator, HIDDEN[node.operator])
    if node.operator in OPERATORS:
        return OPERATORS[node.operator](node)
    sources = [tensor for tensor in node.inputs if tensor is not None]
    return vector(node.name, node.operator, sources, node.outputs, vector_operators)


def _renamed(node: Node, names: dict[str, str]) -> Node:
    """Inputs by the name of the tensor that they are the same as."""

    def rename(tensor: Tensor | None) -> Tensor | None:
        return tensor and replace(tensor, name=names.get(tensor.name, tensor.name))

    return replace(node, inputs=tuple(map(rename, node.inputs)))
