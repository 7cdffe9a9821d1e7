"""Random layers for the storer: packets and parameters of their stripes, and the rows that come of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evidence.mutation.storing import bounds, scale, signed
from evidence.mutation.stripes import PassVector, pass_vectors
from evidence.mutation.words import below, chance, extent, int8, number, packet
from rtl import packets
from rtl.geometry import Geometry
from sim.accelerator import Accelerator

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
class Row:
    """A row to come, where it goes, and what must be said about it."""

    pixel: int
    s: int
    columns: int
    byte: int
    word: int
    entry: dict[str, int]
    pixel_end: bool


@dataclass
class Stripe:
    """A stripe of rows with the parameters of its outputs, or a pass with its vectors.

    Attributes:
        f: fields of the packet.
        parameters: bias, multiplier, shift by output.
    """

    packet: int
    f: dict[str, int]
    rows: list[Row]
    parameters: list[tuple[int, int, int]] = field(default_factory=list)
    vectors: list[PassVector] = field(default_factory=list)


def layer(acc: Accelerator, rng: np.random.Generator, kind: str) -> list[Stripe]:
    """Stripes of one layer, `kind` "rows", "residual", "wide", or a pass, "average" or "max"."""
    layout = packets.stripe(Geometry(acc))
    f, is_pass = _layer_fields(rng, kind), kind in ("average", "max")
    stripes = []
    count = 1 if is_pass else 1 + below(rng, 4)
    for n in range(count):
        walk, vectors = pass_vectors(layout, acc, rng, 60) if is_pass else ({}, [])
        fields = f | walk | {"ends": n == count - 1}
        fields |= _extents(acc, rng, fields, is_pass)
        fields |= _destination(rng, fields, acc.wide_lanes if fields["wide"] else acc.requant_lanes)
        if not is_pass:
            fields |= {
                "from": number(rng, 16),
                "from_pitch": number(rng, 12),
                "from_channel": 4 * below(rng, 64),
                "width": below(rng, 5),
            }
        outputs = 0 if is_pass else fields["a"] * acc.columns
        parameters = [(signed(number(rng, 32), 32), *scale(rng)) for _ in range(outputs)]
        bits = packet(layout, rng, **fields)
        stripes.append(Stripe(bits, fields, _rows(acc, fields, is_pass), parameters, vectors))
    return stripes


def _layer_fields(rng: np.random.Generator, kind: str) -> dict[str, int]:
    """What the packets of all its stripes have in common."""
    f = {name: int(int8(rng, 1)[0]) for name in _FIELDS} | {"shift": 1 + below(rng, 22)}
    for name in ("own_multiplier", "other_multiplier"):
        f[name] = number(rng, min(16, f["shift"] + below(rng, 3)))
    f["low"], f["high"] = bounds(rng, 0)
    f["add_low"], f["add_high"] = bounds(rng, 0)
    return f | {
        "wide": kind == "wide",
        "residual": kind == "residual",
        "pool": 0,
        "map": number(rng, 1),
        "pass": packets.PASS_KINDS.get(kind, packets.PASS_KINDS["rows"]),
    }


def _extents(
    acc: Accelerator, rng: np.random.Generator, fields: dict[str, int], is_pass: bool
) -> dict[str, int]:
    if is_pass:
        return {
            "a": fields["groups"],
            "columns": acc.requant_lanes,
            "columns_tail": 1 + below(rng, acc.requant_lanes),
        }
    a, pixels = extent(rng, 6), extent(rng, 6)
    columns, tail = (1 + below(rng, acc.columns) for _ in range(2))
    return {"a": a, "pixels": pixels, "columns": columns, "columns_tail": tail}


def _destination(rng: np.random.Generator, fields: dict[str, int], per_cycle: int) -> dict[str, int]:
    """Where the rows go in L1 and memory, and how long the slot of a pixel is for them."""
    parts = (fields["a"] - 1) * -(-fields["columns"] // per_cycle) - (-fields["columns_tail"] // per_cycle)
    pitch = 1 + below(rng, 60)
    ring = pitch * extent(rng, (1 << 16) // pitch)
    return {
        "store": parts + below(rng, 9) * chance(rng, 0.5),
        "to": below(rng, ring),
        "to_pitch": pitch,
        "ring": ring,
        "channel": (8 if fields["wide"] else 4) * below(rng, 64),
        "address": number(rng, 32),
        "stride": number(rng, 32),
        "line_step": number(rng, 32),
    }


def _rows(acc: Accelerator, fields: dict[str, int], is_pass: bool) -> list[Row]:
    """In the order in which they leave."""
    size = 4 if fields["wide"] else 1
    step = acc.requant_lanes if is_pass else acc.columns * size
    rows = []
    for p, s in np.ndindex(fields["pixels"], fields["a"]):
        byte = fields["channel"] + s * step
        pixel_end = s == fields["a"] - 1
        outputs = fields["columns_tail" if pixel_end else "columns"]
        word = (fields["to"] + p * fields["to_pitch"]) % fields["ring"]
        last = pixel_end and p == fields["pixels"] - 1
        ended = p // fields["width"] if fields["width"] else 0
        ahead = (p - ended) * fields["stride"] + ended * fields["line_step"]
        entry = {
            "out_map": fields["map"],
            "out_word": (word + byte // 8) % (1 << 16),
            "out_offset": byte % 8,
            "out_bytes": outputs * size,
            "out_ring": fields["ring"],
            "out_address": (fields["address"] + ahead + byte) % (1 << 32),
            "out_ends_unit": last,
            "out_ends": last and fields["ends"],
        }
        rows.append(Row(p, s, outputs, byte, word, entry, pixel_end))
    return rows


def stream(acc: Accelerator, stripe: Stripe, rng: np.random.Generator) -> tuple[list[int], int]:
    """Words of a stripe, and how many of them are parameters."""
    layout, bits = packets.stripe(Geometry(acc)), packets.WORD_BITS
    words = [stripe.packet >> bits * n & (1 << bits) - 1 for n in range(packets.words(layout))]
    words += [
        bias & 0xFFFFFFFF | multiplier << 32 | shift << 48 | number(rng, 10) << 54
        for bias, multiplier, shift in stripe.parameters
    ]
    return words, len(stripe.parameters)
