"""Exported programs with quantizers of PT2E (`convert_pt2e` of torchao) as graphs of quantized operators.

Their operators are `torch.ops.quantized_decomposed`: quantize_per_tensor(x, scale, zero_point, quant_min,
quant_max, dtype), dequantize_per_tensor and dequantize_per_channel, between ATen's own on floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from sim.errors import InputError
from sim.importers.quantized import GraphNode, Lowered, QuantizedGraph, lower

_FUNCTIONS = {
    "aten.elu": "Elu",
    "aten.gelu": "Gelu",
    "aten.hardsigmoid": "HardSigmoid",
    "aten.hardswish": "HardSwish",
    "aten.leaky_relu": "LeakyRelu",
    "aten.mish": "Mish",
    "aten.sigmoid": "Sigmoid",
    "aten.silu": "Swish",
    "aten.softplus": "Softplus",
    "aten.tanh": "Tanh",
}
"""Functions of one value: torch itself computes their tables."""

_BINARY = {"aten.add": "Add", "aten.div": "Div", "aten.mul": "Mul", "aten.sub": "Sub"}

_SAME = ("aten.alias", "aten.clone", "aten.contiguous", "aten.detach", "aten.dropout")


def import_program(program: torch.export.ExportedProgram, name: str = "program") -> Lowered:
    """The integers of a quantized program.

    Raises:
        InputError: nodes that cannot be layers; all of them are named.
    """
    return lower(_Graph(program, name).graph())


def quantized(program: torch.export.ExportedProgram) -> bool:
    """Whether a program has quantizers."""
    return any("quantized_decomposed" in str(node.target) for node in program.graph.nodes)


@dataclass
class _Call:
    """A call by the names of its schema's arguments."""

    node: Node
    arguments: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def pair(self, name: str) -> list[int]:
        """(y, x) of a list that may have one value, or none."""
        values = list(self.arguments[name] or [])
        return values * 2 if len(values) == 1 else values


class _Graph:
    """A program, node by node."""

    def __init__(self, program: torch.export.ExportedProgram, name: str) -> None:
        self.name, self.program = name, program
        self.nodes: list[GraphNode] = []
        self.constants: dict[str, np.ndarray] = {}
        signature = program.graph_signature
        held = {**program.state_dict, **program.constants}
        for source in (
            signature.inputs_to_parameters,
            signature.inputs_to_buffers,
            signature.inputs_to_lifted_tensor_constants,
        ):
            self.constants |= {place: held[full].detach().cpu().numpy() for place, full in source.items()}
        self.inputs = {str(name): () for name in signature.user_inputs}

    def graph(self) -> QuantizedGraph:
        """The graph; what is unknown keeps its name, so that it is refused by it."""
        shapes = {}
        for node in self.program.graph.nodes:
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor):
                shapes[node.name] = tuple(int(n) for n in value.shape)
            if node.op == "call_function":
                self._take(node)
        inputs = {name: shapes[name] for name in self.inputs}
        outputs = [str(name) for name in self.program.graph_signature.user_outputs]
        return QuantizedGraph(self.name, self.nodes, inputs, outputs, self.constants, _evaluate, shapes)

    def _take(self, node: Node) -> None:
        operator = str(getattr(node.target, "overloadpacket", node.target))
        schema = getattr(node.target, "_schema", None)
        values = {a.name: a.default_value for a in schema.arguments} if schema else {}
        values |= dict(zip(values, node.args, strict=False))
        call = _Call(node, values | dict(node.kwargs))
        if operator in _OPERATORS:
            _OPERATORS[operator](self, call)
        elif operator in _FUNCTIONS:
            self.say(call, _FUNCTIONS[operator], [node.all_input_nodes[0]], function=_called(node))
        elif operator in _SAME:
            self.say(call, "Identity", [node.all_input_nodes[0]])
        else:
            self.say(call, operator, node.all_input_nodes)

    def say(self, call: _Call, operator: str, inputs: Sequence[Any], **attributes: Any) -> None:
        """One node for a call; what is no node among the inputs becomes a constant."""
        names = []
        for position, value in enumerate(inputs):
            if isinstance(value, Node):
                names.append(value.name)
            elif value is None:
                names.append("")
            else:
                names.append(f"{call.node.name}/{position}")
                self.constants[names[-1]] = np.asarray(value)
        while names and not names[-1]:
            names.pop()
        self.nodes.append(GraphNode(call.node.name, operator, tuple(names), (call.node.name,), attributes))


def _called(node: Node) -> Callable[[np.ndarray], np.ndarray]:
    """The function of a call, with its other arguments."""
    target: Any = node.target

    def call(x: np.ndarray) -> np.ndarray:
        found: np.ndarray = target(torch.from_numpy(x), *node.args[1:], **node.kwargs).numpy()
        return found

    return call


def _evaluate(node: GraphNode, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Results of a node whose operands are known, by torch."""
    given = [array for array in inputs if array is not None]
    if (call := node.attributes.get("function")) is not None:
        return [call(given[0])]
    if node.operator in _ARITHMETIC:
        return [_ARITHMETIC[node.operator](*given)]
    problem, fix = "its operands are constant", "fold constants before the export"
    raise InputError(f"node {node.name}", node.operator, problem, fix)


_ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {
    "Add": np.add,
    "Div": np.divide,
    "Identity": lambda x: x,
    "Mul": np.multiply,
    "Sub": np.subtract,
}


def _quantizer(operator: str) -> Callable[[_Graph, _Call], None]:
    def take(graph: _Graph, call: _Call) -> None:
        limits = {"low": call["quant_min"], "high": call["quant_max"]}
        graph.say(call, operator, [call["input"], np.float32(call["scale"]), call["zero_point"]], **limits)

    return take


def _per_channel(graph: _Graph, call: _Call) -> None:
    inputs = [call["input"], call["scales"], call["zero_points"]]
    graph.say(call, "DequantizeLinear", inputs, axis=call["axis"])


def _conv(graph: _Graph, call: _Call) -> None:
    pads = call.pair("padding")
    attributes = {"strides": call.pair("stride"), "dilations": call.pair("dilation"), "pads": pads + pads}
    graph.say(call, "Conv", [call["input"], call["weight"], call["bias"]], group=call["groups"], **attributes)


def _pool(operator: str) -> Callable[[_Graph, _Call], None]:
    def take(graph: _Graph, call: _Call) -> None:
        kernel, pads = call.pair("kernel_size"), call.pair("padding")
        attributes = {
            "kernel_shape": kernel,
            "strides": call.pair("stride") or kernel,
            "pads": pads + pads,
            "ceil_mode": int(call["ceil_mode"]),
            "count_include_pad": int(call.arguments.get("count_include_pad", 0)),
        }
        if operator == "MaxPool":
            attributes["dilations"] = call.pair("dilation")
        input_ = call.arguments.get("self", call.arguments.get("input"))
        graph.say(call, operator, [input_], **attributes)

    return take


def _adaptive(graph: _Graph, call: _Call) -> None:
    one = all(n == 1 for n in call["output_size"])
    graph.say(call, "GlobalAveragePool" if one else "aten.adaptive_avg_pool2d", [call["self"]])


def _clamp(graph: _Graph, call: _Call) -> None:
    limits = {"hardtanh": ("min_val", "max_val"), "relu6": (None, None)}
    kind = str(call.node.target).split(".")[1]
    low, high = limits.get(kind, ("min", "max"))
    attributes = {"min": call[low] if low else 0.0, "max": call[high] if high else 6.0}
    graph.say(call, "Clip", [call["self"]], **attributes)


def _shaped(graph: _Graph, call: _Call) -> None:
    """View, reshape, flatten, squeeze: the shape is that of the result."""
    shape = np.array(list(call.node.meta["val"].shape), np.int64)
    graph.say(call, "Reshape", [call.node.all_input_nodes[0], shape], allowzero=1)


def _permute(graph: _Graph, call: _Call) -> None:
    rank = call.node.meta["val"].ndim
    if "dims" in call.arguments:
        order = [axis % rank for axis in call["dims"]]
    else:
        order = list(range(rank))
        a, b = (call[name] % rank for name in ("dim0", "dim1"))
        order[a], order[b] = order[b], order[a]
    graph.say(call, "Transpose", [call.node.all_input_nodes[0]], perm=order)


def _mean(graph: _Graph, call: _Call) -> None:
    graph.say(call, "ReduceMean", [call["self"]], axes=list(call["dim"]), keepdims=int(call["keepdim"]))


def _binary(graph: _Graph, call: _Call) -> None:
    operator = _BINARY[str(getattr(call.node.target, "overloadpacket", ""))]
    if call.arguments.get("alpha", 1) != 1:
        graph.say(call, "aten.add with alpha", call.node.all_input_nodes)
        return
    graph.say(call, operator, [call["self"], call["other"]])


_OPERATORS: dict[str, Callable[[_Graph, _Call], None]] = {
    "quantized_decomposed.quantize_per_tensor": _quantizer("QuantizeLinear"),
    "quantized_decomposed.dequantize_per_tensor": _quantizer("DequantizeLinear"),
    "quantized_decomposed.dequantize_per_channel": _per_channel,
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(("aten.clamp", "aten.hardtanh", "aten.relu6"), _clamp),
    **dict.fromkeys(("aten.permute", "aten.transpose"), _permute),
    **dict.fromkeys(
        ("aten.flatten", "aten.reshape", "aten.squeeze", "aten.unsqueeze", "aten.view", "aten._unsafe_view"),
        _shaped,
    ),
    "aten.adaptive_avg_pool2d": _adaptive,
    "aten.avg_pool2d": _pool("AveragePool"),
    "aten.cat": lambda graph, call: graph.say(call, "Concat", call["tensors"], axis=call["dim"]),
    "aten.conv1d": _conv,
    "aten.conv2d": _conv,
    "aten.linear": lambda graph, call: graph.say(
        call, "Gemm", [call["input"], call["weight"], call["bias"]], transB=1
    ),
    "aten.matmul": lambda graph, call: graph.say(call, "MatMul", [call["self"], call["other"]]),
    "aten.max_pool2d": _pool("MaxPool"),
    "aten.mean": _mean,
    "aten.relu": lambda graph, call: graph.say(call, "Relu", [call["self"]]),
    "aten.softmax": lambda graph, call: graph.say(call, "Softmax", [call["self"]], axis=call["dim"]),
}
"""How calls become operators of ONNX."""
