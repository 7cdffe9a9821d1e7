"""A quantized graph becomes a network of integers, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.importers.quantized.builder import Builder
from sim.importers.quantized.graph import GraphNode, QuantizedGraph
from sim.importers.quantized.layout import Layout, plain
from sim.importers.quantized.operators import OPERATORS
from sim.importers.quantized.quantizing import quantizer
from sim.importers.quantized.tidy import tidied
from sim.importers.quantized.values import (
    Codes,
    Comparison,
    OrderError,
    Parameter,
    Pending,
    Quantized,
    Source,
    Tensor,
    Unknown,
    Value,
    Weight,
    refusal,
)
from sim.importers.unknown import refuse
from sim.network import Network

_SHOWN = 5  # nodes of one kind that a message names

_OF_INTEGERS = ("GlobalMaxPool", "MaxPool", "Resize", "Upsample")
"""Operators that work on integers as on what they stand for."""

_OF_WEIGHTS = ("Cast", "Dropout", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that leave the integers of a weight as they are."""

_NO_LAYER = (
    "no layer of integers computes this operator",
    "end the network before it with onnx.utils.extract_model, or estimate its cost by its shapes",
)

_REASONS = dict.fromkeys(
    ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"),
    ("its scales are computed from data at run time", "quantize statically, with calibration"),
)
"""Why some operators are no layers, and what to do."""


@dataclass(frozen=True)
class Lowered:
    """A network, and how it stands to its source.

    Attributes:
        comparisons: of the layers that round.
        tensors: names of the network's tensors, by those of the source.
        notes: what was assumed or left out.
    """

    network: Network
    comparisons: tuple[Comparison, ...]
    tensors: dict[str, str]
    notes: tuple[str, ...]

    def summary(self) -> list[str]:
        """Lines for people."""
        counted = [one for one in self.comparisons if one.of]
        apart = [one for one in counted if one.apart]
        same = len(counted) - len(apart)
        lines = [f"{self.network.name}: {len(self.network.layers)} layers with integers of the file"]
        if counted:
            lines.append(f"{same} of {len(counted)} requantizations equal float32 arithmetic for all sums")
        lines += [
            f"{one.layer}: {one.apart:,} of {one.of:,} possible sums round to one step beside"
            for one in apart
        ]
        lines += [f"{one.layer}: {one.why}" for one in self.comparisons if one.why]
        return [*lines, *self.notes]


def lower(graph: QuantizedGraph) -> Lowered:
    """The network of a graph.

    Raises:
        InputError: nodes that cannot be layers; all of them are named.
    """
    builder = Builder(_live(graph), graph.evaluate)
    values = _Walk(graph, builder)
    refuse(_grouped(values.told()))
    try:
        found = [_output(name, builder, values) for name in graph.outputs]
    except InputError as error:
        refuse([error])
        raise
    if builder.input is None:
        raise InputError(
            "network", graph.name, "its input is never quantized", "quantize it with quantize_static"
        )
    layers, names = tidied(builder.layers, [one.tensor for one in found])
    results = {names[one.tensor]: one.scale for one in found}
    last = layers[-1].name if layers else ""
    tensors = {outside: names[inside] for outside, inside in values.tensors().items() if inside in names}
    kept = {layer.name for layer in layers}
    said: dict[str, object] = {"output": results.get(last, {})}
    if len(found) > 1:
        said["outputs"] = results
    network = Network(graph.name, builder.input, layers, said)
    return Lowered(
        network,
        tuple(one for one in builder.comparisons if one.layer in kept),
        tensors,
        (*graph.notes, *builder.notes, *(note for one in found for note in one.notes)),
    )


def _live(graph: QuantizedGraph) -> list[GraphNode]:
    """Nodes that an output depends on."""
    wanted, found = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


class _Walk:
    """Values of all tensors."""

    def __init__(self, graph: QuantizedGraph, builder: Builder) -> None:
        self.graph, self.builder = graph, builder
        self.errors: list[InputError] = []
        self.assumed = False
        self.values: dict[str, Value] = {name: Parameter(array) for name, array in graph.constants.items()}
        self.values |= {name: Source(name, layout) for name, layout in self._inputs().items()}
        for node in builder.nodes:
            try:
                found = self._value(node)
            except InputError as error:
                self.errors.append(error)
                found = [Unknown()]
            except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
                problem = f"its attributes or inputs do not fit: {error!r}"
                self.errors.append(refusal(node.name, node.operator, problem, "export the network again"))
                found = [Unknown()]
            found += [Unknown() for _ in node.outputs[len(found) :]]
            self.values |= dict(zip(node.outputs, found, strict=False))

    def told(self) -> list[InputError]:
        """Errors but those that follow from an assumed order of values; nothing is assumed before the first."""
        later = [e for e in self.errors[1:] if not (self.assumed and isinstance(e, OrderError))]
        return self.errors[:1] + later

    def _inputs(self) -> dict[str, Layout]:
        read = {name for node in self.builder.nodes for name in node.inputs}
        wanted = {name: shape for name, shape in self.graph.inputs.items() if name in read}
        if len(wanted) != 1:
            problem = f"{len(wanted)} inputs ({', '.join(wanted)}), a network of integers has one"
            self.errors.append(
                InputError("network", self.graph.name, problem, "cut it so that it reads one tensor")
            )
        found = {}
        for name, shape in wanted.items():
            layout = self._input(shape)
            if layout is None:
                problem = "is no map [1, C, H, W] and no sequence [1, tokens, channels]"
                self.errors.append(InputError(f"input {name}", list(shape), problem, "give a batch of 1"))
            found[name] = layout or Layout((), ((), (), ()))
        return found

    def _input(self, shape: Sequence[int]) -> Layout | None:
        """Sequences are [1, channels, length] where there are convolutions, else [1, tokens, channels]."""
        layout = plain(shape) if shape and shape[0] == 1 else None
        convolves = any(node.operator == "Conv" for node in self.builder.nodes)
        if layout is None or len(shape) != 3 or convolves:
            return layout
        return Layout(layout.axes, (layout.axes[2], layout.axes[1], ()))

    def _value(self, node: GraphNode) -> list[Value]:
        values: list[Value | None] = []
        for name in node.inputs:
            if name and name not in self.values:
                raise refusal(
                    node.name, node.operator, f"reads {name}, which nobody writes", "export it again"
                )
            values.append(self.values[name] if name else None)
        if any(isinstance(value, Unknown) for value in values):
            return [self._assumed(node, values)]
        constant = all(value is None or isinstance(value, Parameter | Weight) for value in values)
        kept = any(isinstance(value, Weight) for value in values) and node.operator in _OF_WEIGHTS
        if constant and not kept and node.operator != "DequantizeLinear":
            return [Parameter(np.asarray(array)) for array in self.builder.evaluate(node, _arrays(values))]
        if node.operator not in OPERATORS:
            problem, fix = _REASONS.get(node.operator, _NO_LAYER)
            raise refusal(node.name, node.operator, problem, fix)
        first = values[0] if values else None
        if isinstance(first, Quantized) and node.operator in _OF_INTEGERS:
            tensor = self.builder.tensor(first)
            values[0] = Codes(tensor, first.quantizer.real(), tensor.name)
            moved = OPERATORS[node.operator](self.builder, node, values)
            assert isinstance(moved, Codes)
            return [Quantized(moved, first.quantizer, moved.tensor)]
        found = OPERATORS[node.operator](self.builder, node, values)
        return found if isinstance(found, list) else [found]

    def _assumed(self, node: GraphNode, values: Sequence[Value | None]) -> Value:
        """What a QuantizeLinear behind a refused node gives, so that what follows is looked at, too."""
        shape = self.graph.shapes.get(node.inputs[0])
        layout = None if shape is None else self._input(shape)
        if node.operator != "QuantizeLinear" or layout is None:
            return Unknown()
        found = quantizer(node, *(*values[1:], None)[:2])
        self.assumed = True
        return Quantized(Codes(Tensor(node.name, layout, found.zero_point), found.real(), node.name), found)

    def tensors(self) -> dict[str, str]:
        """Tensors of the network by the names of the integers in the source."""
        return {
            name: value.tensor.name
            for name, value in self.values.items()
            if isinstance(value, Quantized) and value.tensor is not None and not any(value.tensor.pads)
        }


def _arrays(values: Sequence[Value | None]) -> list[np.ndarray | None]:
    return [
        value.array if isinstance(value, Parameter) else value.real if isinstance(value, Weight) else None
        for value in values
    ]


@dataclass(frozen=True)
class _Result:
    """Name of a tensor that the network gives, its scale and zero point, and what the source does with it."""

    tensor: str
    scale: dict[str, Any]
    notes: tuple[str, ...] = ()


def _output(name: str, builder: Builder, walk: _Walk) -> _Result:
    """One of the network's results."""
    value = walk.values.get(name)
    if isinstance(value, Pending) and value.source is not None:
        return _Result(
            value.source.name, {}, (f"{value.operator} {value.label} in float is left to the host",)
        )
    if isinstance(value, Pending) and value.wide is not None:
        scales = np.unique(value.scales).tolist()
        if len(scales) == 1:
            return _Result(value.wide().name, {"scale": scales[0], "zero_point": 0})
        note = f"{value.label}: a scale a channel, which the host multiplies (metadata `output`)"
        return _Result(value.wide().name, {"scale": value.scales.tolist(), "zero_point": 0}, (note,))
    if isinstance(value, Quantized):
        q = value.quantizer
        return _Result(builder.tensor(value).name, {"scale": float(q.scale), "zero_point": q.zero_point})
    if isinstance(value, Codes):
        scale = value.scale()
        if value.steps:
            note = f"{', '.join(value.steps)} of {value.label} in float: left to the host"
            return _Result(value.tensor.name, {}, (note,))
        found = {} if scale is None else {"scale": float(scale), "zero_point": value.tensor.zero_point}
        return _Result(value.tensor.name, found)
    label = value.label if isinstance(value, Pending) else name
    problem = "is computed in float, in more than one scale, or from no integers"
    raise InputError(f"output {name}", label, problem, "quantize the output")


def _grouped(errors: Sequence[InputError]) -> list[InputError]:
    """One error for all nodes with the same problem."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for error in errors:
        found.setdefault((str(error.value), error.problem, error.fix), []).append(error.field)
    grouped = []
    for (value, problem, fix), fields in found.items():
        more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
        grouped.append(InputError(f"{', '.join(fields[:_SHOWN])}{more}", value, problem, fix))
    return grouped
