"""Lanes of the storer against plain integers."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np

from rtl.storer.pass_operand import PassOperand
from rtl.storer.requantizer import Requantizer
from rtl.storer.residual_lane import ResidualLane
from tests.rtl.simulate import fields, run

LOW, HIGH = -(2**31), 2**31 - 1


def _half_up(value, shift):
    """Nearest integer of value / 2^shift, halves towards +infinity."""
    return floor(Fraction(value, 2**shift) + Fraction(1, 2))


def _clamp(value, low, high):
    return min(max(value, low), high)


def _requantizations():
    """(acc, bias, multiplier, shift, zero, low, high): all ties, extremes, random ones."""
    for shift in range(1, 48):
        for quotient in (-129, -128, -127, -2, -1, 0, 1, 126, 127, 128):
            # total * multiplier is quotient + 1/2 times 2^shift, or one beside it.
            power = min(15, shift - 1)
            half = (2 * quotient + 1) << (shift - 1 - power)
            for total in (half - 1, half, half + 1):
                if LOW <= total <= HIGH:
                    yield total, 0, 1 << power, shift, 0, -128, 127
        for total in (LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH):
            for multiplier in (0, 1, 32767, 32768, 65535):
                yield total, 0, multiplier, shift, 0, -128, 127
    for bias in (LOW, HIGH, -1, 1):
        for total in (LOW, -1, 0, HIGH):
            if LOW <= total - bias <= HIGH:
                yield total - bias, bias, 65535, 40, -128, -128, 127
    rng = np.random.default_rng(0)
    for _ in range(4000):
        total, bias = (int(rng.integers(-(2 ** int(b)), 2 ** int(b))) for b in rng.integers(1, 31, 2))
        low, high = sorted(rng.integers(-128, 128, 2).tolist())
        yield (
            total,
            bias,
            int(rng.integers(0, 2 ** int(rng.integers(1, 17)))),
            int(rng.integers(1, 48)),
            int(rng.integers(-128, 128)),
            low,
            high,
        )


def _drive(dut, cases, ages, latency, expected):
    """One case a cycle; each input `ages` cycles behind the first ones, `y` in `latency` cycles."""

    async def bench(ctx):
        for cycle in range(len(cases) + latency):
            for place, (name, age) in enumerate(ages.items()):
                if 0 <= cycle - age < len(cases):
                    ctx.set(getattr(dut, name), cases[cycle - age][place])
            if cycle >= latency:
                case = cases[cycle - latency]
                assert fields(ctx.get(dut.y), 8, 1, signed=True) == [expected(*case)], case
            if isinstance(dut, Requantizer) and 1 <= cycle <= len(cases):
                acc, bias, *_ = cases[cycle - 1]
                assert ctx.get(dut.total) == acc + bias & 2**32 - 1
            await ctx.tick()

    run(dut, bench)


def test_requantizer_rounds_and_clamps():
    def expected(acc, bias, multiplier, shift, zero, low, high):
        return _clamp(_half_up((acc + bias) * multiplier, shift) + zero, low, high)

    ages = dict(acc=0, bias=0, multiplier=0, shift=0, zero=4, low=4, high=4)
    _drive(Requantizer(), list(_requantizations()), ages, 5, expected)


def test_residual_lane_adds_with_one_rounding():
    rng = np.random.default_rng(1)
    cases = []
    for n in range(3000):
        byte = rng.integers(-128, 128, 5)
        if n % 3 == 0:
            byte = rng.choice([-128, 127], 5)
        m = rng.integers(0, 2 ** int(rng.integers(1, 17)), 2)
        if n % 5 == 0:
            m = rng.choice([0, 1, 65535], 2)
        low, high = sorted(rng.integers(-128, 128, 2).tolist())
        cases.append(
            (
                *byte.tolist(),
                *m.tolist(),
                int(rng.integers(1, 48) if n % 2 else rng.integers(1, 20)),
                low,
                high,
            )
        )
    for shift in (1, 2, 5, 8):  # ties
        for own in range(-128, 128):
            cases.append((own, 0, 0, 0, 0, 1 << shift - 1, 0, shift, -128, 127))
            cases.append((0, own, 0, 0, 0, 0, 1 << shift - 1, shift, -128, 127))

    def expected(own, other, own_zero, other_zero, zero, m, other_m, shift, low, high):
        total = (own - own_zero) * m + (other - other_zero) * other_m
        return _clamp(_half_up(total, shift) + zero, low, high)

    ages = dict(own=0, other=0, own_zero=0, other_zero=0, zero=4)
    ages |= dict(own_multiplier=1, other_multiplier=1, shift=3, low=4, high=4)
    _drive(ResidualLane(), cases, ages, 5, expected)


def test_pass_operand_accumulates_or_compares():
    rng = np.random.default_rng(2)
    dut = PassOperand()

    async def bench(ctx):
        for _ in range(1500):
            value, zero = (int(v) for v in rng.choice([-128, -1, 0, 1, 127, *rng.integers(-128, 128, 3)], 2))
            inside, first, largest = (int(v) for v in rng.integers(0, 2, 3))
            corners = [-128, -1, 0, 127, *rng.integers(-128, 128, 4)]
            corners += [] if largest else [LOW // 2, -129, 128, HIGH // 2, *rng.integers(-300, 300, 4)]
            total = int(rng.choice(corners))
            names = ("value", "zero", "inside", "first", "largest")
            for name, number in zip(names, (value, zero, inside, first, largest), strict=True):
                ctx.set(getattr(dut, name), number)
            await ctx.tick()
            for name in names:  # nothing is read later
                ctx.set(getattr(dut, name), int(rng.integers(0, 2)))
            ctx.set(dut.total, total)
            if largest:
                before = -128 if first else total
                expected = max(before, value) if inside else before
            else:
                expected = (0 if first else total) + (value - zero if inside else 0)
            assert (ctx.get(dut.acc) + ctx.get(dut.bias) - expected) % 2**32 == 0

    run(dut, bench)
