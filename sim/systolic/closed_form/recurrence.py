"""The cycles of the closed form: a recurrence over chunks (docs/timing.md sections 3, 4 and 7).

Never a loop over cycles or pixels. Loops over equal chunks, output groups, spatial tiles and parts are walked
until they repeat themselves: `clock`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import gcd
from typing import NamedTuple

from sim.shapes import WORD
from sim.systolic.closed_form import demands
from sim.systolic.closed_form.accesses import WeightBytes
from sim.systolic.closed_form.clock import (
    CAUSES,
    COMPUTE,
    DMA,
    DRAIN,
    DRAM,
    IFMAP,
    LONG_AGO,
    PSUM,
    ROM,
    STORE,
    WEIGHT,
    Clock,
)
from sim.systolic.closed_form.demands import Chunk
from sim.systolic.closed_form.visits import Visit, Visits
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES, Handover
from sim.systolic.schedule import Schedule
from sim.technology import off_chip


@dataclass(frozen=True)
class Run:
    """Cycles by cause of one layer, its weight stream in whole beats, and what the next layer finds."""

    cycles: dict[str, int]
    weights: WeightBytes
    handover: Handover


def run(schedule: Schedule, found: Handover | None) -> Run:
    """Walks a layer; with `found` None the core alone, whose weights and ifmap are there in time."""
    layer = _Layer(schedule, found)
    layer.walk()
    cycles = dict(zip(CAUSES, layer.spent, strict=True))
    return Run(cycles, demands.weight_bytes(schedule, layer.groups), layer.handover())


class _Opening(NamedTuple):
    """The ifmap tile that a chunk opens, and the one after it, if any."""

    visit: Visit
    following: Visit | None


class _Stripe(NamedTuple):
    """One output group on one tile.

    Attributes:
        part, i, tile: its place.
        pixels, width: of the tile.
        following: the chunk after its last one; None at the end of the layer.
        fetched: its weights come from DRAM.
        opens: a tile is brought in for it.
        written: its output rows that are written.
        write_beats: DMA beats of a pixel of them.
    """

    part: int
    i: int
    tile: int
    pixels: int
    width: int
    following: Chunk | None
    fetched: bool
    opens: bool
    written: range
    write_beats: int

    @property
    def first(self) -> bool:
        """Whether the layer begins with it."""
        return self.part == self.i == self.tile == 0


def _alike(first: int, stop: int) -> range:
    return range(first, max(first, stop))


def _period(*steps: int) -> int:
    """After how many steps of these sizes places in a word repeat."""
    return WORD // gcd(WORD, *steps)


def _tiles_alike(schedule: Schedule) -> range:
    """Tiles of a strip that, like the one after them, are full and read no padding above or below."""
    y = schedule.shape.axes[0]
    step = schedule.tile_rows * y.stride
    first = min(max(1, -(-y.padding // step)), schedule.row_tiles)
    last = (y.size - (step - y.stride + y.reach) + y.padding) // step  # that reads no padding below
    return _alike(first, min(last, schedule.row_tiles - 2))


class _Layer(Clock):
    """A layer on its way: the loops, and in them the demands of chunks."""

    def __init__(self, schedule: Schedule, found: Handover | None) -> None:
        super().__init__(found, maps_from_dram=found is not None and schedule.source == "dram")
        acc, tiling = schedule.accelerator, schedule.tiling
        self.schedule, self.tiling, self.off_chip = schedule, tiling, off_chip(acc)
        self.trips_i, self.trips_j, _ = schedule.trips
        self.parts, self.tiles = schedule.parts, schedule.tiles
        self.latency, self.release, self.psum_ports = acc.latency, acc.release, acc.psum_ports
        self.drain = acc.dma_setup + acc.l2_latency
        self.ifmap_buffers, self.ofmap_buffers = tiling.ifmap_buffers, tiling.ofmap_buffers
        self.fetched = self.memory and (not schedule.shape.dynamic or schedule.spills)
        self.groups = demands.output_groups(schedule)
        self.opening = {kind[0]: group[0][0] for kind, group in sorted(self.groups.items(), reverse=True)}
        self.visits = Visits(schedule)
        # Steps of each loop that are alike, after how many their places in a word repeat, and whether ifmap
        # tiles come in on the way.
        self.alike_i = (
            _alike(1, self.trips_i - 2),
            _period(schedule.A * acc.columns),
            schedule.ifmap_sweeps > 1,
        )
        split = schedule.split_channels
        self.alike_j = _alike(1, self.trips_j - 2), _period(split * tiling.tile_channels), split
        self.alike_tiles = _tiles_alike(schedule), self.tiling.write_period, True
        self.alike_parts = _alike(1, self.parts - 2), _period(schedule.channels, schedule.outputs), True

    # ---- loops

    def walk(self) -> None:
        """All parts, the last one's end included."""

        def step(part: int) -> None:
            if part in self.alike_parts[0]:
                self.once(("part", self.tiling.phase(part)), True, partial(self.part, part))
            else:
                self.part(part)

        self._loop(self.parts, self.alike_parts, step)

    def part(self, part: int) -> None:
        """All output groups and tiles of a part."""
        ends = part == self.parts - 1, part == self.parts - 2
        outer = self.trips_i if self.schedule.outputs_outer else self.tiles

        def step(n: int) -> None:
            if (part, n) in ((0, 0), (self.parts - 1, outer - 1)):
                self.inner(part, n)
            else:
                key = ("outer", ends, n == 0, n == outer - 2, n == outer - 1, self._kind(part, n))
                self.once(key, True, partial(self.inner, part, n))

        if self.schedule.outputs_outer:
            self._loop(outer, self.alike_i, step)
        else:
            self._over_tiles(step)

    def _kind(self, part: int, n: int) -> tuple:
        """What makes a difference between two output groups, or between two tiles, of the outer loop."""
        schedule = self.schedule
        if schedule.outputs_outer:
            return self.tiling.phase(part, n)
        return (
            self.tiling.phase(part),
            *(schedule.tile_extents(tile) for tile in (n, min(n + 1, self.tiles - 1))),
        )

    def inner(self, part: int, n: int) -> None:
        """All tiles of step n over output groups, or all output groups of tile n."""
        if self.schedule.outputs_outer:
            self._over_tiles(lambda tile: self.stripe(part, n, tile))
        else:
            self._loop(self.trips_i, self.alike_i, lambda i: self.stripe(part, i, n))

    def _over_tiles(self, step: Callable[[int], None]) -> None:
        """All spatial tiles, strip by strip."""
        rows = self.schedule.row_tiles
        for first in range(0, self.tiles, rows):
            self._loop(rows, self.alike_tiles, lambda row, top=first: step(top + row))  # type: ignore[misc]

    def _loop(self, count: int, alike: tuple[range, int, bool], step: Callable[[int], None]) -> None:
        same, period, visits = alike
        for n in range(same.start):
            if n < count:
                step(n)
        self.repeat(same, period, visits, step)
        for n in range(same.stop, count):
            step(n)

    def stripe(self, part: int, i: int, tile: int) -> None:
        """One output group on one tile: all its channel groups and kernel positions."""
        schedule = self.schedule
        last_part, ends = part == self.parts - 1, (i, tile) == (self.trips_i - 1, self.tiles - 1)
        group = self.groups[last_part, i == self.trips_i - 1]
        lines, width = schedule.tile_size(tile)
        stripe = _Stripe(
            part,
            i,
            tile,
            pixels=lines * width,
            width=width,
            following=(
                None if last_part and ends else self.opening[last_part or (ends and part == self.parts - 2)]
            ),
            fetched=self.fetched and (tile == 0 or not self.tiling.keeps_weights),
            opens=i == 0 or schedule.ifmap_sweeps > 1,
            written=self.tiling.written(tile),
            write_beats=self.tiling.write_beats(part, i) if self.memory else 0,
        )
        body = partial(self.channels, stripe, group)
        if stripe.first or stripe.following is None:
            body()
            return
        key: tuple = (
            "stripe",
            (lines, width, stripe.written),
            id(group),
            id(stripe.following),
            stripe.fetched,
            self.tiling.phase(part, i),
        )
        if stripe.opens:
            last = self.trips_j - 1 if schedule.split_channels else 0
            key += (self.visits.at(part, i, tile, 0), *self._opening(stripe, last))
        self.once(key, stripe.opens, body)

    def _opening(self, stripe: _Stripe, j: int) -> _Opening:
        place = (stripe.part, stripe.i, stripe.tile, j)
        return _Opening(self.visits.at(*place), self.visits.after(*place))

    def channels(self, stripe: _Stripe, group: list[tuple[Chunk, ...]]) -> None:
        """All steps over channel groups."""
        split = self.schedule.split_channels

        def step(j: int) -> None:
            chunks = group[j]
            after = group[j + 1][0] if j + 1 < len(group) else stripe.following
            opening = self._opening(stripe, j) if split or (stripe.opens and j == 0) else None
            body = partial(self.chunks, chunks, stripe, after, opening, stripe.first and j == 0)
            if j == 0 or after is None:
                body()
            else:
                place = (stripe.pixels, stripe.width, stripe.fetched, stripe.written, stripe.write_beats)
                self.once(("j", place, id(chunks), id(after), opening), split, body)

        self._loop(len(group), self.alike_j, step)

    def chunks(
        self,
        chunks: tuple[Chunk, ...],
        stripe: _Stripe,
        after: Chunk | None,
        opening: _Opening | None,
        first: bool,
    ) -> None:
        """All chunks of a step over channel groups; the ifmap tile comes for the first of them."""
        for n, (chunk, following) in enumerate(zip(chunks, (*chunks[1:], after), strict=True)):
            self.chunk(chunk, stripe, following, None if n else opening, first and n == 0)

    # ---- one chunk

    def chunk(
        self, chunk: Chunk, stripe: _Stripe, following: Chunk | None, opening: _Opening | None, first: bool
    ) -> None:
        pixels = stripe.pixels
        there = self._job_from_dram(chunk, stripe.fetched, first)
        map_there = self._open(opening, first) if self.memory and opening is not None else LONG_AGO
        self._load(chunk, there, first)
        begin = self._waits(chunk, pixels, there, first)
        if self.memory and opening is not None:
            begin = self.wait(begin, map_there, DRAM)
            begin = self.wait(begin, self.tile_there, DMA)
            begin = self.wait(begin, max(self.tile_there, CONTROL_CYCLES) + chunk.fetch_row, IFMAP)
        elif first:
            begin = self.wait(begin, chunk.fetch_row, IFMAP)

        rows = pixels // stripe.width
        inner = self._psums(chunk.write, chunk.read)
        inside = self._slot(chunk, chunk.fetch_in, inner, pixels - rows)
        wrap = self._slot(chunk, chunk.fetch_row, inner, rows - 1)
        time = (pixels - rows) * inside + (rows - 1) * wrap
        self.last_token = begin + time + chunk.tokens - 1
        self.free, self.free_before = self.last_token + self.release, self.free
        if not self.schedule.overlap:
            self.free_before = self.free
        self.last_write = chunk.write
        if self.memory and chunk.last:
            self._send(chunk, stripe, begin, inside, wrap)
        if following is None:
            self._finish(chunk)
            return
        read = 0 if self._fenced(following, pixels) else following.read
        time += self._slot(chunk, following.fetch_row, self._psums(chunk.write, read), 1)
        self.end = begin + time

    def _load(self, chunk: Chunk, there: int, first: bool) -> None:
        """When the last row of a weight job is written, whose weights are `there`."""
        schedule = self.schedule
        ready = self.written
        if first and schedule.loads_codebook:
            codebook = [(schedule.codewords, 8 * schedule.accelerator.codeword_length)]
            ready = max(ready + 1, there) + demands.load_cycles(codebook, schedule)
        bank = self.free_before if schedule.overlap else max(self.free, self.free_before)
        self.written_before = self.written
        self.written = max(ready + 1, bank, there) + chunk.load

    def _waits(self, chunk: Chunk, pixels: int, there: int, first: bool) -> int:
        """The wait before the first slot, cause by cause in the order of section 5, but for the ifmap."""
        begin, full = self.end, self.written + 1
        begin = self.wait(begin, min(full, there), DRAM)
        begin = self.wait(begin, full - chunk.lookups, WEIGHT)
        begin = self.wait(begin, full, ROM)
        if self._fenced(chunk, pixels):
            begin = self.wait(begin, self.last_token + self.latency + self.last_write + chunk.read, PSUM)
        if self.memory and chunk.last:
            begin = self.wait(begin, self.sent if self.ofmap_buffers == 1 else self.sent_before, STORE)
        return begin

    def _finish(self, chunk: Chunk) -> None:
        """The end of the layer, behind its last chunk."""
        self.spent[COMPUTE] += chunk.tokens
        self.end = self.sent + self.drain if self.memory else self.last_token + self.latency + 1
        self.spent[DRAIN] += self.end - self.last_token - 1

    def _fenced(self, chunk: Chunk, pixels: int) -> bool:
        return chunk.read > 0 and pixels - 1 < self.latency + chunk.read

    def _psums(self, write: int, read: int) -> int:
        return max(write, read) if self.psum_ports == 2 else write + read

    def _slot(self, chunk: Chunk, ahead: int, psums: int, count: int) -> int:
        """Length of a slot; `count` of them are spent."""
        longest = max(ahead, psums, chunk.store)
        stall = max(0, longest - chunk.tokens)
        cause = PSUM if psums == longest else STORE if chunk.store == longest else IFMAP
        self.spent[COMPUTE] += count * chunk.tokens
        self.spent[cause] += count * stall
        return chunk.tokens + stall

    def _send(self, chunk: Chunk, stripe: _Stripe, begin: int, inside: int, wrap: int) -> None:
        """When the DMA has taken the last finished row: behind the group before, or behind a pixel.

        Slot p starts at p * inside + (p // width) * (wrap - inside), linear in row and column, so
        the pixel that decides is at a corner of what the tile writes.
        """
        width, beats, lines = stripe.width, stripe.write_beats, stripe.written
        done = chunk.tokens - 1 + self.latency + STORER_STAGES + chunk.store
        latest = self.sent + len(lines) * width * beats
        for n, column in product({0, len(lines) - 1}, {0, width - 1}):
            start = begin + (lines[n] * width + column) * inside + lines[n] * (wrap - inside)
            latest = max(latest, start + done + ((len(lines) - n) * width - column) * beats)
        self.sent, self.sent_before = latest, self.sent

    # ---- memory

    def _job_from_dram(self, chunk: Chunk, fetched: bool, first: bool) -> int:
        """Starts the DRAM transfer of a job; when it is there."""
        if not fetched:
            return LONG_AGO
        acc = self.schedule.accelerator
        beats = chunk.beats + (demands.codebook_beats(self.schedule) if first else 0)
        start = max(self.dram, self.written_before + 1)
        self.dram = start + self._transfer(beats * acc.weight_port_bits // 8)
        return self.dram + self.off_chip.latency

    def _transfer(self, size: int) -> int:
        bits, _, row_bytes, row_cycles = self.off_chip
        return -(-size * 8 // bits) + -(-size // row_bytes) * row_cycles

    def _open(self, opening: _Opening, first: bool) -> int:
        """Brings an ifmap tile into L1, and starts the DRAM transfer of the tile after it (at the start of the
        layer, of both); when DRAM has brought the first one.
        """
        if first:
            self.next_map_there = self._map(opening.visit, 0)
        map_there, self.next_map_there = self.next_map_there, LONG_AGO
        if opening.following is not None:
            self.next_map_there = self._map(opening.following, 0 if first else self.tile_there)
        before, self.visit_end = self.visit_end, LONG_AGO if first else self.end
        buffer = self.visit_end if self.ifmap_buffers == 1 else before
        self.tile_there = max(self.tile_there, map_there, buffer, 0) + opening.visit.dma
        return map_there

    def _map(self, visit: Visit, earliest: int) -> int:
        if not visit.dram_bytes:
            return LONG_AGO
        self.dram = max(self.dram, earliest) + self._transfer(visit.dram_bytes)
        return self.dram + self.off_chip.latency
