"""The graph: layers in execution order, and the maps and shapes that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np

from sim.errors import InputError, nearest
from sim.limits import ELEMENTS, LARGEST
from sim.names import require_name
from sim.network.check import require
from sim.network.layers import Add, Conv, Layer, Map
from sim.shapes import ConvShape, PassShape, Shape
from sim.shown import html


@dataclass(frozen=True)
class TensorSpec:
    """The network's input: shape (C, H, W), real = scale * (q - zero_point)."""

    shape: Map
    scale: float = 1.0
    zero_point: int = 0

    def quantize(self, real: np.ndarray) -> np.ndarray:
        """int8 of real values, rounded to nearest and clamped."""
        scaled = np.rint(real / self.scale) + self.zero_point
        return np.clip(scaled, -128, 127).astype(np.int8)


@dataclass(frozen=True)
class Network:
    """Layers in execution order; the last one is the output.

    Raises:
        InputError: a layer reads a tensor that does not exist yet or that is int32, a name is used
                twice or cannot be printed, shapes disagree or are beyond all bounds, a layer that only moves
            values has another zero point, or nothing is computed.
    """

    name: str
    input: TensorSpec
    layers: tuple[Layer, ...]
    metadata: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name("network name", self.name)
        zeros = {"input": self.input.zero_point}
        wide: set[str] = set()
        for layer in self.layers:
            require_name("layer name", layer.name)
            require(layer.name not in zeros, "layer name", layer.name, "used twice", "rename it")
            for source in layer.inputs:
                require(
                    source in zeros,
                    f"{layer.name}.input",
                    source,
                    "no earlier layer has this name",
                    "put layers in execution order",
                )
                require(
                    source not in wide,
                    f"{layer.name}.input",
                    source,
                    "is int32, since its layer has no requantization",
                    "requantize it",
                )
            if layer.keeps_zero_point:
                given = zeros[layer.inputs[0]]
                require(
                    layer.zero_point == given,
                    f"{layer.name}.zero_point",
                    layer.zero_point,
                    f"the input's is {given} and no value changes",
                    f"use {given}",
                )
            zeros[layer.name] = layer.zero_point
            if layer.wide:
                wide.add(layer.name)
        require(
            bool(self.shapes),
            "layers",
            [layer.kind for layer in self.layers],
            "the network computes nothing",
            "give a layer that is no reshape",
        )

    def __repr__(self) -> str:
        return (
            f"<Network {self.name}: {len(self.layers)} layers, {self.input.shape} to "
            f"{self.maps[self.layers[-1].name]}, {self.macs:,} MACs>"
        )

    def _repr_html_(self) -> str:
        macs = {shape.name: shape.macs for shape in self.shapes}
        rows = []
        for layer in self.layers:
            c, h, w = self.maps[layer.name]
            weight = f"{layer.weight.format} {list(layer.weight.shape)}" if isinstance(layer, Conv) else ""
            rows.append((layer.name, layer.kind, weight, f"{c} x {h} x {w}", f"{macs.get(layer.name, 0):,}"))
        return html(repr(self)[1:-1], ("layer", "kind", "weight", "output", "MACs"), rows)

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise InputError("layer", name, f"not in network {self.name}", nearest(name, names))

    def zero_point(self, tensor: str) -> int:
        """Zero point of a tensor, by the name of its layer or 'input'."""
        return self.input.zero_point if tensor == "input" else self[tensor].zero_point

    @cached_property
    def maps(self) -> dict[str, Map]:
        """(C, H, W) of every tensor by name."""
        maps: dict[str, Map] = {"input": self.input.shape}
        for layer in self.layers:
            maps[layer.name] = ofmap = layer.ofmap(*(maps[name] for name in layer.inputs))
            require(
                max(ofmap) <= LARGEST and prod(ofmap) <= ELEMENTS,
                f"{layer.name}.ofmap",
                ofmap,
                f"a map has up to {ELEMENTS:,} elements",
                "make the layer smaller",
            )
        return maps

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of the layers, as mapping and the closed form take them.

        An addition rides on the convolution right before it when it is that layer's only reader. A
        reshape emits nothing. A shape is `chained` when its first operand is what the shape before it
        wrote (the network's input, for the first one).
        """
        readers: dict[str, int] = {}
        for layer in self.layers:
            for source in layer.inputs:
                readers[source] = readers.get(source, 0) + 1
        results = self.metadata.get("outputs")
        # A result must be in memory, whoever else reads it.
        for name in results if isinstance(results, list | tuple) else ():
            readers[name] = readers.get(name, 0) + 1
        shapes: list[Shape] = []
        written = {"input"}  # names of what the last shape wrote
        for previous, layer in zip((None, *self.layers), self.layers, strict=False):
            if isinstance(layer, Add) and (
                isinstance(previous, Conv)
                and previous.name in layer.inputs
                and layer.inputs[0] != layer.inputs[1]
                and readers[previous.name] == 1
                and self.maps[layer.inputs[0]] == self.maps[layer.inputs[1]]
            ):
                ridden = shapes.pop()
                assert isinstance(ridden, ConvShape)
                shapes.append(ridden.with_residual(layer.name))
                written = {layer.name}
                continue
            maps = (self.maps[name] for name in layer.inputs)
            chained = not written.isdisjoint(layer.inputs[:1])
            shape = layer.shape(*maps, chained=chained)
            if (
                isinstance(shape, PassShape)
                and shape.windows
                and not (
                    isinstance(previous, Conv)
                    and previous.name in layer.inputs
                    and readers[previous.name] == 1
                )
            ):
                shape = replace(shape, windows=None)
            if shape is not None:
                shapes.append(shape)
                written = {layer.name}
            elif chained:
                written = written | {layer.name}
        return tuple(shapes)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, dense-equivalent."""
        return sum(s.macs for s in self.shapes)
