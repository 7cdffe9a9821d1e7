"""Vectors for the arithmetic of the storer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from evidence.mutation.suite import Expected, Vectors, VectorSuite
from evidence.mutation.words import below, chance, int8, number, pack, packet
from rtl import packets
from rtl.geometry import Geometry
from rtl.storer.pass_operand import PassOperand
from rtl.storer.requantizer import Requantizer
from rtl.storer.residual_lane import ResidualLane
from rtl.storer.storer_lanes import StorerLanes
from sim.accelerator import Accelerator, load


def signed(value: int, width: int) -> int:
    value &= (1 << width) - 1
    return value - (value >> width - 1 << width)


def _clamp(value: int, low: int, high: int) -> int:
    return low if value < low else min(value, high)


def bounds(rng: np.random.Generator, value: int) -> tuple[int, int]:
    """Low and high: anywhere, or one of them near the value to be clamped."""
    kind, near = below(rng, 4), _clamp(value + below(rng, 3) - 1, -128, 127)
    if kind == 0:
        low, high = sorted(int8(rng, 2).tolist())
        return low, high
    return (near, 127) if kind == 1 else (-128, near) if kind == 2 else (-128, 127)


def scale(rng: np.random.Generator) -> tuple[int, int]:
    """Multiplier and shift."""
    multiplier = number(rng, 16) if chance(rng, 0.7) else (0, 1, 0x7FFF, 0x8000, 0xFFFF)[below(rng, 5)]
    return multiplier, 1 + below(rng, 47)


def sum_near(rng: np.random.Generator, multiplier: int, shift: int) -> int:
    """A sum of which the result lies near the clamps."""
    reach = min(1 << 31, (400 << shift) // max(multiplier, 1) + 2)
    return int(rng.integers(-reach, reach))


def _requantizer(rng: np.random.Generator) -> Vectors:
    first = second = None
    y: int | None = None
    for n in range(600):
        multiplier, shift = scale(rng)
        total = sum_near(rng, multiplier, shift)
        if chance(rng, 0.1):
            total = (-1 << 31, (1 << 31) - 1)[n % 2]
        acc = signed(number(rng, 32), 32)
        zero = int(int8(rng, 1)[0])
        rounded = 0 if second is None else (second[0] + (1 << second[1] - 1) >> second[1]) + zero
        low, high = bounds(rng, rounded)
        expected: dict[str, int] = {}
        if first is not None:
            expected["total"] = first[0]
        if second is not None:
            expected["scaled"] = second[0]
        if y is not None:
            expected["y"] = y
        yield (
            {
                "acc": acc,
                "bias": total - acc,
                "multiplier": multiplier,
                "shift": shift,
                "zero": zero,
                "low": low,
                "high": high,
            },
            expected,
        )
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
        low, high = bounds(rng, rounded)
        yield (
            values
            | {
                "own_multiplier": multiplier,
                "other": later,
                "other_zero": later_zero,
                "other_multiplier": later_multiplier,
                "shift": shift,
                "low": low,
                "high": high,
            },
            {} if y is None else {"y": y},
        )
        if other is not None:
            y = _clamp(rounded, low, high)
        other = (later - later_zero) * later_multiplier


def _pass_operand(rng: np.random.Generator) -> Vectors:
    for _ in range(1000):
        value, zero = int8(rng, 2).tolist()
        # Anywhere, next to the value, or a power of two away from it.
        near = value + below(rng, 3) - 1
        total = (
            signed(number(rng, 32), 32),
            near,
            signed(near + (1 << below(rng, 32)), 32),
            below(rng, 600) - 300,
        )[below(rng, 4)]
        inside, first, largest = (chance(rng, 0.5) for _ in range(3))
        before = (-128 if largest else 0) if first else total
        inputs = {
            "total": total,
            "value": value,
            "zero": zero,
            "inside": inside,
            "first": first,
            "largest": largest,
        }
        # The sum counts; a maximum must not rely on it.
        if inside and not largest:
            yield inputs, {"acc": before, "bias": value - zero}
        else:
            yield inputs, {"acc": max(before, value) if inside else before, "bias": 0}


def requantized(total: int, multiplier: int, shift: int, zero: int, low: int, high: int) -> int:
    return _clamp((total * multiplier + (1 << shift - 1) >> shift) + zero, low, high)


def summed(f: Mapping[str, int], own: Sequence[int], other: Sequence[int]) -> list[int]:
    """Bytes of a row plus those of the residual map."""
    return [
        requantized(
            (y - f["own_zero"]) * f["own_multiplier"] + (o - f["other_zero"]) * f["other_multiplier"],
            1,
            f["shift"],
            f["add_zero"],
            f["add_low"],
            f["add_high"],
        )
        for y, o in zip(own, other, strict=True)
    ]


class PassTotals:
    """Average or maximum of a window, lane by lane."""

    def __init__(self) -> None:
        self.totals: list[int] = []

    def take(self, f: Mapping[str, int], values: Sequence[int], *, inside: int, first: int) -> None:
        largest = f["pass"] == packets.PASS_KINDS["max"]
        if first:
            self.totals = [-128 if largest else 0] * len(values)
        if inside:
            self.totals = [
                max(total, value) if largest else total + value - f["own_zero"]
                for total, value in zip(self.totals, values, strict=True)
            ]

    def results(self, f: Mapping[str, int]) -> list[int]:
        low, high = f["low"], f["high"]
        if f["pass"] == packets.PASS_KINDS["max"]:
            return [_clamp(total, low, high) for total in self.totals]
        return [
            requantized(total, f["own_multiplier"], f["shift"], f["zero"], low, high) for total in self.totals
        ]


def _lane_fields(rng: np.random.Generator, kind: str) -> dict[str, int]:
    """Of the packet, what lanes read."""
    low, high = sorted(int8(rng, 2).tolist())
    shift = 1 + below(rng, 22)
    add_low, add_high = sorted(int8(rng, 2).tolist())
    if chance(rng, 0.6):
        low, high, add_low, add_high = -128, 127, -128, 127
    f = {"low": low, "high": high, "add_low": add_low, "add_high": add_high, "shift": shift}
    for name in ("zero", "own_zero", "other_zero", "add_zero"):
        f[name] = int(int8(rng, 1)[0])
    for name in ("own_multiplier", "other_multiplier"):
        f[name] = number(rng, min(16, shift + below(rng, 3)))
    return f | {
        "wide": kind == "wide",
        "residual": kind == "residual",
        "pass": packets.PASS_KINDS.get(kind, packets.PASS_KINDS["rows"]),
    }


class _Lanes:
    """The lanes on stripes of one kind.

    Attributes:
        data: the bytes that leave, by cycle.
        others: the residual operand, by the cycle in which it must be given.
    """

    def __init__(self, acc: Accelerator, kind: str, f: Mapping[str, int], rng: np.random.Generator) -> None:
        self.acc, self.kind, self.f, self.rng = acc, kind, f, rng
        self.data: dict[int, Expected] = {}
        self.others: dict[int, list[int]] = {}
        self.totals = PassTotals()

    def take(self, cycle: int, row: list[tuple[int, int, int, int]], index: int, vector: _Vector) -> None:
        """Part `index` of a row (psum, bias, multiplier, shift by column), or a vector of a pass."""
        lanes, f = self.acc.requant_lanes, self.f
        if self.kind == "wide":
            width = self.acc.wide_lanes
            chosen = row[index * width :][:width]
            self.data[cycle + 3] = self._leaves([psum + bias for psum, bias, _, _ in chosen], 32)
            return
        if self.kind in ("average", "max"):
            self.totals.take(f, vector.values, inside=vector.inside, first=vector.first)
            y = self.totals.results(f)
        else:
            y = [
                requantized(signed(psum + bias, 32), multiplier, shift, f["zero"], f["low"], f["high"])
                for psum, bias, multiplier, shift in row[index * lanes :][:lanes]
            ]
        if self.kind == "residual":
            self.others[cycle + 2] = other = int8(self.rng, lanes).tolist()
            y = summed(f, y, other)
        self.data[cycle + 3 + (self.kind == "residual")] = self._leaves(y, 8)

    def _leaves(self, values: Sequence[int], bits: int) -> Expected:
        return {"data": (pack(values, bits), (1 << bits * len(values)) - 1)}


class _Vector(NamedTuple):
    """Of a pass."""

    values: list[int]
    inside: int
    first: int


_WORK = 40
"""Cycles in which something enters the lanes, of each layer."""


def _storer_lanes(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.stripe(Geometry(acc))
    lanes, columns = acc.requant_lanes, acc.columns
    for layer in range(60):
        kind = ("rows", "average", "max", "residual", "wide")[layer % 5]
        f = _lane_fields(rng, kind)
        stripe = packet(layout, rng, **f)
        model = _Lanes(acc, kind, f, rng)
        for cycle in range(_WORK + 5):
            row = []
            for _ in range(columns):
                multiplier, shift = scale(rng)
                total = sum_near(rng, multiplier, shift)
                psum = signed(number(rng, 32), 32)
                row.append((psum, signed(total - psum, 32), multiplier, shift))
            values = int8(rng, lanes).tolist()
            index = below(rng, columns // (acc.wide_lanes if kind == "wide" else lanes))
            inside = chance(rng, 0.8)
            vector = _Vector(values, inside, int(cycle == 0 or chance(rng, 0.3)))
            other = model.others.pop(cycle, None)
            inputs = {
                "unit": stripe if cycle < _WORK else number(rng, layout.size),
                "issued": stripe if cycle else number(rng, layout.size),
                "operand": pack((psum for psum, _, _, _ in row), 32),
                "parameters": pack(
                    (
                        bias & 0xFFFFFFFF | multiplier << 32 | shift << 48
                        for _, bias, multiplier, shift in row
                    ),
                    packets.PARAMETER.size,
                ),
                "index": index,
                "value": pack(values, 8),
                "inside": inside,
                "first": vector.first,
                "other": pack(int8(rng, lanes) if other is None else other, 8),
            }
            yield inputs, model.data.pop(cycle, {})
            if cycle < _WORK:
                model.take(cycle, row, index, vector)


_HALF = load("ews-8", {"requant_lanes": 4})
RANGES = "    legal = shift >= 1 && shift <= 47 && $signed(low) <= $signed(high);"
SUITES = (
    VectorSuite("requantizer", Requantizer, _requantizer, view=RANGES),
    VectorSuite("residual_lane", ResidualLane, _residual_lane, view=RANGES),
    VectorSuite("pass_operand", PassOperand, _pass_operand),
    # Rows in two parts, wide ones in four.
    VectorSuite(
        "storer_lanes", partial(StorerLanes, accelerator=_HALF), partial(_storer_lanes, _HALF), view=None
    ),
)
