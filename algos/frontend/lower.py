"""From a graph of floats with known ranges to layers of integers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch

from algos.frontend.arguments import Sources
from algos.frontend.calibrate import SIGNED, Activation, Clamp, Histogram, Scheme
from algos.frontend.correction import Sums
from algos.frontend.graph import Graph, Node, Value
from algos.frontend.layout import Layout, of_axes
from algos.frontend.movement import gathered, positions
from algos.frontend.operator import Missing
from algos.frontend.quantize import multiplier_and_shift
from algos.frontend.regions import Function, Regions, clamp_of, factor_of, function, start
from sim.errors import InputError
from sim.network import Layer, Rearrange, Reshape, Table, activation_table

Renaming = Mapping[str, str | Callable[[re.Match[str]], str]]
"""Regular expressions in the names of layers, and what replaces them."""


@dataclass(frozen=True)
class Held:
    """Where the integer network holds a value: its tensor, how that becomes real, where the elements lie."""

    tensor: str
    activation: Activation
    layout: Layout

    @property
    def scale(self) -> float:
        return self.activation.scale


@dataclass(frozen=True)
class Tail:
    """What follows a layer and becomes part of it.

    Attributes:
        end: the value before the function.
        layout: of it.
        gain, offset: float64 [C]: end = gain * layer + offset.
        out: the value after the function, `end` where there is none.
        clamp: the function, where it only clamps.
        function: else, None for the identity.
    """

    end: Value
    layout: Layout
    gain: np.ndarray
    offset: np.ndarray
    out: Value
    clamp: Clamp = SIGNED
    function: Function | None = None


@dataclass(frozen=True)
class Lack:
    """A node without layers of integers."""

    name: str
    operation: str
    problem: str
    fix: str


class Lowering:
    """Layers so far, and where each value lies.

    Attributes:
        seen: what each value of the graph was on the calibration data.
        given: scales of results that are not found by an observer.
        held: of each value that a layer holds.
        rests: of sums of a residual path of 16 bits, what their rounding left.
        layers: in order.
        sums: of the convolutions, by name.
        lacks: what cannot be lowered.
    """

    def __init__(
        self,
        graph: Graph,
        seen: Mapping[Value, Histogram],
        scheme: Scheme,
        sources: Sources,
        rename: Renaming,
        results: Mapping[Value, Activation],
    ) -> None:
        self.graph, self.seen, self.scheme, self.rename, self.given = graph, seen, scheme, rename, results
        self.regions = Regions(graph)
        self.layers: list[Layer] = []
        self.sums: dict[str, Sums] = {}
        self.lacks: list[Lack] = []
        self.absorbed: set[Node] = set()
        self.held = {
            value: Held("input", source.activation, source.layout)
            for value, source in zip(graph.inputs, sources.each, strict=True)
        }
        if len(self.held) > 1:
            self._part(sources)
        self.rests: dict[Value, Held] = {}
        self._arranged: dict[tuple[Held, Layout], Held] = {}

    def _part(self, sources: Sources) -> None:
        """Cuts the network's input into the module's arguments, each with a zero point of its own."""
        zero, offset = sources.spec.zero_point, 0
        for (value, held), source, size in zip(self.held.items(), sources.each, sources.sizes, strict=True):
            name, own = self.name(source.name), held.activation.zero_point
            self.add(Rearrange(name, "input", held.layout.map, (size,), (1,), offset, zero_point=zero))
            if own != zero:  # a movement keeps that of what it moves
                before, name = name, self.name(f"{name}.zero_point")
                self.add(Table(name, before, np.arange(-128, 128).astype(np.int8), own))
            self.held[value] = replace(held, tensor=name)
            offset += size

    def run(self) -> list[Layer]:
        """The layers.

        Raises:
            InputError: everything that cannot be lowered.
        """
        lost: set[Value] = set()
        for node in self.graph.nodes:
            operator = node.operator
            lack = lacking(node)
            if operator is None or lack is not None:
                self.lacks += [lack] if lack else []
                lost.update(node.outputs)
            elif lost.intersection(node.inputs):
                lost.update(node.outputs)
            elif node not in self.absorbed:
                try:
                    if self.regions.inner(node):
                        self._pointwise(node.out)
                    else:
                        operator.lower(node, self)
                except Missing as missing:
                    self.lacks.append(Lack(node.name, node.operation, missing.problem, missing.fix))
                    lost.update(node.outputs)
        if self.lacks:
            raise refusal(self.graph.name, self.lacks)
        self._prune()
        return self.layers

    def _prune(self) -> None:
        """Leaves out layers that nothing needs, so that the last one is the output."""
        needed = set(self._returned())
        kept: list[Layer] = []
        for layer in reversed(self.layers):
            if layer.name in needed:
                kept.append(layer)
                needed.update(layer.inputs)
        self.layers = kept[::-1]
        self.held = {value: held for value, held in self.held.items() if held.tensor in {*needed, "input"}}

    def results(self) -> dict[str, object]:
        """Names of the tensors that the module returns, where they are several."""
        names = self._returned()
        return {"outputs": names} if len(names) > 1 else {}

    def _returned(self) -> list[str]:
        return [self.held[value].tensor for value in self.graph.outputs if not value.constant]

    def layer(self, name: str) -> Layer | None:
        """The layer that makes a tensor; None for the input."""
        return next((layer for layer in self.layers if layer.name == name), None)

    def read(self, value: Value, layout: Layout | None = None) -> Held:
        """Where a value lies, moved where the layout is another one."""
        held = self.held[value]
        if layout is None or held.layout == layout:
            return held
        key = held, layout
        if key not in self._arranged:
            name = f"{held.tensor}.moved"
            self._arranged[key] = gathered(self, held, positions(held.layout), layout, name)
        return self._arranged[key]

    def along_channels(self, value: Value, count: int = 1) -> tuple[Held, np.ndarray]:
        """Where a value lies with its last `count` axes along channels, and the entry of these in each channel."""
        inner, held = prod(value.extent[-count:]), self.held[value]
        order = Layout(held.layout.channels).index().reshape(-1)
        if held.layout.map[0] != inner == value.elements:  # no positions: in the order in which they lie
            held = self.read(value, Layout(held.layout.order))
            order = Layout(held.layout.channels).index().reshape(-1)
        if np.array_equal(np.sort(order), np.arange(inner)):
            return held, order
        rest = tuple(
            (max(stride, inner), size if stride >= inner else stride * size // inner)
            for stride, size in held.layout.order
            if stride * size > inner
        )
        want = Layout(((1, inner),), rest)
        if want.order != held.layout.order:
            axes = list(range(len(value.extent)))
            want = of_axes(value.extent, axes[-count:], axes[:-count])
        return self.read(value, want), np.arange(inner)

    def turned(self, held: Held, negative: bool) -> Held:
        """The same, or a tensor of the negated values."""
        if not negative:
            return held
        a = held.activation
        out = Activation(a.scale, max(min(-1 - a.zero_point, 127), -128))
        name = self.name(f"{held.tensor}.negative")
        self.add(Table(name, held.tensor, table(np.negative, a, out), out.zero_point))
        return Held(name, out, held.layout)

    def name(self, wanted: str) -> str:
        """A name that no layer has yet, as `rename` would have it."""
        for pattern, text in self.rename.items():
            wanted = re.sub(pattern, text, wanted)
        used = {layer.name for layer in self.layers} | {"input"}
        number, name = 0, wanted
        while name in used:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def add(self, layer: Layer) -> None:
        """A layer; one that moves nothing stands right behind its source, so as not to part an addition from the
        convolution that it rides on."""
        if isinstance(layer, Reshape):
            self.layers.insert(self.age(layer.input), layer)
        else:
            self.layers.append(layer)

    def age(self, tensor: str) -> int:
        """Number of layers up to the one that makes a tensor, 0 for the input."""
        names = [layer.name for layer in self.layers]
        return names.index(tensor) + 1 if tensor in names else 0

    def tail(self, value: Value, layout: Layout, affine: bool = False, positive: bool = False) -> Tail:
        """What follows a value, with layout `layout`, and can be part of the layer that makes it.

        Args:
            affine: whether the layer takes a gain and an offset a channel.
            positive: whether gains below 0 stay a layer of their own.
        """
        channels = layout.map[0]
        gain, offset = np.ones(channels), np.zeros(channels)
        while len(value.users) == 1 and value not in self.graph.outputs:
            (node,) = value.users
            operator = node.operator
            if operator is None:
                break
            if operator.view and len(node.outputs) == 1:
                moved = operator.moved(node, layout)
                if moved is None:
                    break
                layout = moved
            elif affine and (pair := operator.affine(node)) is not None:
                found = [per_channel(part, node.out, layout) for part in pair]
                if found[0] is None or found[1] is None or (positive and (found[0] < 0).any()):
                    break
                gain, offset = gain * found[0], offset * found[0] + found[1]
            else:
                break
            self.absorbed.add(node)
            value = node.out
        ends = self.regions.ends(value)
        if len(ends) != 1 or ends[0] is value:
            return Tail(value, layout, gain, offset, value)
        after = function(value, ends[0])
        reach = 2 * max(abs(self.seen[value].low), abs(self.seen[value].high), 1.0)
        clamp = clamp_of(after, reach)
        if clamp is not None:
            return Tail(value, layout, gain, offset, ends[0], clamp)
        return Tail(value, layout, gain, offset, ends[0], function=after)

    def pieces(self, tail: Tail) -> list[tuple[Value, np.ndarray, Layout]]:
        """Parts that alone are read of what a layer gives: each with the channels that it takes and its layout.

        None at all where something reads the whole.
        """
        users = list(dict.fromkeys(tail.end.users))
        if tail.end in self.graph.outputs or not users:
            return []
        found = []
        for node in users:
            pieces = node.operator.pieces(node) if node.operator else []
            if not pieces:
                return []
            for piece in pieces:
                try:
                    part = tail.layout.sliced(tail.end.extent, piece.axis, piece.first, piece.count)
                except ValueError:
                    return []
                if piece.value.users or piece.value in self.graph.outputs:
                    found.append((piece.value, *part))
        self.absorbed.update(users)
        return found

    def emitted(self, tail: Tail) -> Activation:
        """Scale, zero point and clamp of what a layer without a table of its own emits."""
        if tail.function is not None:
            return self.activation(tail.end)
        return self.activation(tail.out, tail.clamp)

    def activation(self, value: Value, clamp: Clamp = SIGNED) -> Activation:
        """Scale, zero point and clamp of a value: what the caller gave, or else what its observer finds."""
        return self.given.get(value) or self.scheme.activation(self.seen[value], clamp)

    def settle(self, tail: Tail, name: str, activation: Activation) -> None:
        """Says that a layer holds what the tail ends with; a function that it has not becomes a table."""
        if tail.function is None:
            self.held[tail.out] = Held(name, activation, tail.layout)
            return
        self.held[tail.end] = Held(name, activation, tail.layout)
        self._pointwise(tail.out)

    def _pointwise(self, value: Value) -> None:
        """A table, unless the value is not wanted, is there, or is another scale of what is there."""
        if value not in self.regions.wanted or value in self.held:
            return
        first = start(value, self.held)
        source = self.held[first]
        wanted = function(first, value)
        a = source.activation
        factor = factor_of(wanted, a.scale * 128)
        if factor is not None:
            self.held[value] = replace(source, activation=replace(a, scale=a.scale * factor))
            return
        clamp = clamp_of(wanted, a.scale * 256)
        out = self.activation(value, clamp or SIGNED)
        name = self.name(value.producer.name if value.producer else value.name)
        self.add(Table(name, source.tensor, table(wanted, a, out), out.zero_point))
        self.held[value] = Held(name, out, source.layout)


def table(of_value: Function, source: Activation, out: Activation) -> np.ndarray:
    """int8 [256] of a function of the real value."""
    return activation_table(
        lambda real: float(of_value(np.array([real]))[0]),
        source.scale,
        source.zero_point,
        out.scale,
        out.zero_point,
    )


def ratio(value: float) -> tuple[int, int]:
    """Multiplier and shift of one ratio."""
    m, s = multiplier_and_shift(np.array([value]))
    return int(m[0]), int(s[0])


def ratios(values: list[float]) -> tuple[tuple[int, ...], int]:
    """Multipliers of several ratios and the shift they share."""
    shift = ratio(max(values))[1]
    return tuple(round(value * 2**shift) for value in values), shift


def per_channel(part: torch.Tensor, value: Value, layout: Layout) -> np.ndarray | None:
    """float64 [C] of a constant that broadcasts to a value; None where it differs within a channel."""
    if part.numel() == 1:
        return np.full(layout.map[0], float(part))
    placed = on_map(part, value, layout)
    first = placed[:, :1, :1]
    return first[:, 0, 0].copy() if np.array_equal(placed, np.broadcast_to(first, placed.shape)) else None


def on_map(part: torch.Tensor, value: Value, layout: Layout) -> np.ndarray:
    """float64 [C, H, W] of a constant that broadcasts to a value."""
    whole = part.detach().double().expand(value.extent).reshape(-1).numpy()
    return whole[layout.index()]


def lacking(node: Node) -> Lack | None:
    """What is missing of a node, whatever its values: None where its operator has layers of integers."""
    operator = node.operator
    if operator is not None and (operator.lowers or operator.elementwise or operator.view):
        return None
    fix = operator.fix if operator else "write it in operators that have one"
    return Lack(node.name, node.operation, "has no layer of integers", fix)


def refusal(name: str, lacks: list[Lack]) -> InputError:
    """One error that lists everything missing."""
    lines = [f"{lack.name} ({lack.operation}): {lack.problem}; {lack.fix}" for lack in lacks]
    return InputError(
        "module",
        name,
        f"{len(lacks)} of its operations cannot become integers:\n  " + "\n  ".join(lines),
        "change these parts of the module",
    )
