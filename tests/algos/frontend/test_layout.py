"""Layouts against torch, which moves the elements."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from algos.frontend.layout import Layout, of_axes

extents = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(lambda sizes: (1, *sizes))


def held(layout: Layout, value: torch.Tensor) -> np.ndarray:
    """The map of a value."""
    return value.reshape(-1).numpy()[layout.index()]


@st.composite
def values(draw: st.DrawFn) -> tuple[torch.Tensor, Layout]:
    """A value, its axes dealt out over C, H and W in any order."""
    extent = draw(extents)
    places = [draw(st.integers(0, 2)) for _ in extent[1:]]
    order = draw(st.permutations(range(1, len(extent))))
    axes = [[axis for axis in order if places[axis - 1] == place] for place in range(3)]
    return torch.arange(prod(extent)).reshape(extent), of_axes(extent, *axes)


@given(values(), st.data())
def test_a_permuted_value_lies_where_it_lay(found: tuple[torch.Tensor, Layout], data: st.DataObject) -> None:
    value, layout = found
    axes = data.draw(st.permutations(range(value.ndim)))
    moved = layout.permuted(tuple(value.shape), axes)
    np.testing.assert_array_equal(held(moved, value.permute(axes)), held(layout, value))


@given(values())
def test_a_view_lies_where_it_lay(found: tuple[torch.Tensor, Layout]) -> None:
    value, layout = found
    np.testing.assert_array_equal(held(layout, value.reshape(-1, 1)), held(layout, value))
    assert layout.map == held(layout, value).shape


@given(values(), st.data())
def test_some_channels_are_a_slice(found: tuple[torch.Tensor, Layout], data: st.DataObject) -> None:
    value, layout = found
    axis = data.draw(st.integers(1, value.ndim - 1))
    first = data.draw(st.integers(0, value.shape[axis] - 1))
    count = data.draw(st.integers(1, value.shape[axis] - first))
    try:
        channels, part = layout.sliced(tuple(value.shape), axis, first, count)
    except ValueError:  # along positions
        assert value.shape[axis] > 1
        return
    expected = held(layout, value)[channels]
    np.testing.assert_array_equal(held(part, value.narrow(axis, first, count)), expected)


def test_equal_layouts_are_equal_however_they_are_spelled() -> None:
    assert of_axes((1, 2, 3, 4), [1, 2], [3]) == Layout(((4, 6),), ((1, 4),))
