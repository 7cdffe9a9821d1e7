"""Arithmetic that the storer's lanes share."""

from __future__ import annotations

from amaranth.hdl import Mux, Value

SHIFT_BITS = 6


def rounding_shift(value: Value, shift: Value) -> Value:
    """(value + 2^(shift-1)) >> shift of a signed value, shift from 1."""
    return ((value >> (shift - 1)[:SHIFT_BITS]) + 1) >> 1


def clamp(value: Value, low: Value, high: Value) -> Value:
    """The 8 bits of a signed value held between two signed bytes."""
    return Mux(value < low.as_signed(), low, Mux(value > high.as_signed(), high, value[:8]))
