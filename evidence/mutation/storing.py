"""Vectors for the arithmetic of the storer."""

from __future__ import annotations

from functools import partial

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


def _storer_lanes(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.unit(Geometry(acc))
    lanes, columns, wide_lanes = acc.requant_lanes, acc.columns, acc.wide_lanes
    names = (
        "zero",
        "low",
        "high",
        "own_zero",
        "own_multiplier",
        "other_zero",
        "other_multiplier",
        "shift",
        "add_zero",
        "add_low",
        "add_high",
    )
    for layer in range(60):
        kind = ("rows", "average", "max", "residual", "wide")[layer % 5]
        residual, is_pass = kind == "residual", kind in ("average", "max")
        f = dict(
            zip(
                names,
                (
                    0,
                    *sorted(int8(rng, 2).tolist()),
                    0,
                    0,
                    0,
                    0,
                    1 + below(rng, 22),
                    0,
                    *sorted(int8(rng, 2).tolist()),
                ),
                strict=True,
            )
        )
        if chance(rng, 0.6):
            f |= {"low": -128, "high": 127, "add_low": -128, "add_high": 127}
        for name in ("zero", "own_zero", "other_zero", "add_zero"):
            f[name] = int(int8(rng, 1)[0])
        for name in ("own_multiplier", "other_multiplier"):
            f[name] = number(rng, min(16, f["shift"] + below(rng, 3)))
        unit = packet(
            layout,
            rng,
            **f,
            wide=kind == "wide",
            residual=residual,
            **{"pass": packets.PASS_KINDS.get(kind, packets.PASS_KINDS["rows"])},
        )
        # By the cycle in which they are given: the other operand; by that in which they come: the bytes.
        others: dict[int, list[int]] = {}
        data: dict[int, Expected] = {}
        totals: list[int] = []
        work = 40
        for cycle in range(work + 5):
            operand, parameters = [], []
            for _ in range(columns):
                multiplier, shift = scale(rng)
                total = sum_near(rng, multiplier, shift)
                operand.append(signed(number(rng, 32), 32))
                parameters.append((signed(total - operand[-1], 32), multiplier, shift))
            value = int8(rng, lanes).tolist()
            index, inside = below(rng, columns // (wide_lanes if kind == "wide" else lanes)), chance(rng, 0.8)
            first = int(cycle == 0 or chance(rng, 0.3))
            inputs = {
                "unit": unit if cycle < work else number(rng, layout.size),
                "issued": unit if cycle else number(rng, layout.size),
                "operand": pack(operand, 32),
                "parameters": pack(
                    (
                        bias & 0xFFFFFFFF | multiplier << 32 | shift << 48
                        for bias, multiplier, shift in parameters
                    ),
                    packets.PARAMETER.size,
                ),
                "index": index,
                "value": pack(value, 8),
                "inside": inside,
                "first": first,
                "other": pack(others.pop(cycle) if cycle in others else int8(rng, lanes), 8),
            }
            yield inputs, data.pop(cycle, {})
            if cycle >= work:
                continue
            if kind == "wide":
                chosen = list(zip(operand, parameters, strict=True))[index * wide_lanes :][:wide_lanes]
                data[cycle + 3] = {
                    "data": (pack((total + p[0] for total, p in chosen), 32), (1 << 32 * wide_lanes) - 1)
                }
                continue
            if is_pass:
                if first:
                    totals = [-128 if kind == "max" else 0] * lanes
                if inside:
                    totals = [
                        max(total, v) if kind == "max" else total + v - f["own_zero"]
                        for total, v in zip(totals, value, strict=True)
                    ]
                y = [
                    _clamp(total, f["low"], f["high"])
                    if kind == "max"
                    else requantized(total, f["own_multiplier"], f["shift"], f["zero"], f["low"], f["high"])
                    for total in totals
                ]
            else:
                y = [
                    requantized(signed(total + bias, 32), multiplier, shift, f["zero"], f["low"], f["high"])
                    for total, (bias, multiplier, shift) in list(zip(operand, parameters, strict=True))[
                        index * lanes :
                    ][:lanes]
                ]
            if residual:
                others[cycle + 2] = other = int8(rng, lanes).tolist()
                y = [
                    requantized(
                        (own - f["own_zero"]) * f["own_multiplier"]
                        + (o - f["other_zero"]) * f["other_multiplier"],
                        1,
                        f["shift"],
                        f["add_zero"],
                        f["add_low"],
                        f["add_high"],
                    )
                    for own, o in zip(y, other, strict=True)
                ]
            data[cycle + 3 + residual] = {"data": (pack(y, 8), (1 << 8 * lanes) - 1)}


_HALF = load("ews-8", {"requant_lanes": 4})
_RANGES = "    legal = shift >= 1 && shift <= 47 && $signed(low) <= $signed(high);"
SUITES = (
    VectorSuite("requantizer", Requantizer, _requantizer, view=_RANGES),
    VectorSuite("residual_lane", ResidualLane, _residual_lane, view=_RANGES),
    VectorSuite("pass_operand", PassOperand, _pass_operand),
    # Rows in two parts, wide ones in four.
    VectorSuite(
        "storer_lanes", partial(StorerLanes, accelerator=_HALF), partial(_storer_lanes, _HALF), view=None
    ),
)
