"""Vectors for the sequencer: every cycle of a layer as docs/timing.md counts it."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np

from evidence.mutation.suite import Expected, Inputs, Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, packet
from rtl import packets
from rtl.control.sequencer import CAUSES, Sequencer
from rtl.geometry import Geometry
from sim.accelerator import Accelerator, preset


def _chunk(acc: Accelerator, rng: np.random.Generator, most_pixels: int, most_cycles: int) -> dict[str, int]:
    fields, room = {}, 1 if chance(rng, 0.1) else acc.wrf_depth
    for name in rng.permutation(["a", "b", "u", "d"]):
        fields[str(name)] = extent(rng, room)
        room //= fields[str(name)]
    width = extent(rng, most_pixels // fields["a"])
    cycles = {
        name: below(rng, most_cycles + 1) if chance(rng, 0.1) else below(rng, 12) * chance(rng, 0.6)
        for name in ("fetch_row", "fetch_in", "psum_read", "psum_write", "store")
    }
    return (
        fields
        | cycles
        | {
            "width": width,
            "pixels": width * extent(rng, most_pixels // fields["a"] // width),
            "rows": 1 + below(rng, acc.rows),
            "rows_tail": 1 + below(rng, acc.rows),
        }
        | {name: chance(rng, 0.4) for name in ("fence", "first", "last", "serial", "opens", "double")}
    )


def _tokens(acc: Accelerator, chunk: dict[str, int]) -> list[dict[str, int]]:
    """What every token of a pixel carries."""
    d, b, u, a = (chunk[name] for name in "dbua")
    return [
        {
            "vector": k == s == 0,
            "entry": entry,
            "rows": chunk["rows_tail"] if r == b - 1 else chunk["rows"],
            "word": s,
            "first": q == r == k == 0,
            "last": (q, r, k) == (d - 1, b - 1, u - 1),
        }
        for entry, (q, r, k, s) in enumerate(product(range(d), range(b), range(u), range(a)))
    ]


class _Sequencer:
    """One layer after the other: its chunks, their slots, the tokens of a slot.

    Attributes:
        loaded, waiting: stripes whose parameters are there; stripes whose rows have not left.
        turn: bank of the next chunk.
        token: what leaves one cycle after its issue.
        at: chunk at work; -1: the layer has not begun.
        bank, tokens: of that chunk.
        pixel, age: the slot at hand, and how many of its cycles have passed; -1: it has not begun.
        demands, longest: cycles that the slot overlaps, by what for; cycles of the slot.
        fence: cycle of the layer from which psums may be read.
    """

    def __init__(self, acc: Accelerator, rng: np.random.Generator) -> None:
        self.acc, self.rng = acc, rng
        self.tag = Geometry(acc).tag
        self.reset()

    def reset(self) -> None:
        self.loaded = self.waiting = self.turn = 0
        self.token: Expected = {"valid": 0}

    def begin(self, chunks: list[dict[str, int]]) -> None:
        """Another layer."""
        self.chunks = chunks
        self.at = self.age = -1
        self.current: dict[str, int] = {}
        self.tokens: list[dict[str, int]] = []
        self.demands: dict[str, int] = {}
        self.bank = self.pixel = self.longest = self.fence = self.cycle = 0
        self.ended = False

    @property
    def following(self) -> dict[str, int] | None:
        """The chunk behind the one at work."""
        return self.chunks[self.at + 1] if self.at + 1 < len(self.chunks) else None

    @property
    def last_pixel(self) -> bool:
        return self.at >= 0 and self.pixel == self.current["pixels"] - 1

    def outputs(self, inputs: Inputs) -> Expected:
        """Of this cycle."""
        expected = dict(self.token) | {
            "active": self.at >= 0,
            "settled": self.at < 0 and self.waiting == 0,
            "unit_there": self.loaded > 0,
        }
        self.token = {"valid": 0, "tag": (0, 1)}
        begins = issues = self.over = False
        cause = ""
        if self.at >= 0:
            if self.age < 0:
                waits_for = self._waits(inputs)
                begins, cause = self._may_begin(inputs), waits_for or "control"
            if begins:
                self._begin_slot()
            if self.age >= 0:
                issues, cause = self.age < len(self.tokens), self._cause()
                self.over = self.age == self.longest - 1
            if issues:
                self._issue()
        self.takes = begins and self.pixel == 0
        self.ends = bool(
            issues and self.last_pixel and self.age == len(self.tokens) - 1 and self.current["ends"]
        )
        following = self.following
        self.moves = bool(inputs["load"] or (self.over and self.last_pixel and following is not None))
        expected |= {
            "starts": begins,
            "take": self.takes,
            "request": bool(issues and self.tokens[self.age]["vector"]),
            "causes": 1 << CAUSES.index(cause) if cause else 0,
            "chunk_ready": self.moves,
            "visit_end": bool(self.moves and not inputs["load"] and following and following["opens"]),
        }
        if self.takes:
            expected |= {"take_bank": self.bank, "take_serial": self.current["serial"]}
        return expected

    def clock(self, inputs: Inputs) -> None:
        stripe_begins = int(self.takes and self.current["last"])
        self.loaded += inputs["unit_loaded"] - stripe_begins
        self.waiting += stripe_begins - inputs["unit_sent"]
        self.cycle += 1
        if inputs["rst"]:
            self.reset()
            self.ended = True
            return
        if self.age >= 0:
            self.age += 1
        if self.over:
            self.age, self.pixel = -1, self.pixel + 1
        self.ended = self.ends
        if self.moves and not self.ends:
            self.at, self.pixel, self.age = self.at + 1, 0, -1
            self.current = self.chunks[self.at]
            self.tokens = _tokens(self.acc, self.current)
            self.bank = 0 if self.current["serial"] else self.turn
            self.turn = 0 if self.current["serial"] else 1 - self.bank

    def _room(self) -> bool:
        """For the finished rows of one more stripe."""
        return self.waiting <= self.current["double"]

    def _full(self, inputs: Inputs) -> int:
        return inputs["full"] >> self.bank & 1

    def _waits(self, inputs: Inputs) -> str:
        """The first thing that a chunk's first slot waits for; empty: nothing, or a packet."""
        if self.pixel:
            return ""
        if not self._full(inputs):
            return "dma" if inputs["missing"] else "rom" if inputs["again"] else "weight"
        if self.cycle < self.fence:
            return "psum"
        if self.current["last"] and not self._room():
            return "store"
        if inputs["tile_missing"]:
            return "dma"
        return "" if inputs["ready"] else "ifmap"

    def _may_begin(self, inputs: Inputs) -> bool:
        may = self.pixel or (
            self._full(inputs)
            and self.cycle >= self.fence
            and inputs["ready"]
            and (not self.current["last"] or (self._room() and self.loaded))
        )
        known = not self.last_pixel or self.current["ends"] or inputs["chunk_valid"]
        return bool(may and known)

    def _begin_slot(self) -> None:
        """It overlaps the fetch and the psum reads of the next slot with its own writes and store."""
        current, last_pixel = self.current, self.last_pixel
        row_end = (self.pixel + 1) % current["width"] == 0
        then = self.following if last_pixel else current
        fetch = "fetch_row" if last_pixel or row_end else "fetch_in"
        reads = 0 if then is None or (last_pixel and then["fence"]) else then["psum_read"]
        self.age = 0
        self.demands = {
            "fetch": 0 if then is None else then[fetch],
            "psum": current["psum_write"] + reads,
            "store": current["store"],
        }
        self.longest = max(len(self.tokens), *self.demands.values())

    def _cause(self) -> str:
        """Of a cycle within a slot: a token, or the demand of which most is left."""
        if self.age < len(self.tokens):
            return "compute"
        left = {name: max(0, demand - self.age) for name, demand in self.demands.items()}
        top = max(left.values())
        order = (("psum", "psum"), ("store", "store"), ("fetch", "ifmap"))
        return next(name for demand, name in order if left[demand] == top)

    def _issue(self) -> None:
        one, current = self.tokens[self.age], self.current
        final = self.last_pixel and self.age == len(self.tokens) - 1
        tag = packet(
            self.tag,
            self.rng,
            valid=1,
            word=one["word"],
            first=one["first"],
            stored=one["first"] and not current["first"],
            last=one["last"],
            final=current["last"],
            retire=final,
            bank=self.bank,
            serial=current["serial"],
            address=self.pixel * current["a"] + one["word"],
        )
        self.token = {
            "valid": 1,
            "address": one["entry"] + self.bank * self.acc.wrf_depth // 2,
            "lanes": (1 << one["rows"]) - 1,
            "tag": tag,
        }
        following = self.following
        if final and following is not None and following["fence"]:
            self.fence = self.cycle + current["psum_write"] + following["psum_read"] + self.acc.latency


def _sequencer(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.chunk(Geometry(acc))
    limits = [(1 << layout[name].width) - 1 for name in ("pixels", "store")]
    model = _Sequencer(acc, rng)
    for layer in range(160):
        chunks = [_chunk(acc, rng, *limits) for _ in range(1 + below(rng, 5))]
        for n, chunk in enumerate(chunks):
            chunk["ends"] = n == len(chunks) - 1
        words = [packet(layout, rng, **chunk) for chunk in chunks]
        eager = (0.9, 0.5, 0.2)[layer % 3]
        leaves = eager / 3 if layer % 2 else 0.01  # so rarely that stripes wait for room
        given_up = below(rng, 200) if chance(rng, 0.1) else -1
        model.begin(chunks)
        head_there = False
        while not model.ended:
            head_there = head_there or (model.following is not None and bool(chance(rng, eager)))
            load = int(model.at < 0 and head_there and chance(rng, 0.5))
            full = sum(chance(rng, eager) << n for n in range(2))
            inputs = {
                "load": load,
                "chunk_valid": head_there,
                "full": full,
                "chunk": words[model.at + 1] if head_there else number(rng, layout.size),
                "ready": chance(rng, eager),
                "unit_loaded": int(model.loaded < 5 and chance(rng, eager / 3)),
                "unit_sent": int(model.waiting > 0 and chance(rng, leaves)),
                **{name: chance(rng, 0.5) for name in ("missing", "again", "tile_missing")},
                "rst": model.cycle == given_up,
            }
            yield inputs, model.outputs(inputs)
            model.clock(inputs)
            head_there = head_there and not model.moves


_TINY = preset("ews-4")
SUITES = (
    VectorSuite(
        "sequencer",
        partial(Sequencer, accelerator=_TINY),
        partial(_sequencer, _TINY),
        view=None,
        small={"COUNT_BITS": 6, "DEMAND_BITS": 6},
    ),
)
