"""One node of an ONNX graph said in others."""

from __future__ import annotations

from math import prod
from typing import Any

import onnx
from onnx import helper, numpy_helper

from sim.errors import InputError
from sim.importers.onnx_load import Loaded


class Spelling:
    """One node in other words.

    Attributes:
        nodes: the words so far.
    """

    def __init__(self, node: onnx.NodeProto, loaded: Loaded) -> None:
        self.node, self.loaded = node, loaded
        self.nodes: list[onnx.NodeProto] = []
        self._constants = 0
        self.attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.name = node.name or node.output[0]
        self.out = node.output[0]

    def input(self, position: int) -> str:
        """Name of an input, "" where it is left out."""
        return self.node.input[position] if position < len(self.node.input) else ""

    def say(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """A node; the first is named like the original. Gives its result."""
        number = len(self.nodes)
        name = self.name if not number else f"{self.name}.{operator.lower()}"
        output = output or f"{self.out}/{number}"
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def weight(self, extent: list[int], kind: str = "weight") -> str:
        """A parameter of which only the shape is known."""
        name = f"{self.out}/{kind}"
        value = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, extent)
        self.loaded.model.graph.input.append(value)
        self.loaded.weights[name] = extent
        return name

    def numbers(self, values: list[int]) -> str:
        """A constant, such as the shape that Reshape reads."""
        self._constants += 1
        name = f"{self.out}/numbers{self._constants}"
        self.loaded.model.graph.initializer.append(
            helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values)
        )
        return name

    def value(self, position: int) -> int | None:
        """An input that is a constant of one element; None if it is none."""
        name, graph = self.input(position), self.loaded.model.graph
        found = [tensor for tensor in graph.initializer if tensor.name == name]
        found += [
            a.t
            for node in graph.node
            if name in node.output
            for a in node.attribute
            if node.op_type == "Constant"
        ]
        return int(numpy_helper.to_array(found[0]).item()) if found and prod(found[0].dims) == 1 else None

    def extent(self, name: str) -> list[int] | None:
        """Sizes of a tensor as far as the file says them, 0 for those that it leaves open."""
        graph = self.loaded.model.graph
        for value in (*graph.input, *graph.value_info):
            if value.name == name:
                return [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        made = [a.t for n in graph.node if name in n.output and n.op_type == "Constant" for a in n.attribute]
        return list(made[0].dims) if made else None

    def end(self, tensor: str, then: str = "Identity", **attributes: Any) -> None:
        """The last word, which gives the original's first output."""
        self.say(then, [tensor], self.out, **attributes)

    def turned(self, tensor: str) -> str:
        """The last two axes exchanged, whatever the rank."""
        return self.say("Einsum", [tensor], equation="...ij->...ji")

    def refusal(self, problem: str, fix: str) -> InputError:
        """Why the node has no other words."""
        return InputError(f"node {self.name}", self.node.op_type, problem, fix)
