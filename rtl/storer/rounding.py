"""Arithmetic that the storer's lanes share: a rounding shift and a clamp, a cycle each."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Value

SHIFT_BITS = 6
QUOTIENT_BITS = 11
"""Of a value shifted but for its last place. What does not fit leaves every clamp on the same side."""


def quotient(value: Value, shift: Value) -> Value:
    """value >> (shift - 1) of a signed value, shift from 1, held within QUOTIENT_BITS (signed)."""
    places = (shift - 1)[:SHIFT_BITS]
    low, sign = QUOTIENT_BITS - 1, value[-1]
    # Whether a bit that stays above the low ones differs from the sign: no shifter needs to be that wide.
    beyond = Cat((value[n] ^ sign) & (places <= n - low) for n in range(low, len(value) - 1)).any()
    return Cat(Mux(beyond, ~sign.replicate(low), (value >> places)[:low]), sign).as_signed()


def rounded(quotient: Value, zero: Value, low: Value, high: Value) -> Value:
    """The 8 bits of ((quotient + 1) >> 1) + zero, held between two signed bytes."""
    value = (quotient >> 1) + zero.as_signed() + quotient[0]
    return Mux(value < low.as_signed(), low, Mux(value > high.as_signed(), high, value[:8]))
