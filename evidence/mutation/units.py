"""Vectors for what runs a unit in the storer: its packet and parameters, its rows, the walk of a pass."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from amaranth.lib.data import StructLayout

from evidence.mutation.suite import Expected, Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, pack, packet
from rtl import packets
from rtl.geometry import Geometry
from rtl.storer.intake import RowIntake
from rtl.storer.pass_walk import PassWalk
from rtl.storer.unit_buffer import SLOTS, UnitBuffer
from sim.accelerator import Accelerator, load, preset

_ROWS = packets.PASS_KINDS["rows"]


def _unit_buffer(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout, columns = packets.unit(Geometry(acc)), acc.columns
    size, bits = packets.PARAMETER.size, packets.WORD_BITS
    for episode in range(6):
        # Some streams are fast and some users slow, and the other way round.
        offers, runs, leaves = (
            (0.95, 0.5, 0.5),
            (0.95, 0.9, 0.02),
            (0.95, 0.03, 0.5),
            (0.5, 0.9, 0.9),
            (0.8, 0.2, 0.2),
            (0.95, 0.95, 0.95),
        )[episode]
        kept: list[tuple[int, list[int]]] = []  # packet and parameters of complete units that have not left
        running = 0  # which of them
        stream: list[int] = []
        unit, words, parameters = 0, 0, 0
        loaded = 0
        shown: Expected = {}
        recent = 0  # the unit that was complete in the cycle before
        for _ in range(300):
            if not stream:
                kind = below(rng, 3) if chance(rng, 0.6) else _ROWS
                groups = extent(rng, acc.prf_depth)
                unit = packet(layout, rng, a=groups, **{"pass": kind})
                words = packets.words(layout)
                parameters = groups * columns if kind == _ROWS else 0
                stream = [unit >> bits * n & (1 << bits) - 1 for n in range(words)]
                stream[-1] |= number(rng, bits) << layout.size % bits & (1 << bits) - 1
                stream += [number(rng, bits) for _ in range(parameters)]
                values = [word & (1 << size) - 1 for word in stream[words:]]
            in_packet = len(stream) > parameters
            ready = len(kept) < SLOTS if in_packet else len(kept) - running <= 1
            valid = chance(rng, offers)
            expected = dict(shown) | {
                "word_ready": ready,
                "unit_valid": running < len(kept),
                "unit_loaded": loaded,
            }
            if running < len(kept):
                expected["unit"] = kept[running][0]
            if kept:
                expected["leaving"] = kept[0][0]
            done = int(running < len(kept) and chance(rng, runs))
            left = int(running > 0 and chance(rng, leaves))
            group = below(rng, acc.prf_depth)
            following = running + done
            shown = {}
            # Parameters whose last word came in an earlier cycle.
            if following < len(kept):
                there = kept[following][1][group * columns :][:columns]
                if len(there) == columns and not (
                    recent and following == len(kept) - 1 and (group + 1) * columns == len(kept[following][1])
                ):
                    shown = {"parameters": pack(there, size)}
            yield (
                {
                    "word_valid": valid,
                    "word": stream[0] if valid else number(rng, bits),
                    "unit_done": done,
                    "group": group,
                    "left": left,
                },
                expected,
            )
            running += done
            loaded = recent = 0
            if valid and ready:
                stream.pop(0)
                if not stream:
                    kept.append((unit, values))
                    loaded, recent = int(parameters > 0), 1
            if left:
                kept.pop(0)
                running -= 1
        yield {"rst": 1}, {}


def _row_intake(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.unit(Geometry(acc))
    time_bits = RowIntake(accelerator=acc).now.shape().width
    for episode in range(60):
        wide = chance(rng, 0.4)
        most = acc.wide_lanes if wide else acc.requant_lanes
        unit = packet(layout, rng, wide=wide)
        waiting: list[tuple[int, int]] = []
        columns, taken, overflow = 1 + below(rng, acc.columns), 0, 0
        rate = (0.9, 0.5, 0.2)[episode % 3]
        # Some episodes lose rows: no room, or no unit.
        careful = episode % 5
        for _ in range(60):
            now, row = number(rng, time_bits), number(rng, 32 * acc.columns)
            room = len(waiting) < acc.prf_depth
            comes = int(chance(rng, rate) and (room or not careful))
            # Rows may wait while their unit is not there, but none may come then.
            enable = int(chance(rng, 0.97) or (comes and careful != 1))
            expected: dict[str, int] = {"overflow": overflow}
            at_hand = waiting[0] if waiting else (now, row)
            issue = int(enable and (len(waiting) > 0 or comes))
            done = int(issue and taken + most >= columns)
            expected |= {"issue": issue, "row_done": done}
            if issue:
                expected |= {
                    "arrival": at_hand[0],
                    "operand": at_hand[1],
                    "index": taken // most,
                    "column": taken,
                    "count": min(most, columns - taken),
                }
            yield (
                {
                    "row_valid": comes,
                    "row": row,
                    "now": now,
                    "enable": enable,
                    "unit": unit,
                    "columns": columns,
                },
                expected,
            )
            if comes and (not enable or (waiting and not room)):
                overflow = 1
            if comes and room and (waiting or not done):
                waiting.append((now, row))
            if done:
                if waiting and waiting[0] == at_hand:
                    waiting.pop(0)
                columns, taken = 1 + below(rng, acc.columns), 0
            elif issue:
                taken += most
            if overflow and chance(rng, 0.3):
                break
        yield {"rst": 1}, {}


class PassVector(NamedTuple):
    """A vector of a pass: where it lies if it is inside the map, and the row that its window gives."""

    inside: bool
    word: int
    half: int
    first: bool
    last: bool
    row: int


def pass_vectors(
    layout: StructLayout, acc: Accelerator, rng: np.random.Generator, most_vectors: int
) -> tuple[dict[str, int], list[PassVector]]:
    """Fields of a pass, and its vectors in order, up to `most_vectors`."""
    most = {name: (1 << layout[name].width) - 1 for name in ("lines", "pixels", "from_pitch")}
    # One of the extents may be large.
    reach, extents = most_vectors, {}
    for name in rng.permutation(["width", "height", "groups", "window_y", "window_x"]):
        extents[str(name)] = extent(rng, min(reach, most["lines"]))
        reach //= extents[str(name)]
    width, groups = extents["width"], extents["groups"]
    pixels = min(width * extents["height"], most["pixels"])
    # Windows begin in the map or its padding.
    stride_y, stride_x = (
        extent(rng, min(15, 1 + min(most["lines"], 4000) // extents[name])) for name in ("height", "width")
    )
    pad_y, pad_x = (below(rng, 16) if chance(rng, 0.3) else below(rng, 3) for _ in range(2))
    window = extents["window_y"], extents["window_x"]
    read = [
        (p // width * stride_y - pad_y + y, p % width * stride_x - pad_x + x, g, (y, x), p * groups + g)
        for p in range(pixels)
        for g in range(groups)
        for y, x in np.ndindex(*window)
    ]
    # The map ends anywhere, or next to one of the vectors.
    lines, line_pixels = (
        below(rng, most["lines"] + 1)
        if chance(rng, 0.3)
        else min(most["lines"], max(0, place + below(rng, 3)))
        for place in read[below(rng, len(read))][:2]
    )
    first, pitch = number(rng, layout["from"].width), 1 + below(rng, most["from_pitch"])
    fields = {
        "from": first,
        "from_pitch": pitch,
        "lines": lines,
        "line_pixels": line_pixels,
        "width": width,
        "groups": groups,
        "window_y": window[0],
        "window_x": window[1],
        "pixels": pixels,
        "stride_y": stride_y,
        "stride_x": stride_x,
        "pad_y": pad_y,
        "pad_x": pad_x,
    }
    vectors = []
    for y, x, g, place, row in read:
        byte = g * acc.requant_lanes
        vectors.append(
            PassVector(
                0 <= y < lines and 0 <= x < line_pixels,
                (first + (y * line_pixels + x) * pitch + byte // 8) % (1 << layout["from"].width),
                byte // 4 % 2,
                place == (0, 0),
                place == (window[0] - 1, window[1] - 1),
                row,
            )
        )
    return fields, vectors


def _pass_walk(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.unit(Geometry(acc))
    for _ in range(100):
        fields, vectors = pass_vectors(layout, acc, rng, 300)
        unit = packet(layout, rng, **fields)
        yield {"unit": unit}, {}
        yield {"unit": unit, "start": 1}, {}
        end = below(rng, len(vectors)) + 1 if chance(rng, 0.2) else len(vectors)
        for n, vector in enumerate(vectors[:end]):
            expected: Expected = {
                "inside": vector.inside,
                "complete": n == len(vectors) - 1,
                "first": vector.first,
                "last": vector.last,
            }
            if vector.inside:
                expected = dict(expected) | {"word": vector.word, "half": vector.half}
            while not chance(rng, 0.8):
                yield {"unit": unit}, expected
            yield {"unit": unit, "step": 1}, expected


_TINY = preset("ews-4")
_HALF = load("ews-8", {"requant_lanes": 4})
_SHORT = {"COUNT_BITS": 6, "PIXEL_BITS": 6}
"""Fields so small that walks of 300 vectors reach the ends of counters."""
SUITES = (
    # A memory of narrow packets: as registers it is large.
    VectorSuite(
        "unit_buffer",
        partial(UnitBuffer, accelerator=_TINY),
        partial(_unit_buffer, _TINY),
        small={
            "ADDRESS_BITS": 10,
            "WORD_ADDRESS_BITS": 8,
            "PIXEL_BITS": 3,
            "CHANNEL_BITS": 4,
            "COUNT_BITS": 5,
            "DEMAND_BITS": 4,
        },
    ),
    # Rows in two parts, wide ones in four.
    VectorSuite("row_intake", partial(RowIntake, accelerator=_HALF), partial(_row_intake, _HALF), view=None),
    VectorSuite(
        "pass_walk", partial(PassWalk, accelerator=_TINY), partial(_pass_walk, _TINY), view=None, small=_SHORT
    ),
)
