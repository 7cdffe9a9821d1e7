"""Vectors for the storer: streams of units, their psum rows and passes, cycle by cycle."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import numpy as np

from evidence.mutation.storing import bounds, requantized, scale, signed, sum_near
from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.units import PassVector, pass_vectors
from evidence.mutation.words import below, chance, extent, int8, number, pack, packet
from rtl import packets
from rtl.geometry import Geometry
from rtl.storer.storer import Storer
from rtl.storer.unit_buffer import SLOTS
from sim.accelerator import Accelerator, load

_FIELDS = (
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


@dataclass
class _Row:
    """A row to come, where it goes, and what must be said about it."""

    pixel: int
    s: int
    columns: int
    byte: int
    word: int
    entry: dict[str, int]
    pixel_end: bool


@dataclass
class _Unit:
    packet: int
    f: dict[str, int]
    rows: list[_Row]
    parameters: list[tuple[int, int, int]] = field(default_factory=list)
    vectors: list[PassVector] = field(default_factory=list)


def _layer(acc: Accelerator, rng: np.random.Generator, kind: str) -> list[_Unit]:
    layout = packets.unit(Geometry(acc))
    is_pass, wide, residual = kind in ("average", "max"), kind == "wide", kind == "residual"
    step = acc.requant_lanes if is_pass else acc.columns * (4 if wide else 1)
    per_cycle = acc.wide_lanes if wide else acc.requant_lanes
    f = {name: int(int8(rng, 1)[0]) for name in _FIELDS} | {"shift": 1 + below(rng, 22)}
    f |= {
        name: number(rng, min(16, f["shift"] + below(rng, 3)))
        for name in ("own_multiplier", "other_multiplier")
    }
    f["low"], f["high"] = bounds(rng, 0)
    f["add_low"], f["add_high"] = bounds(rng, 0)
    f |= {
        "wide": wide,
        "residual": residual,
        "map": number(rng, 1),
        "pass": packets.PASS_KINDS.get(kind, packets.PASS_KINDS["rows"]),
    }
    units = []
    number_of_units = 1 if is_pass else 1 + below(rng, 4)
    for n in range(number_of_units):
        fields, vectors = ({}, []) if not is_pass else pass_vectors(layout, acc, rng, 60)
        rows_each = fields["groups"] if is_pass else extent(rng, 6)
        pixels = fields["pixels"] if is_pass else extent(rng, 6)
        columns, tail = (
            (acc.requant_lanes, 1 + below(rng, acc.requant_lanes))
            if is_pass
            else (1 + below(rng, acc.columns) for _ in range(2))
        )
        parts = (rows_each - 1) * -(-columns // per_cycle) - (-tail // per_cycle)
        pitch = 1 + below(rng, 60)
        ring = pitch * extent(rng, (1 << 16) // pitch)
        fields = (
            dict(f)
            | fields
            | {
                "ends": n == number_of_units - 1,
                "a": rows_each,
                "columns": columns,
                "columns_tail": tail,
                "pixels": pixels,
                "store": parts + below(rng, 9) * chance(rng, 0.5),
                "to": below(rng, ring),
                "to_pitch": pitch,
                "ring": ring,
                "channel": (8 if wide else 4) * below(rng, 64),
                "address": number(rng, 32),
                "stride": number(rng, 32),
            }
        )
        if not is_pass:
            fields |= {
                "from": number(rng, 16),
                "from_pitch": number(rng, 12),
                "from_channel": 4 * below(rng, 64),
            }
        rows = []
        for p, s in np.ndindex(pixels, rows_each):
            byte = fields["channel"] + s * step
            outputs = tail if s == rows_each - 1 else columns
            word = (fields["to"] + p * pitch) % ring
            last = (p, s) == (pixels - 1, rows_each - 1)
            rows.append(
                _Row(
                    p,
                    s,
                    outputs,
                    byte,
                    word,
                    {
                        "out_map": f["map"],
                        "out_word": (word + byte // 8) % (1 << 16),
                        "out_offset": byte % 8,
                        "out_bytes": outputs * (4 if wide else 1),
                        "out_ring": ring,
                        "out_address": (fields["address"] + p * fields["stride"] + byte) % (1 << 32),
                        "out_ends_unit": last,
                        "out_ends": last and fields["ends"],
                    },
                    s == rows_each - 1,
                )
            )
        parameters = (
            []
            if is_pass
            else [(signed(number(rng, 32), 32), *scale(rng)) for _ in range(rows_each * acc.columns)]
        )
        units.append(_Unit(packet(layout, rng, **fields), fields, rows, parameters, vectors))
    return units


def _stream(acc: Accelerator, unit: _Unit, rng: np.random.Generator) -> tuple[list[int], int]:
    """Words of a unit, and how many of them are parameters."""
    layout, bits = packets.unit(Geometry(acc)), packets.WORD_BITS
    words = [unit.packet >> bits * n & (1 << bits) - 1 for n in range(packets.words(layout))]
    words += [
        bias & 0xFFFFFFFF | multiplier << 32 | shift << 48 | number(rng, 10) << 54
        for bias, multiplier, shift in unit.parameters
    ]
    return words, len(unit.parameters)


def _storer(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    lanes, data_bits = acc.requant_lanes, 64 * acc.map_banks
    kinds = ("rows", "residual", "average", "wide", "max")
    layers = [_layer(acc, rng, kinds[n % 5]) for n in range(40)]
    order = [unit for layer in layers for unit in layer]
    pending = deque((unit, *_stream(acc, unit, rng)) for unit in order)
    kept: list[_Unit] = []  # complete, with rows that have not left
    running = 0  # which of them
    loaded = in_time = done_units = 0
    entries: deque[dict[str, int]] = deque()
    waiting = 0
    handed: deque[tuple[int, int, int]] = deque()  # cycle from which it waits, due cycle, rows
    later: dict[int, dict[str, int | tuple[int, int]]] = {}  # expected, by cycle
    inputs_later: dict[int, dict[str, int]] = {}
    arrived: deque[tuple[_Row, list[int], int]] = deque()
    column = 0
    coming: deque[tuple[int, _Row]] = deque()  # rows of the unit whose slots run
    started = 0  # units whose slots or pass have begun
    layer_of = [n for n, layer in enumerate(layers) for _ in layer]
    free_from = 0
    begun = pass_waiting = False
    walk: deque[PassVector] = deque()
    totals: list[int] = []
    entering: tuple[_Unit, PassVector, list[int]] | None = None
    eager, quiet = 0.9, 0
    for cycle in count():
        if cycle % 200 == 0:
            eager = (0.95, 0.5, 0.25)[below(rng, 3)]
        expected: dict[str, int | tuple[int, int]] = {
            "overflow": 0,
            "write_enable": 0,
            "residual_read": 0,
            "unit_loaded": loaded,
            "out_valid": waiting > 0,
            "pass_waiting": pass_waiting,
            "pass_busy": len(walk) > 0,
            "pass_read": 0,
            **later.pop(cycle, {}),
        }
        inputs = {
            "residual_data": number(rng, data_bits),
            "pass_data": number(rng, data_bits),
            "row": number(rng, 32 * acc.columns),
        } | inputs_later.pop(cycle, {})
        # Packets and parameters.
        loaded = 0
        if pending:
            unit, words, parameters = pending[0]
            in_packet = len(words) > parameters
            ready = len(kept) < SLOTS if in_packet else len(kept) - running <= 1
            valid = chance(rng, eager)
            expected["word_ready"] = ready
            inputs |= {"word_valid": valid, "word": words[0] if valid else number(rng, 64)}
            taken = bool(valid and ready)
        else:
            taken = False
        current = kept[running] if running < len(kept) else None
        done = False
        # The next unit begins when what is before it allows.
        start = False
        if not coming and not walk and entering is None and not arrived and started < len(order):
            unit = order[started]
            same = started == 0 or layer_of[started] == layer_of[started - 1]
            gone = started - (len(kept) and order.index(kept[0]) if kept else started)
            if same or quiet > 6:
                if unit.vectors:
                    start = pass_waiting and bool(chance(rng, eager))
                elif in_time > started and gone <= 1 and cycle >= free_from and chance(rng, eager):
                    slot = max(unit.f["a"], unit.f["store"])
                    first = cycle + 1
                    for row in unit.rows:
                        coming.append((first + row.s, row))
                        if row.pixel_end:
                            first += slot + below(rng, 3)
                    free_from = first
                    started += 1
        # Rows come, parts go.
        if coming and coming[0][0] == cycle:
            row = coming.popleft()[1]
            unit = order[started - 1]
            psums = []
            for bias, multiplier, shift in unit.parameters[row.s * acc.columns :][: acc.columns]:
                psums.append(signed(sum_near(rng, multiplier, shift) - bias, 32))
            arrived.append((row, psums, cycle))
            inputs |= {"row_valid": 1, "row": pack(psums, 32)}
        if arrived:
            assert current is not None
            f = current.f
            row, psums, arrival = arrived[0]
            most = acc.wide_lanes if f["wide"] else lanes
            outputs = min(most, row.columns - column)
            data = []
            parameters_of_row = current.parameters[row.s * acc.columns :]
            residual_word, others = 0, []
            if f["residual"]:
                byte = f["from_channel"] + row.s * acc.columns + column
                residual_word = (f["from"] + row.pixel * f["from_pitch"] + byte // 8) % (1 << 16)
                later.setdefault(cycle + 1, {}).update(residual_read=1, residual_word=residual_word)
                content = number(rng, data_bits)
                inputs_later.setdefault(cycle + 2, {})["residual_data"] = content
                others = [signed(content >> (32 if byte & 4 else 0) + 8 * n, 8) for n in range(lanes)]
            for n in range(outputs):
                bias, multiplier, shift = parameters_of_row[column + n]
                total = signed(psums[column + n] + bias, 32)
                if f["wide"]:
                    data.append(total)
                    continue
                y = requantized(total, multiplier, shift, f["zero"], f["low"], f["high"])
                if f["residual"]:
                    y = requantized(
                        (y - f["own_zero"]) * f["own_multiplier"]
                        + (others[n] - f["other_zero"]) * f["other_multiplier"],
                        1,
                        f["shift"],
                        f["add_zero"],
                        f["add_low"],
                        f["add_high"],
                    )
                data.append(y)
            width = 32 if f["wide"] else 8
            _write(
                later.setdefault(cycle + 3 + f["residual"], {}),
                f["map"],
                row,
                column * width // 8,
                pack(data, width),
                outputs * width // 8,
            )
            column += outputs
            if column == row.columns:
                column = 0
                arrived.popleft()
                if row.pixel_end:
                    handed.append((cycle + 3 + f["residual"], arrival + f["store"] + 2, f["a"]))
                done = row is current.rows[-1]
        # Passes.
        if entering is not None:
            unit, vector, values = entering
            f = unit.f
            if vector.first:
                totals = [-128 if f["pass"] == packets.PASS_KINDS["max"] else 0] * lanes
            if vector.inside and f["pass"] == packets.PASS_KINDS["max"]:
                totals = [max(total, value) for total, value in zip(totals, values, strict=True)]
            elif vector.inside:
                totals = [total + value - f["own_zero"] for total, value in zip(totals, values, strict=True)]
            if vector.last:
                row = unit.rows[vector.row]
                results = [
                    min(max(total, f["low"]), f["high"])
                    if f["pass"] == packets.PASS_KINDS["max"]
                    else requantized(total, f["own_multiplier"], f["shift"], f["zero"], f["low"], f["high"])
                    for total in totals
                ]
                _write(
                    later.setdefault(cycle + 3, {}),
                    f["map"],
                    row,
                    0,
                    pack(results[: row.columns], 8),
                    row.columns,
                )
                handed.append((cycle + 3, cycle, 1))
                done = row is unit.rows[-1]
            entering = None
        if walk:
            assert current is not None
            vector = walk.popleft()
            values = int8(rng, lanes).tolist()
            if vector.inside:
                expected |= {"pass_read": 1, "pass_map": 1 - current.f["map"], "pass_word": vector.word}
                inputs_later.setdefault(cycle + 1, {})["pass_data"] = (
                    number(rng, data_bits) & ~((1 << 8 * lanes) - 1 << 32 * vector.half)
                    | pack(values, 8) << 32 * vector.half
                ) & (1 << data_bits) - 1
            entering = current, vector, values
        if start:
            inputs["pass_start"] = 1
            walk = deque(order[started].vectors)
            started += 1
        # Rows leave.
        if waiting:
            expected.update(entries[0])
        ready_out = chance(rng, eager)
        inputs["out_ready"] = ready_out
        yield inputs, expected
        left = bool(waiting and ready_out)
        pass_waiting = bool(current is not None and current.vectors and not begun and not start)
        begun = (begun or start) and not done
        if left:
            waiting -= 1
            ends_unit = entries.popleft()["out_ends_unit"]
            if ends_unit:
                kept.pop(0)
                running -= 1
        if handed and handed[0][0] <= cycle and handed[0][1] <= cycle:
            waiting += handed.popleft()[2]
        running += done
        done_units += done
        if taken:
            pending[0][1].pop(0)
            if not pending[0][1]:
                unit, _, parameters = pending.popleft()
                kept.append(unit)
                entries.extend(row.entry for row in unit.rows)
                loaded = int(parameters > 0)
                in_time += 1
        busy = walk or entering or arrived or coming or waiting or handed or later
        quiet = 0 if busy else quiet + 1
        if done_units == len(order) and quiet > 6:
            break


def _write(
    expected: dict[str, int | tuple[int, int]], group: int, row: _Row, offset: int, data: int, length: int
) -> None:
    byte = row.byte + offset
    low = byte & 4
    expected.update(
        write_map=group,
        write_word=(row.word + byte // 8) % (1 << 16),
        write_enable=(1 << length) - 1 << low,
        write_data=(data << 8 * low, (1 << 8 * length) - 1 << 8 * low),
    )


_HALF = load("ews-8", {"requant_lanes": 4})
SUITES = (VectorSuite("storer", partial(Storer, accelerator=_HALF), partial(_storer, _HALF), view=None),)
