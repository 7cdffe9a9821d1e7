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
from rtl.storer.storer_lanes import PLAIN_STAGES, RESIDUAL_STAGES, WIDE_STAGES, StorerLanes
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


class _Stages:
    """Inputs and outputs of a pipeline that takes a case a cycle.

    Args:
        ages: of inputs that are read later than in the first cycle.
        latency: from a case to its `y`.
    """

    def __init__(self, ages: Mapping[str, int], latency: int) -> None:
        self.ages, self.latency = ages, latency
        self.inputs: list[Mapping[str, int]] = []
        self.outputs: list[int] = []

    def take(self, inputs: Mapping[str, int], y: int) -> tuple[dict[str, int], dict[str, int]]:
        self.inputs.append(inputs)
        self.outputs.append(y)
        now = {
            name: self.inputs[max(0, len(self.inputs) - 1 - self.ages.get(name, 0))][name] for name in inputs
        }
        ready = len(self.outputs) > self.latency
        return now, {"y": self.outputs[-1 - self.latency]} if ready else {}


def _requantizer(rng: np.random.Generator) -> Vectors:
    stages = _Stages({"zero": 4, "low": 4, "high": 4}, 5)
    before: int | None = None
    for n in range(900):
        multiplier, shift = scale(rng)
        total = sum_near(rng, multiplier, shift)
        if chance(rng, 0.1):
            total = (-1 << 31, (1 << 31) - 1)[n % 2]
        if chance(rng, 0.4):
            # A single bit just above what the shifter keeps, or its lowest one below.
            place = 10 + below(rng, 36)
            multiplier = 1 << min(15, place)
            total = (1 << place) // multiplier - below(rng, 2)
            shift = place - 9 - below(rng, 2) if place > 10 else 1
        acc = signed(number(rng, 32), 32)
        zero = int(int8(rng, 1)[0])
        rounded = (total * multiplier + (1 << shift - 1) >> shift) + zero
        low, high = bounds(rng, rounded)
        inputs = {"acc": acc, "bias": total - acc, "multiplier": multiplier, "shift": shift}
        inputs |= {"zero": zero, "low": low, "high": high}
        now, expected = stages.take(inputs, _clamp(rounded, low, high))
        yield now, expected | ({} if before is None else {"total": before})
        before = total


def _residual_lane(rng: np.random.Generator) -> Vectors:
    later = {"own_multiplier": 1, "other_multiplier": 1, "shift": 3, "zero": 4, "low": 4, "high": 4}
    stages = _Stages(later, 5)
    names = ("own", "own_zero", "zero", "other", "other_zero")
    for n in range(600):
        f = dict(zip(names, int8(rng, 5).tolist(), strict=True))
        shift = n % 26 + 1 if n % 100 else 47
        # Small enough for a result between the clamps.
        for name in ("own_multiplier", "other_multiplier"):
            f[name] = number(rng, min(16, shift + below(rng, 3)))
        total = sum((f[name] - f[f"{name}_zero"]) * f[f"{name}_multiplier"] for name in ("own", "other"))
        rounded = (total + (1 << shift - 1) >> shift) + f["zero"]
        low, high = bounds(rng, rounded)
        yield stages.take(f | {"shift": shift, "low": low, "high": high}, _clamp(rounded, low, high))


def _pass_operand(rng: np.random.Generator) -> Vectors:
    expected: dict[str, int] = {}
    held: tuple[int, int, int, int, int] | None = None
    for _ in range(1000):
        value, zero = int8(rng, 2).tolist()
        inside, first, largest = (chance(rng, 0.5) for _ in range(3))
        total = 0
        if held is not None:
            before_value, before_zero, was_inside, starts, is_largest = held
            # Anywhere, next to the value, or a power of two away from it; a maximum is a byte.
            near = before_value + below(rng, 3) - 1
            total = (
                signed(number(rng, 32), 32),
                near,
                signed(near + (1 << below(rng, 32)), 32),
                below(rng, 600) - 300,
            )[below(rng, 4)]
            total = signed(total, 8) if is_largest else total
            before = (-128 if is_largest else 0) if starts else total
            # The sum counts; a maximum must not rely on it.
            if is_largest:
                expected = {"acc": max(before, before_value) if was_inside else before, "bias": 0}
            else:
                expected = {"acc": before, "bias": before_value - before_zero if was_inside else 0}
        inputs = {"total": total, "value": value, "zero": zero}
        yield inputs | {"inside": inside, "first": first, "largest": largest}, expected
        held = value, zero, inside, first, largest


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
            self.data[cycle + WIDE_STAGES] = self._leaves([psum + bias for psum, bias, _, _ in chosen], 32)
            return
        if self.kind in ("average", "max"):
            self.totals.take(f, vector.values, inside=vector.inside, first=vector.first)
            # Its operands come a cycle before those of a row.
            self.data[cycle + 1 + PLAIN_STAGES] = self._leaves(self.totals.results(f), 8)
            return
        y = [
            requantized(signed(psum + bias, 32), multiplier, shift, f["zero"], f["low"], f["high"])
            for psum, bias, multiplier, shift in row[index * lanes :][:lanes]
        ]
        if self.kind == "residual":
            self.others[cycle + 4] = other = int8(self.rng, lanes).tolist()
            y = summed(f, y, other)
        residual = self.kind == "residual"
        self.data[cycle + (RESIDUAL_STAGES if residual else PLAIN_STAGES)] = self._leaves(y, 8)

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
        for cycle in range(_WORK + RESIDUAL_STAGES + 1):
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
                "unit": stripe if cycle <= _WORK else number(rng, layout.size),
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
