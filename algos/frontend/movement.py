"""Elements elsewhere: an index of positions becomes one `Rearrange`."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

from algos.frontend.layout import Layout, of_axes
from algos.frontend.operator import Missing
from sim.network import Rearrange, Reshape

if TYPE_CHECKING:
    from algos.frontend.graph import Node, Value
    from algos.frontend.lower import Held, Lowering


def affine(index: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...], int] | None:
    """(sizes, strides, offset) that count through an index [n]; None where no such do."""
    sizes: list[int] = []
    strides: list[int] = []
    while len(index) > 1:
        step = int(index[1] - index[0])
        breaks = np.flatnonzero(np.diff(index) != step)
        run = int(breaks[0]) + 1 if len(breaks) else len(index)
        if len(index) % run:
            return None
        rows = index.reshape(-1, run)
        if not np.array_equal(rows, rows[:, :1] + step * np.arange(run)):
            return None
        sizes, strides, index = [run, *sizes], [step, *strides], rows[:, 0]
    return tuple(sizes) or (1,), tuple(strides) or (0,), int(index[0])


def positions(layout: Layout) -> np.ndarray:
    """int64 [elements]: where each element of a value lies in its map, row-major."""
    index = layout.index().reshape(-1)
    found = np.empty_like(index)
    found[index] = np.arange(len(index))
    return found


def gathered(to: Lowering, held: Held, places: np.ndarray, layout: Layout, name: str) -> Held:
    """A value whose element e is what lies at position places[e] of a held map, in a layout.

    Raises:
        Missing: no sizes and strides count through the positions.
    """
    return replace(held, tensor=_taken(to, held, places[layout.index()], name), layout=layout)


def beside(to: Lowering, value: Value, out: Value, layout: Layout) -> Held:
    """A value that broadcasts to `out`, to stand beside it in a layout; of size 1 where it repeats.

    Raises:
        Missing: as `gathered`.
    """
    held = to.held[value]
    numbers = torch.arange(value.elements).reshape(value.extent).expand(out.extent)
    index = positions(held.layout)[numbers.reshape(-1).numpy()][layout.index()]
    for axis in range(3):
        first = index.take([0], axis)
        index = first if np.array_equal(np.broadcast_to(first, index.shape), index) else index
    return replace(held, tensor=_taken(to, held, index, f"{held.tensor}.moved"))


def _taken(to: Lowering, held: Held, index: np.ndarray, name: str) -> str:
    """The tensor [C, H, W] of what lies at some positions of a held map."""
    zero, shape = held.activation.zero_point, (index.shape[0], index.shape[1], index.shape[2])
    source, flat, before = _origin(to, held.tensor, index.reshape(-1))
    maps = (one.layout.map for one in (*to.held.values(), held) if one.tensor == source)
    whole = next(maps, (0, 0, 0))
    if before is None and np.array_equal(flat, np.arange(prod(whole))):
        if shape == whole:
            return source
        name = to.name(f"{source}.flat" if shape[1:] == (1, 1) else f"{source}.view")
        to.add(Reshape(name, source, shape, zero))
        return name
    found = affine(flat)
    if found is None:
        raise Missing("takes elements that no strides count through", "take slices, and join them")
    name = to.name(name)
    padded = {} if before is None else {"padding": before.padding, "mode": before.mode}
    to.add(Rearrange(name, source, shape, *found, zero_point=zero, **padded))  # type: ignore[arg-type]
    return name


def _origin(to: Lowering, tensor: str, index: np.ndarray) -> tuple[str, np.ndarray, Rearrange | None]:
    """What a tensor was moved from, as far as strides count through all movements at once: its name, the
    positions in it, and, where these are of the padded map, the movement that pads it."""
    while True:
        layer = to.layer(tensor)
        if isinstance(layer, Reshape):
            tensor = layer.input
        elif isinstance(layer, Rearrange):
            places = np.zeros(1, np.int64) + layer.offset
            for size, stride in zip(layer.sizes, layer.strides, strict=True):
                places = (places[:, None] + np.arange(size) * stride).reshape(-1)
            if affine(places[index]) is None:
                return tensor, index, None
            tensor, index = layer.input, places[index]
            if any(map(any, layer.padding)):
                return tensor, index, layer
        else:
            return tensor, index, None


def like(layout: Layout, places: np.ndarray, extent: tuple[int, ...]) -> Layout:
    """Of a value [extent] whose elements come from a map of another layout: each axis lies along the axis
    of the map that it counts through there; one that repeats goes with the axis before it."""
    _, h, w = layout.map
    whole = places.reshape(extent)
    origin, last = (0,) * len(extent), 0
    axes: tuple[list[int], list[int], list[int]] = ([], [], [])
    for axis, size in enumerate(extent):
        if size == 1:
            continue
        step = abs(int(whole[tuple(int(k == axis) for k in range(len(extent)))] - whole[origin]))
        if step:
            last = 0 if step >= h * w else 1 if step >= w else 2
        axes[last].append(axis)
    return of_axes(extent, *axes)


def move(to: Lowering, node: Node) -> None:
    """What takes elements from fixed places: the operator itself moves their numbers. Each axis of a result lies
    as it did.

    Raises:
        Missing: no sizes and strides count through the places.
    """
    source = node.source
    numbers = torch.arange(source.elements).reshape(source.extent)
    for out, found in zip(node.outputs, node.run({source: numbers}), strict=True):
        if out.users or out in to.graph.outputs:
            taken = found.reshape(-1).numpy()
            try:
                to.held[out] = _moved(to, to.held[source], taken, out, node.name)
            except Missing:  # an axis in pieces: put it together first
                axes = range(len(source.extent))
                whole = of_axes(source.extent, axes[:2], axes[2:-1], axes[2:][-1:])
                to.held[out] = _moved(to, to.read(source, whole), taken, out, node.name)


def _moved(to: Lowering, held: Held, taken: np.ndarray, out: Value, name: str) -> Held:
    places = positions(held.layout)[taken]
    return gathered(to, held, places, like(held.layout, places, out.extent), name)
