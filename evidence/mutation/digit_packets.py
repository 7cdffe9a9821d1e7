"""Vectors for the sequencer of the digit-serial machine: packets with any fields, walked by plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number, pack
from rtl.digit_serial.sequencer import OPERATIONS, Sequencer
from rtl.digit_serial.ternary_tile import COLUMNS
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.header import FIELDS, STREAM_BITS, TAP, WORDS

_STROBES = (
    *("digits_write", "parameter_write", "weight_write"),
    *(*OPERATIONS, "start", "double", "loads", "inputs", "resting", "closes"),
)
Outputs = dict[str, int]
Fields = dict[str, Any]


def _vectors(rng: np.random.Generator, acc: DigitSerial, count: int) -> Vectors:
    """Packets one after the other, a quarter of them maps, with pauses; some are broken off by a reset."""
    for n in range(count):
        long = bool(n < 4 or chance(rng, 0.1))
        size = acc.l1_words if n < 2 else 1 + below(rng, acc.l1_words if long else 4)
        walked = _map(rng, acc, size) if n % 4 == 0 else _packet(rng, acc, size, long)
        resets = n > 4 and chance(rng, 0.1)
        for inputs, expected in walked:
            over = resets and chance(rng, 0.02)
            yield {**inputs, "rst": int(over)}, {**dict.fromkeys(_STROBES, 0), "ready": 0, **expected}
            if over:
                break


def _map(rng: np.random.Generator, acc: DigitSerial, count: int) -> Vectors:
    fields = _fields(rng, acc) | {"map": 1, "count": count}
    yield from _header(rng, fields, acc)
    copies = max(1, 2 * acc.lanes // STREAM_BITS)
    for index in range(count):
        words = [number(rng, STREAM_BITS) for _ in range(copies)]
        for copy, word in enumerate(words, 1):
            whole: Outputs = {"inputs": 1}
            if copy == copies:
                # A word of fewer digits than the stream has.
                digits = pack(words, STREAM_BITS) & (1 << 2 * acc.lanes) - 1
                address = (fields["target"] + index) % acc.l1_words
                whole |= {"digits_write": 1, "digits_data": digits, "target": address}
            yield from _offered(rng, word, whole)


def _packet(rng: np.random.Generator, acc: DigitSerial, count: int, long: bool) -> Vectors:
    """`long`: of many positions, so of few operations each."""
    taps = 1 if long else 1 + below(rng, 8)
    steps = 1 if long else 1 + below(rng, 31 if taps < 5 else 3)
    fields = _fields(rng, acc) | {
        "map": 0,
        "count": count,
        "taps": 1 + below(rng, acc.tap_depth) if not long and chance(rng, 0.05) else taps,
        "entries": 1 + below(rng, acc.wrf_depth),
        "steps": steps,
        "silent": below(rng, 1 + min(3, steps)),
    }
    yield from _header(rng, fields, acc)
    table = [_tap(rng, fields) for _ in range(fields["taps"])]
    for tap in table:
        yield from _offered(rng, _word(TAP, tap), {"loads": 1})
    for index in range(acc.lanes):
        yield from _offered(
            rng, number(rng, STREAM_BITS), {"loads": 1, "parameter_write": 1, "parameter_index": index}
        )
    for entry in range(fields["entries"]):
        for row in range(acc.lanes):
            for word in range(acc.lanes // COLUMNS):
                at = {"weight_entry": entry, "weight_row": row, "weight_word": word}
                written = {"loads": 1, "weight_write": 1} | at
                yield from _offered(rng, number(rng, STREAM_BITS), written, holds=True)
    for operation in _operations(fields, table, acc):
        yield (
            {"valid": chance(rng, 0.5), "data": number(rng, STREAM_BITS), "hold": chance(rng, 0.5)},
            operation,
        )


def _fields(rng: np.random.Generator, acc: DigitSerial) -> Fields:
    """Any, but that the first column is one of them."""
    found: Fields = {name: number(rng, field.bits) for name, field in FIELDS.items()}
    found["columns"] = 1 + below(rng, acc.l1_words if chance(rng, 0.5) else 3)
    found["column"] = max(0, found["columns"] - 1 - below(rng, 4))
    for source in (0, 1):
        for place, size in ((f"y_{source}", f"height_{source}"), (f"x_{source}", f"width_{source}")):
            kind = rng.choice(("edge", "inside", "any"), p=(0.6, 0.3, 0.1))
            stride = found[f"stride_{place}"]
            if chance(rng, 0.5):
                stride = found[f"stride_{place}"] = below(rng, 3)
            if kind == "edge":
                # Three strides take it over.
                found[place] = (found[size] - below(rng, 4) * stride - below(rng, 3)) % (
                    1 << FIELDS[place].bits
                )
            elif kind == "inside":
                found[place], found[size] = below(rng, 4), (1 << FIELDS[size].bits) - 1
    return found


def _tap(rng: np.random.Generator, fields: Fields) -> Fields:
    found: Fields = {name: number(rng, bits) for name, bits in TAP.items()}
    for name in ("dy", "dx"):
        if chance(rng, 0.7):
            found[name] = (below(rng, 5) - 2) % (1 << TAP[name])
    return found


def _word(bits: dict[str, int], values: Fields) -> int:
    word, low = 0, 0
    for name, width in bits.items():
        word, low = word | values[name] << low, low + width
    return word


def _header(rng: np.random.Generator, fields: Fields, acc: DigitSerial) -> Vectors:
    """Bits that belong to no field are any, and those that are more than a size can have."""
    most = {
        **dict.fromkeys(("count", "columns", "column"), acc.l1_words),
        "taps": acc.tap_depth,
        "entries": acc.wrf_depth,
    }
    words = [number(rng, STREAM_BITS) for _ in range(WORDS)]
    for name, field in FIELDS.items():
        mask = ((1 << most[name].bit_length() if name in most else 1 << field.bits) - 1) << field.bit
        words[field.word] = words[field.word] & ~mask | fields[name] << field.bit
    for n, word in enumerate(words):
        yield from _offered(rng, word, {"inputs" if fields["map"] else "loads": 1}, {"resting": int(n == 0)})


def _offered(
    rng: np.random.Generator, word: int, moved: Outputs, always: Outputs | None = None, holds: bool = False
) -> Vectors:
    """Until a word is taken: what is said then, and what in each cycle; `holds`: it waits for `hold`."""
    taken = False
    while not taken:
        valid, hold = int(chance(rng, 0.8)), int(chance(rng, 0.3))
        ready = int(not (holds and hold))
        taken = bool(valid and ready)
        data = word if valid else number(rng, STREAM_BITS)
        said = {"ready": ready} | (always or {}) | (moved if taken else {})
        yield {"valid": valid, "data": data, "hold": hold}, said


def _operations(fields: Fields, table: list[Fields], acc: DigitSerial) -> Iterator[Outputs]:
    """Position after position, and in each step after step."""
    ends, speaks = fields["ends"], fields["ends"] and fields["speaks"]
    steps = fields["steps"]
    for position in range(fields["count"]):
        done: list[Outputs] = []
        for step in range(steps + (fields["silent"] if speaks else 0)):
            begun = len(done)
            row = {"row": (position * steps + step) % acc.store_words}
            if step < steps:
                if not fields["begins"]:
                    done.append({"recall": 1} | row)
                done += [_read(fields, tap, position, step, acc) for tap in table]
            target = fields["target"] + position * fields["target_step"]
            if not ends:
                done.append({"store": 1} | row)
            elif not speaks and step == steps - 1:
                done.append({"give": 1, "target": target % acc.l1_words})
            elif speaks and step >= fields["silent"]:
                target += (step - fields["silent"]) * fields["target_plane"]
                done.append({"fire": 1, "target": target % acc.l1_words})
            if step == 0 or not ends:
                done[begun] |= {"start": 1, "biased": ends, "signed": fields["signed"]}
            else:
                done[begun]["double"] = 1
        if position == fields["count"] - 1:
            done[-1]["closes"] = fields["closes"]
        yield from done


def _read(fields: Fields, tap: Fields, position: int, step: int, acc: DigitSerial) -> Outputs:
    """A tap of a step of a position: where it reads, and whether that is in the map."""
    source = {name[:-2]: value for name, value in fields.items() if name.endswith(f"_{tap['source']}")}
    turns, column = divmod(fields["column"] + position, fields["columns"])
    if turns:
        pixel = source["row"] + turns * source["row_step"] + column * source["pixel_step"]
        x = column * source["stride_x"]
    else:
        pixel, x = (
            source["pixel"] + position * source["pixel_step"],
            source["x"] + position * source["stride_x"],
        )
    y = source["y"] + turns * source["stride_y"]
    dy, dx, offset = (_signed(tap[name], TAP[name]) for name in ("dy", "dx", "offset"))
    inside = 0 <= y % (1 << 16) + dy < source["height"] and 0 <= x % (1 << 16) + dx < source["width"]
    return {
        "tap": 1,
        "inside": int(inside),
        "address": (pixel + step * source["plane"] + offset) % acc.l1_words,
        "entry": tap["entry"] % acc.wrf_depth,
        "high": tap["high"],
    }


def _signed(value: int, bits: int) -> int:
    return value - (value >> (bits - 1) << bits)


def suite(packets: int, **fields: Any) -> VectorSuite:
    """Of a machine with these fields."""
    acc = DigitSerial(name="walk", **fields)
    return VectorSuite(
        Sequencer.kind,
        partial(Sequencer, accelerator=acc),
        partial(_vectors, acc=acc, count=packets),
        view=None,
    )


# Memories so small that the walks reach their high bits.
SUITES = (suite(150, lanes=16, l1_bytes=1024, store_bytes=1024, tap_depth=256, wrf_depth=4),)
