"""Fronts against their definition, volumes against counted cells."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codeword.sweeping.front import front, hypervolume

SIDE = 5
POINTS = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.tuples(*[st.integers(0, SIDE)] * n), min_size=1, max_size=12)
)


@given(POINTS)
def test_nobody_on_the_front_is_dominated_and_all_others_are(points):
    def dominates(one, other):
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    wanted = [n for n, one in enumerate(points) if not any(dominates(other, one) for other in points)]
    assert front(np.array(points, dtype=float)).tolist() == wanted


def test_what_is_not_known_is_on_no_front():
    assert front(np.array([[np.nan, 0.0], [1.0, 1.0]])).tolist() == [1]
    assert len(front(np.full((2, 2), np.nan))) == 0


@given(POINTS)
def test_hypervolume_counts_cells(points):
    """A cell of the grid below the corner counts if a point lies at or under its lower corner."""
    cells = product(range(SIDE), repeat=len(points[0]))
    counted = sum(
        any(all(a <= b for a, b in zip(one, cell, strict=True)) for one in points) for cell in cells
    )
    assert hypervolume(np.array(points, dtype=float), np.full(len(points[0]), float(SIDE))) == counted
