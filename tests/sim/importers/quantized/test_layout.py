"""Layouts against NumPy: whatever shapes and orders a tensor goes through, its values are where the map has them."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.importers.quantized.layout import Layout, plain


def _of_map(layout: Layout, values: np.ndarray) -> np.ndarray:
    """The tensor of a map's values [C, H, W]."""
    flat = layout.flat
    apart = values.reshape([atom.size for atom in flat])
    order = [flat.index(atom) for axis in layout.axes for atom in axis]
    return apart.transpose(order).reshape(layout.shape)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_shapes_and_orders(data: st.DataObject) -> None:
    shape = [1, *data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3))]
    layout = plain(shape)
    assert layout is not None
    values = np.arange(prod(shape)).reshape(layout.extent)
    tensor = values.reshape(shape)
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(tensor.ndim)))
            layout, tensor = layout.transposed(order), tensor.transpose(order)
        else:
            wanted = _regrouped(data, tensor.shape)
            found = layout.reshaped(wanted)
            if found is None:
                continue
            layout, tensor = found, tensor.reshape(wanted)
        assert layout.shape == tensor.shape
        assert np.array_equal(_of_map(layout, values), tensor)
    assert np.array_equal(_of_map(layout.merged(), values), tensor)
    if layout.ordered:
        assert np.array_equal(tensor.reshape(-1), values.reshape(-1))


def _regrouped(data: st.DataObject, shape: tuple[int, ...]) -> list[int]:
    """Factors of the elements, in any grouping."""
    rest, sizes = prod(shape), []
    while rest > 1:
        part = data.draw(st.sampled_from([n for n in range(1, rest + 1) if rest % n == 0]))
        sizes.append(part)
        rest //= part
    return [*sizes, 1]


def test_axes_that_are_split_and_joined_move_nothing() -> None:
    layout = plain([1, 12, 5, 7])
    assert layout is not None
    tokens = layout.reshaped([1, 12, 35])
    assert tokens is not None
    heads = tokens.transposed([0, 2, 1]).reshaped([1, 35, 3, 4])
    assert heads is not None
    assert heads.map == heads.like(heads).map  # type: ignore[union-attr]
    assert heads.extent == (12, 5, 7)
    assert heads.transposed([0, 2, 1, 3]).shape == (1, 3, 35, 4)


def test_what_cuts_across_is_no_layout() -> None:
    layout = plain([1, 6, 4])
    assert layout is not None
    assert layout.reshaped([1, 4, 6]) is None
    assert layout.transposed([0, 2, 1]).reshaped([1, 3, 8]) is None
