"""Arithmetic that the storer's lanes share: a rounding shift and a clamp, a cycle each."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed

SHIFT_BITS = 6
QUOTIENT_BITS = 11
"""Of a value shifted but for its last place. What does not fit leaves every clamp on the same side."""


def quotient(m: Module, value: Signal, shift: Value) -> Value:
    """value >> (shift - 1) of a signed value, shift from 1, held within QUOTIENT_BITS (signed)."""
    low, sign = QUOTIENT_BITS - 1, value[-1]
    places, moved = Signal(SHIFT_BITS, name="places"), Signal(low, name="moved")
    # Bits that stay above the low ones and differ from the sign: no shifter needs to be that wide.
    beyond = Signal(len(value) - 1 - low, name="beyond")
    m.d.comb += [
        places.eq(shift - 1),
        moved.eq(value >> places),
        beyond.eq(Cat((value[n] ^ sign) & (places <= n - low) for n in range(low, len(value) - 1))),
    ]
    return Cat(Mux(beyond.any(), ~sign.replicate(low), moved), sign).as_signed()


def rounded(m: Module, quotient: Signal, zero: Value, low: Value, high: Value) -> Value:
    """The 8 bits of ((quotient + 1) >> 1) + zero, held between two signed bytes."""
    result = Signal(signed(QUOTIENT_BITS + 1), name="result")
    m.d.comb += result.eq((quotient >> 1) + zero.as_signed() + quotient[0])
    return Mux(result < low.as_signed(), low, Mux(result > high.as_signed(), high, result[:8]))
