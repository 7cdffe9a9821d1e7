"""Multipliers against brute force over all sums."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.importers.quantized.rounding import fit, fit_pair, nearest

RATIOS = st.floats(2.0**-12, 2.0, width=32)


@settings(max_examples=60, deadline=None)
@given(
    ratios=st.lists(RATIOS, min_size=1, max_size=3),
    zero=st.integers(-128, 127),
    limits=st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    reach=st.integers(1, 20000),
)
def test_as_many_sums_differ_as_are_counted_and_none_by_more_than_a_step(
    ratios: list[float], zero: int, limits: tuple[int, int], reach: int
) -> None:
    low, high = sorted(limits)
    ratio = np.array(ratios, np.float32)

    def source(total: np.ndarray) -> np.ndarray:
        scaled = np.rint(total.astype(np.float32) * ratio[:, None])
        return np.clip(scaled + zero, low, high).astype(np.int64)

    ends = np.full(len(ratio), -reach), np.full(len(ratio), reach)
    found = fit(source, ratio, zero, *ends)
    sums = np.tile(np.arange(-reach, reach + 1), (len(ratio), 1))
    m, s = found.multiplier[:, None], found.shift[:, None]
    ours = np.clip(((sums * m + (1 << (s - 1))) >> s) + zero, low, high)
    apart = np.abs(ours - source(sums))
    assert found.of == sums.size
    assert int((apart > 0).sum()) == found.apart
    assert apart.max() <= 1


@given(RATIOS)
def test_nearest_multiplier_has_sixteen_bits(ratio: float) -> None:
    m, s = nearest(ratio)
    assert m < 2**16
    assert 1 <= s <= 47
    assert abs(m / 2**s - ratio) <= ratio * 2.0**-16


@settings(max_examples=30, deadline=None)
@given(st.tuples(RATIOS, RATIOS), st.integers(-20, 20))
def test_pairs_are_counted(ratios: tuple[float, float], zero: int) -> None:
    x, y = np.arange(-60, 61), np.arange(-40, 81)
    a, b = (np.float32(ratio) for ratio in ratios)
    wanted = np.clip(np.rint(x.astype(np.float32)[:, None] * a + y.astype(np.float32) * b) + zero, -128, 127)
    found = fit_pair(wanted, x, y, ratios, lambda total: np.clip(total + zero, -128, 127))
    m, n = found.multipliers
    ours = (x[:, None] * m + y[None] * n + (1 << (found.shift - 1))) >> found.shift
    apart = np.abs(np.clip(ours + zero, -128, 127) - wanted)
    assert int((apart > 0).sum()) == found.apart
    assert apart.max() <= 1
    assert max(m, n) < 2**16
