"""Multipliers and shifts that round as float32 does, and for how many sums they cannot.

A layer here ends with (v m + 2^(s-1)) >> s, m of 16 bits; a quantized network of another tool ends with
rint(float32(v) * scale), halves to even. Both are monotone in v, so they agree on all sums if each result begins
at the same sum. Sums at which it does not are one step apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import frexp

import numpy as np

TOP = 2**31
"""Beyond all sums."""

Function = Callable[[np.ndarray], np.ndarray]
"""int64 sums [K, n] to int8 codes, monotone in each row of K."""


@dataclass(frozen=True)
class Fit:
    """Multipliers for the rows of a function.

    Attributes:
        multiplier: [K], below 2^16.
        shift: [K], 1..47.
        apart: sums, of all rows together, whose result is another one.
        of: sums that can occur.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    apart: int
    of: int


def nearest(ratio: float, spare: int = 0) -> tuple[int, int]:
    """m and s with m / 2^s next to a ratio, m as large as 16 bits (less `spare`) and s up to 47 allow."""
    _, exponent = frexp(ratio)
    shift = min(max(16 - spare - exponent, 1), 47)
    m = round(ratio * 2**shift)
    if m >= 2 ** (16 - spare) and shift > 1:
        shift -= 1
        m = round(ratio * 2**shift)
    return min(m, 2**16 - 1), shift


def fit(function: Function, ratios: np.ndarray, zero_point: int, low: np.ndarray, high: np.ndarray) -> Fit:
    """The best multipliers for a function of one sum.

    Args:
        function: what the source computes.
        ratios: [K], about the step of its result in units of the sum.
        zero_point: of the results.
        low, high: int64 [K], the least and the largest sum that can occur.
    """
    first = np.array([nearest(float(r)) for r in ratios], np.int64).reshape(-1, 2)
    shift = first[:, 1]
    best, found = np.full(len(ratios), TOP * 256), first[:, 0].copy()
    wanted = Steps(function, len(ratios), zero_point, low, high)
    for step in (0, 1, -1):
        m = np.clip(first[:, 0] + step, 1, 2**16 - 1)
        apart = wanted.apart(m, shift)
        found = np.where(apart < best, m, found)
        best = np.minimum(apart, best)
    return Fit(found, shift, int(best.sum()), int((high - low + 1).sum()))


class Steps:
    """Where each result of a function begins."""

    def __init__(
        self, function: Function, rows: int, zero_point: int, low: np.ndarray, high: np.ndarray
    ) -> None:
        """Takes what `fit` does; `rows` is K."""
        extreme = function(np.tile(np.array([-TOP, TOP]), (rows, 1)))
        levels = np.arange(int(extreme.min()) + 1, int(extreme.max()) + 1)
        self.low, self.high = low[:, None], high[:, None] + 1
        self.doubled = 2 * (levels - zero_point)[None] - 1
        self.begin = np.clip(_begin(function, levels, rows), self.low, self.high)

    def apart(self, m: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """int64 [K], sums whose result is another one with multipliers and shifts [K]."""
        given = -((-self.doubled << (shift - 1)[:, None]) // m[:, None])
        return np.abs(np.clip(given, self.low, self.high) - self.begin).sum(1)


def _begin(function: Function, levels: np.ndarray, rows: int) -> np.ndarray:
    """The least sum from which on the function is at least each level, int64 [rows, levels], by bisection."""
    low = np.full((rows, len(levels)), -TOP)
    high = np.full((rows, len(levels)), TOP)
    for _ in range(33):
        middle = (low + high) >> 1
        there = function(middle) >= levels
        high = np.where(there, middle, high)
        low = np.where(there, low, middle + 1)
    return high


@dataclass(frozen=True)
class PairFit:
    """Two multipliers of one shift; `apart` of `of` pairs of values have another result."""

    multipliers: tuple[int, int]
    shift: int
    apart: int
    of: int


def fit_pair(
    wanted: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    ratios: tuple[float, float],
    emit: Callable[[np.ndarray], np.ndarray],
) -> PairFit:
    """The best multipliers for a weighted sum of two values.

    Args:
        wanted: int8 [len(a), len(b)], what the source computes.
        a, b: int64, all values that the operands can have, less their zero points.
        ratios: weights.
        emit: rounded sums to int8.
    """
    larger = max(ratios)
    _, shift = nearest(larger)
    exact = [ratio * 2.0**shift for ratio in ratios]
    choices = [sorted({int(e), int(e) + 1, max(int(e) - 1, 0)}, key=lambda m, e=e: abs(m - e)) for e in exact]  # type: ignore[misc]
    best: PairFit | None = None
    for m in product(*choices):
        if max(m) >= 2**16:
            continue
        total = (a[:, None] * m[0] + b[None, :] * m[1] + (1 << (shift - 1))) >> shift
        apart = int((emit(total) != wanted).sum())
        if best is None or apart < best.apart:
            best = PairFit((m[0], m[1]), shift, apart, wanted.size)
        if not apart:
            break
    assert best is not None
    return best
