"""Vectors for the arithmetic of the storer."""

from __future__ import annotations

import numpy as np

from rtl.mutate.suite import Vectors, VectorSuite
from rtl.mutate.words import below, chance, int8, number
from rtl.pass_operand import PassOperand
from rtl.requantizer import Requantizer
from rtl.residual_lane import ResidualLane


def _signed(value: int, width: int) -> int:
    value &= (1 << width) - 1
    return value - (value >> width - 1 << width)


def _clamp(value: int, low: int, high: int) -> int:
    return low if value < low else min(value, high)


def _bounds(rng: np.random.Generator, value: int) -> tuple[int, int]:
    """Low and high: anywhere, or one of them near the value to be clamped."""
    kind, near = below(rng, 4), _clamp(value + below(rng, 3) - 1, -128, 127)
    if kind == 0:
        low, high = sorted(int8(rng, 2).tolist())
        return low, high
    return (near, 127) if kind == 1 else (-128, near) if kind == 2 else (-128, 127)


def _requantizer(rng: np.random.Generator) -> Vectors:
    first = second = None
    y: int | None = None
    for n in range(600):
        shift = n % 47 + 1
        multiplier = number(rng, 16) if chance(rng, 0.7) else (0, 1, 0x7FFF, 0x8000, 0xFFFF)[n % 5]
        # A sum for which the result lies near the clamps, or near a tie.
        reach = min(1 << 31, (400 << shift) // max(multiplier, 1) + 2)
        total = int(rng.integers(-reach, reach))
        if chance(rng, 0.1):
            total = (-1 << 31, (1 << 31) - 1)[n % 2]
        acc = _signed(number(rng, 32), 32)
        zero = int(int8(rng, 1)[0])
        rounded = 0 if second is None else (second[0] + (1 << second[1] - 1) >> second[1]) + zero
        low, high = _bounds(rng, rounded)
        expected: dict[str, int] = {}
        if first is not None:
            expected["total"] = first[0]
        if second is not None:
            expected["scaled"] = second[0]
        if y is not None:
            expected["y"] = y
        yield ({"acc": acc, "bias": total - acc, "multiplier": multiplier, "shift": shift, "zero": zero,
                "low": low, "high": high}, expected)
        if second is not None:
            y = _clamp(rounded, low, high)
        second = (first[0] * first[1], first[2]) if first is not None else None
        first = total, multiplier, shift


def _residual_lane(rng: np.random.Generator) -> Vectors:
    other = None
    y: int | None = None
    for n in range(600):
        values = dict(zip(("own", "own_zero", "zero"), int8(rng, 3).tolist(), strict=True))
        later, later_zero = int8(rng, 2).tolist()
        shift = n % 26 + 1 if n % 100 else 47
        # Small enough for a result between the clamps.
        multiplier, later_multiplier = (number(rng, min(16, shift + below(rng, 3))) for _ in range(2))
        total = (values["own"] - values["own_zero"]) * multiplier + (other or 0)
        rounded = (total + (1 << shift - 1) >> shift) + values["zero"]
        low, high = _bounds(rng, rounded)
        yield (values | {"own_multiplier": multiplier, "other": later, "other_zero": later_zero,
                         "other_multiplier": later_multiplier, "shift": shift, "low": low, "high": high},
               {} if y is None else {"y": y})
        if other is not None:
            y = _clamp(rounded, low, high)
        other = (later - later_zero) * later_multiplier


def _pass_operand(rng: np.random.Generator) -> Vectors:
    for _ in range(1000):
        value, zero = int8(rng, 2).tolist()
        # Anywhere, next to the value, or a power of two away from it.
        near = value + below(rng, 3) - 1
        total = (_signed(number(rng, 32), 32), near, _signed(near + (1 << below(rng, 32)), 32),
                 below(rng, 600) - 300)[below(rng, 4)]
        inside, first, largest = (chance(rng, 0.5) for _ in range(3))
        before = (-128 if largest else 0) if first else total
        inputs = {"total": total, "value": value, "zero": zero, "inside": inside, "first": first,
                  "largest": largest}
        # The sum counts; a maximum must not rely on it.
        if inside and not largest:
            yield inputs, {"acc": before, "bias": value - zero}
        else:
            yield inputs, {"acc": max(before, value) if inside else before, "bias": 0}


_RANGES = "    legal = shift >= 1 && shift <= 47 && $signed(low) <= $signed(high);"
SUITES = (
    VectorSuite("requantizer", Requantizer, _requantizer, view=_RANGES),
    VectorSuite("residual_lane", ResidualLane, _residual_lane, view=_RANGES),
    VectorSuite("pass_operand", PassOperand, _pass_operand),
)
