"""An element of few bits and its scale to an INT8 weight."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Array, Const, Module, Value, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block


class ScaledWeight(Block):
    """One column of a machine whose weights have group scales.

    Function: `weight` is the element `element`, times or shifted by the scale of code `scale`; `sim.formats.scaled`
        says of each format why it lies in INT8.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "scaled_weight"
    clocked = False

    def __init__(self, *, form: str, bits: int, scale_bits: int) -> None:
        self.product = PRODUCTS[form]
        super().__init__({"element": In(bits), "scale": In(scale_bits), "weight": Out(signed(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.weight.eq(self.product(self.element, self.scale))
        return m


def _times(element: Value, scale: Value) -> Value:
    value = element.as_signed()
    return value * scale + value


def _e2m1(element: Value) -> Value:
    """Twice the value, 5 bits: a table of 16."""
    magnitudes = (0, 1, 2, 3, 4, 6, 8, 12)
    return Array(Const(value, signed(5)) for value in (*magnitudes, *(-value for value in magnitudes)))[
        element
    ]


def _e2m1_times(element: Value, scale: Value) -> Value:
    value = _e2m1(element)
    return value * scale + value


def _e2m1_shifted(element: Value, scale: Value) -> Value:
    return _e2m1(element) << scale[:2]


def _rounded(element: Value, scale: Value) -> Value:
    """Shifted right, with the highest bit that leaves added."""
    doubled = element.as_signed() << 1
    return ((doubled >> scale[:3]) + 1) >> 1


PRODUCTS: dict[str, Callable[[Value, Value], Value]] = {
    "int4": _times,
    "int3": _times,
    "int2": _times,
    "mxfp4": _e2m1_shifted,
    "nvfp4": _e2m1_times,
    "mxint8": _rounded,
}
"""By the name of the format."""
