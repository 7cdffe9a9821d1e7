"""Layers that nobody reads go, and a table behind a convolution becomes part of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sim.network import Conv, Layer, Table


def tidied(layers: Sequence[Layer], outputs: Collection[str]) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """The layers that the outputs depend on.

    Returns:
        The layers, and their names by those they had: one that was fused has the name of the layer it is part of.
    """
    wanted, found = set(outputs), []
    for layer in reversed(layers):
        if layer.name in wanted:
            wanted.update(layer.inputs)
            found.append(layer)
    return _fused(found[::-1], outputs)


def _fused(layers: Sequence[Layer], outputs: Collection[str]) -> tuple[tuple[Layer, ...], dict[str, str]]:
    readers = Counter(name for layer in layers for name in layer.inputs)
    readers.update(outputs)
    names: dict[str, str] = {"input": "input"}
    found: dict[str, Layer] = {}
    for layer in layers:
        moved = _reading(layer, names)
        conv = found.get(moved.inputs[0]) if moved.inputs else None
        rides = isinstance(moved, Table) and isinstance(conv, Conv) and readers[layer.inputs[0]] == 1
        if rides and conv.requantization is not None and conv.requantization.table is None:  # type: ignore[union-attr]
            assert isinstance(moved, Table)
            assert isinstance(conv, Conv)
            assert conv.requantization is not None
            whole = replace(conv.requantization, table=moved.table, table_zero_point=moved.zero_point)
            found[conv.name] = replace(conv, requantization=whole)
            names.pop(layer.inputs[0])
            names[layer.name] = conv.name
        else:
            found[layer.name] = moved
            names[layer.name] = layer.name
    return tuple(found.values()), names


def _reading(layer: Any, names: dict[str, str]) -> Layer:
    """The layer with its operands by their new names."""
    operands = tuple(names.get(name, name) for name in layer.inputs)
    if operands == layer.inputs:
        found: Layer = layer
        return found
    field = {"input": operands[0]} if hasattr(layer, "input") else {"inputs": operands}
    moved: Layer = replace(layer, **field)
    return moved
