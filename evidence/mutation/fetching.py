"""Vectors for what fetches activations from L1."""

from __future__ import annotations

from functools import partial
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from evidence.mutation.suite import Inputs, Vectors, VectorSuite
from evidence.mutation.windows import Vector, chunk
from evidence.mutation.words import below, chance, number
from rtl import packets
from rtl.geometry import Geometry
from rtl.ifmap.ifmap_loader import IfmapLoader
from rtl.ifmap.vector_walk import ADDRESS_STAGES, VectorWalk
from sim.accelerator import Accelerator, preset

T = TypeVar("T")


class _Later(Generic[T]):
    """What follows `lag` cycles later; `nothing` at first."""

    def __init__(self, lag: int, nothing: T) -> None:
        self.lag, self.nothing = lag, nothing
        self.reset()

    def reset(self) -> None:
        self.waiting = [self.nothing] * self.lag

    def next(self, value: T) -> T:
        self.waiting.append(value)
        return self.waiting.pop(0)


def _vector_walk(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    turns = _Later(ADDRESS_STAGES, {"reads": 0})  # a vector's place shows later than its turn
    for _ in range(150):
        bits, windows = chunk(acc, rng)
        given_up = below(rng, len(windows)) if chance(rng, 0.1) else -1
        takes = 1
        yield {"load": 1, "coming": bits}, turns.next({"reads": 0})
        for pixel, window in enumerate(windows):
            # From `takes` to `begins`, and from pixel to pixel.
            while chance(rng, 0.3):
                yield {"chunk": bits, "takes": takes}, turns.next({"reads": 0})
                takes = 0
            vectors = [vector for vector in window if vector.fetched]
            begins, reset = 1, 0
            while vectors and not reset:
                vector, step = vectors[0], chance(rng, 0.8)
                expected = vector.segment | {
                    "segment_end": step and vector.segment_end,
                    "pixel_end": step and vector.pixel_end,
                }
                place = {"reads": 1, "in_tile": vector.inside}
                if vector.inside:
                    place |= {"word": vector.word, "upper": vector.upper}
                expected |= turns.next(place if step else {"reads": 0})
                reset = int(pixel == given_up)
                yield {"chunk": bits, "takes": takes, "begins": begins, "step": step, "rst": reset}, expected
                takes, begins = 0, 0
                vectors = vectors[step:]
            if reset:
                turns.reset()
                break


class _Chunk(NamedTuple):
    """Of a layer."""

    flags: dict[str, int]
    packet: int
    windows: list[list[Vector]]


def _layer(acc: Accelerator, rng: np.random.Generator) -> list[_Chunk]:
    chunks = []
    count = 1 + below(rng, 4)
    for n in range(count):
        flags = {
            "ends": n == count - 1,
            "begins": n == 0,
            "opens": int(n == 0 or chance(rng, 0.4)),
            "map": number(rng, 1),
            "zero": number(rng, 8),
        }
        chunks.append(_Chunk(flags, *chunk(acc, rng, **flags)))
    return chunks


class _IfmapLoader:
    """One layer after the other: its chunks, their pixels, the vectors of a pixel.

    Attributes:
        contents: words of L1 that were read, by group and address.
        tiles: brought, whose visits have not begun.
        activation: requested last; `arrives`: the word that L1 gives in this cycle.
        at: chunk that is fetched from; the head of the queue is the one behind it.
        begun, waits, seeks: the layer has begun; for a first pixel's tile; for the next chunk.
        pixel: the next one to be fetched; `fetch`: vectors to come of the one at hand; `ready`: it is there.
        fetched: activations of the pixel that is or was fetched; `given`: those to be requested.
    """

    def __init__(self, acc: Accelerator, rng: np.random.Generator) -> None:
        self.acc, self.rng = acc, rng
        self.contents: dict[tuple[int, int], int] = {}
        self.reads: _Later[tuple[int, int] | None] = _Later(acc.operand_stages, None)
        self.late: int | None = None  # requested a cycle ago
        self.asks: _Later[int | None] = _Later(acc.operand_stages - 1, None)
        self.reset()

    def reset(self) -> None:
        self.tiles = 0
        self.activation: int | None = None
        self.arrives: int | None = None
        self.late = None
        self.reads.reset()
        self.asks.reset()

    def begin(self, chunks: list[_Chunk]) -> None:
        """Another layer."""
        self.chunks = chunks
        self.at, self.pixel = -1, 0
        self.begun = self.waits = self.seeks = self.ready = False
        self.fetch: list[Vector] = []
        self.fetched: list[int] = []
        self.given: list[int] = []

    @property
    def following(self) -> _Chunk | None:
        """The chunk behind the one at hand."""
        return self.chunks[self.at + 1] if self.at + 1 < len(self.chunks) else None

    @property
    def exhausted(self) -> bool:
        """Whether all pixels of the chunk are or were fetched."""
        return self.at >= 0 and self.pixel == len(self.chunks[self.at].windows)

    @property
    def over(self) -> bool:
        last = self.following is None and self.exhausted
        return last and not (self.ready or self.fetch or self.given)

    def outputs(self) -> dict[str, int]:
        """What registers give in this cycle."""
        missing = self.waits and self.chunks[self.at].flags["opens"] and self.tiles == 0
        outputs = {"ready": self.ready, "read_enable": 0, "tile_missing": int(missing)}
        return outputs if self.activation is None else outputs | {"activation": self.activation}

    def work(self, inputs: Inputs) -> dict[str, int]:
        """Takes chunks and begins pixels; returns the read of L1."""
        if inputs["starts"]:
            self.given, self.ready = list(self.fetched), False
            self.seeks = self.exhausted and self.following is not None
        if inputs["load"] or (self.seeks and inputs["chunk_valid"]):
            self.at, self.pixel = self.at + 1, 0
            self.begun, self.waits, self.seeks = True, True, False
        first = self._visit(inputs)
        self.tiles += inputs["tile_there"]
        rests = self.exhausted or self.waits or self.seeks
        if first or (inputs["starts"] and not rests and self.pixel):
            self._begin_pixel()
        self.arrives, turn = None, None
        if self.fetch:
            vector = self.fetch.pop(0)
            self.ready = not self.fetch
            turn = (self.chunks[self.at].flags["map"], vector.word) if vector.inside else None
        place = self.reads.next(turn)
        if place is None:
            return {}
        self.arrives = self.contents[place]
        return {"read_enable": 1, "read_map": place[0], "read_word": place[1]}

    def _visit(self, inputs: Inputs) -> bool:
        """Whether the chunk's first pixel begins: its tile is there, and the layer's control cycles over."""
        if not self.waits:
            return False
        flags = self.chunks[self.at].flags
        if (flags["opens"] and not self.tiles) or (flags["begins"] and not inputs["allowed"]):
            return False
        self.waits = False
        self.tiles -= flags["opens"]
        return True

    def _begin_pixel(self) -> None:
        chunk = self.chunks[self.at]
        window = chunk.windows[self.pixel]
        self.fetch = [vector for vector in window if vector.fetched]
        self.fetched = [self._activation(chunk, vector) for vector in window]
        self.pixel += 1

    def _activation(self, chunk: _Chunk, vector: Vector) -> int:
        """What the array gets of a vector; the map is drawn where it is read."""
        lanes = 8 * self.acc.rows
        if not vector.inside:
            return sum(chunk.flags["zero"] << n for n in range(0, lanes, 8))
        word = number(self.rng, 64 * self.acc.map_banks)
        data = self.contents.setdefault((chunk.flags["map"], vector.word), word)
        return data >> 32 * vector.upper & (1 << lanes) - 1

    def request(self, issues: bool) -> int:
        """Whether a vector is requested, now that a token issues or does not."""
        asked = self.asks.next(self.given.pop(0) if issues else None)
        self.activation = self.activation if self.late is None else self.late
        self.late = asked
        return asked is not None


def _ifmap_loader(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    size = packets.chunk(Geometry(acc)).size
    model = _IfmapLoader(acc, rng)
    for layer in range(60):
        model.begin(_layer(acc, rng))
        eager = (0.9, 0.6, 0.3)[layer % 3]
        given_up = below(rng, 300) if chance(rng, 0.1) else -1
        head_there = False
        cycle, reset = 0, 0
        while not (reset or model.over):
            at, following = model.at, model.following
            head_there = head_there or (following is not None and chance(rng, eager) == 1)
            load = int(not model.begun and head_there and chance(rng, 0.5))
            starts = int(model.ready and not model.given and chance(rng, eager))
            allowed, tile_there = chance(rng, eager), int(model.tiles < 3 and chance(rng, eager / 4))
            reset = int(cycle == given_up)
            inputs = {
                "chunk_valid": head_there,
                "chunk": following.packet if following and head_there else number(rng, size),
                "load": load,
                "allowed": allowed,
                "starts": starts,
                "tile_there": tile_there,
                "read_data": number(rng, 64 * acc.map_banks) if model.arrives is None else model.arrives,
                "rst": reset,
            }
            expected = model.outputs() | model.work(inputs)
            inputs["request"] = model.request(bool(model.given) and chance(rng, 0.8) == 1)
            yield inputs, expected
            head_there = head_there and model.at == at
            cycle += 1
        if reset:
            model.reset()


_TINY = preset("ews-4")
_SHORT = {"COUNT_BITS": 6, "PIXEL_BITS": 6, "OFFSET_BITS": 7, "COORDINATE_BITS": 11}
SUITES = (
    VectorSuite(
        "vector_walk",
        partial(VectorWalk, accelerator=_TINY),
        partial(_vector_walk, _TINY),
        view=None,
        small=_SHORT,
    ),
    VectorSuite(
        "ifmap_loader",
        partial(IfmapLoader, accelerator=_TINY),
        partial(_ifmap_loader, _TINY),
        view=None,
        small=_SHORT,
    ),
)
