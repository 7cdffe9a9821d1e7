"""Decoders of the formats without a codebook, on every element and scale, against Python's integers."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from rtl.weights.row_decoder import PARTS
from rtl.weights.scaled_weight import PRODUCTS, ScaledWeight
from rtl.weights.ternary_digits import TernaryDigits
from sim.formats import FORMATS
from sim.formats.scaled import Scaled
from tests.rtl.simulate import fields, run

E2M1 = [Fraction(value) for value in ("0", "1/2", "1", "3/2", "2", "3", "4", "6")]


def expected(name: str, element: int, code: int, bits: int) -> int:
    if "fp4" in name:
        value = 2 * E2M1[element % 8] * (-1 if element >= 8 else 1)
        return int(value * (2**code if name == "mxfp4" else code + 1))
    value = element - 2**bits if element >= 2 ** (bits - 1) else element
    return floor(Fraction(value, 2**code) + Fraction(1, 2)) if name == "mxint8" else value * (code + 1)


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_element_and_scale(name):
    form = FORMATS[name]
    assert isinstance(form, Scaled)
    dut = ScaledWeight(form=name, bits=form.bits, scale_bits=form.rows * form.bits)
    found = []

    async def bench(ctx):
        for element in range(2**form.bits):
            ctx.set(dut.element, element)
            for code in range(form.codes):
                ctx.set(dut.scale, code)
                weight = ctx.get(dut.weight)
                found.append(weight)
                assert weight == expected(name, element, code, form.bits)

    run(dut, bench)
    assert len(found) == form.codes * 2**form.bits
    assert -128 <= min(found) < 0 < max(found) <= 127


def test_every_byte_of_ternary_digits():
    dut = TernaryDigits()

    async def bench(ctx):
        for number in range(243):
            ctx.set(dut.number, number)
            text = np.base_repr(number, 3).zfill(5)[::-1]
            assert fields(ctx.get(dut.weights), 2, 5, True) == [int(digit) - 1 for digit in text]

    run(dut, bench)


def test_every_format_but_dense_has_a_part():
    assert set(PARTS) == set(FORMATS) - {"dense"}
