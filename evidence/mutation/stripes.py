"""Vectors for what runs a stripe in the storer: its packet and parameters, its rows, the walk of a pass."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from amaranth.lib.data import StructLayout

from evidence.mutation.suite import Expected, Inputs, Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, pack, packet
from rtl import packets
from rtl.geometry import Geometry
from rtl.storer.intake import PsumRowIntake
from rtl.storer.pass_walk import PassWalk
from rtl.storer.stripe_buffer import SLOTS, StripeBuffer
from sim.accelerator import Accelerator, load, preset

_ROWS = packets.PASS_KINDS["rows"]


class _Stream:
    """One random stripe as words."""

    def __init__(self, acc: Accelerator, rng: np.random.Generator) -> None:
        layout, bits = packets.stripe(Geometry(acc)), packets.WORD_BITS
        kind = below(rng, 3) if chance(rng, 0.6) else _ROWS
        groups = extent(rng, acc.prf_depth)
        self.stripe = packet(layout, rng, a=groups, **{"pass": kind})
        self.parameters = groups * acc.columns if kind == _ROWS else 0
        words = packets.words(layout)
        self.words = [self.stripe >> bits * n & (1 << bits) - 1 for n in range(words)]
        self.words[-1] |= number(rng, bits) << layout.size % bits & (1 << bits) - 1
        self.words += [number(rng, bits) for _ in range(self.parameters)]
        self.size = len(self.words)
        self.values = [word & (1 << packets.PARAMETER.size) - 1 for word in self.words[words:]]


class _StripeBuffer:
    """Stripes from their stream to the row mover.

    Attributes:
        kept: packet and parameters of complete stripes that have not left; `running`: which of them.
        stream: the stripe that loads.
        loaded: a stripe of rows was complete in the cycle before; `recent`: any stripe.
        shown: parameters, of the group asked for in the cycle before.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.kept: list[tuple[int, list[int]]] = []
        self.running = self.loaded = self.recent = 0
        self.stream: _Stream | None = None
        self.shown: Expected = {}

    def outputs(self) -> Expected:
        assert self.stream is not None
        in_packet = len(self.stream.words) > self.stream.parameters
        self.ready = len(self.kept) < SLOTS if in_packet else len(self.kept) - self.running <= 1
        expected = dict(self.shown) | {
            "word_ready": self.ready,
            "unit_valid": self.running < len(self.kept),
            "unit_loaded": self.loaded,
            "empty": len(self.stream.words) == self.stream.size and not self.kept,
        }
        if self.running < len(self.kept):
            expected["unit"] = self.kept[self.running][0]
        if len(self.kept) > self.recent:
            expected["leaving"] = self.kept[0][0]
        return expected

    def clock(self, inputs: Inputs) -> None:
        assert self.stream is not None
        self.running += inputs["unit_done"]
        self.shown = self._parameters(inputs["group"])
        self.loaded = self.recent = 0
        if inputs["word_valid"] and self.ready:
            self.stream.words.pop(0)
            if not self.stream.words:
                self.kept.append((self.stream.stripe, self.stream.values))
                self.loaded, self.recent = int(self.stream.parameters > 0), 1
                self.stream = None
        if inputs["left"]:
            self.kept.pop(0)
            self.running -= 1

    def _parameters(self, group: int) -> Expected:
        """Of the stripe that runs, if their last word came in an earlier cycle."""
        if self.running == len(self.kept):
            return {}
        parameters = self.kept[self.running][1]
        there = parameters[group * self.columns :][: self.columns]
        newest = self.recent and self.running == len(self.kept) - 1
        if len(there) < self.columns or (newest and (group + 1) * self.columns == len(parameters)):
            return {}
        return {"parameters": pack(there, packets.PARAMETER.size)}


def _stripe_buffer(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    for offers, runs, leaves in (
        # Some streams are fast and some users slow, and the other way round.
        (0.95, 0.5, 0.5),
        (0.95, 0.9, 0.02),
        (0.95, 0.03, 0.5),
        (0.5, 0.9, 0.9),
        (0.8, 0.2, 0.2),
        (0.95, 0.95, 0.95),
    ):
        model = _StripeBuffer(acc.columns)
        for _ in range(300):
            if model.stream is None:
                model.stream = _Stream(acc, rng)
            valid = chance(rng, offers)
            inputs = {
                "word_valid": valid,
                "unit_done": int(model.running < len(model.kept) and chance(rng, runs)),
                "left": int(model.running > 0 and chance(rng, leaves)),
                "group": below(rng, acc.prf_depth),
                "word": model.stream.words[0] if valid else number(rng, packets.WORD_BITS),
            }
            yield inputs, model.outputs()
            model.clock(inputs)
        yield {"rst": 1}, {}


def _row_intake(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.stripe(Geometry(acc))
    time_bits = PsumRowIntake(accelerator=acc).now.shape().width
    for episode in range(60):
        wide = chance(rng, 0.4)
        most = acc.wide_lanes if wide else acc.requant_lanes
        stripe = packet(layout, rng, wide=wide)
        waiting: list[tuple[int, int]] = []
        columns, taken, overflow = 1 + below(rng, acc.columns), 0, 0
        rate = (0.9, 0.5, 0.2)[episode % 3]
        # Some episodes lose rows: no room, or no stripe.
        careful = episode % 5
        for _ in range(60):
            now, row = number(rng, time_bits), number(rng, 32 * acc.columns)
            room = len(waiting) < acc.prf_depth
            comes = int(chance(rng, rate) and (room or not careful))
            # Rows may wait while their stripe is not there, but none may come then.
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
                    "unit": stripe,
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
        word = (first + (y * line_pixels + x) * pitch + byte // 8) % (1 << layout["from"].width)
        inside = 0 <= y < lines and 0 <= x < line_pixels
        last = place == (window[0] - 1, window[1] - 1)
        vectors.append(PassVector(inside, word, byte // 4 % 2, place == (0, 0), last, row))
    return fields, vectors


def _pass_walk(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.stripe(Geometry(acc))
    for _ in range(100):
        fields, vectors = pass_vectors(layout, acc, rng, 300)
        stripe = packet(layout, rng, **fields)
        yield {"unit": stripe}, {}
        yield {"unit": stripe, "start": 1}, {}
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
                yield {"unit": stripe}, expected
            yield {"unit": stripe, "step": 1}, expected


_TINY = preset("ews-4")
_HALF = load("ews-8", {"requant_lanes": 4})
_SHORT = {"COUNT_BITS": 6, "PIXEL_BITS": 6}
"""Fields so small that walks of 300 vectors reach the ends of counters."""
SUITES = (
    # A memory of narrow packets: as registers it is large.
    VectorSuite(
        "unit_buffer",
        partial(StripeBuffer, accelerator=_TINY),
        partial(_stripe_buffer, _TINY),
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
    VectorSuite(
        "row_intake", partial(PsumRowIntake, accelerator=_HALF), partial(_row_intake, _HALF), view=None
    ),
    VectorSuite(
        "pass_walk", partial(PassWalk, accelerator=_TINY), partial(_pass_walk, _TINY), view=None, small=_SHORT
    ),
)
