"""The cycles of the closed form: a recurrence over chunks (docs/timing.md sections 3, 4 and 7).

Never a loop over cycles or pixels. Steps that begin in the same relative state take the same time, so
loops over equal chunks, output groups, spatial tiles and parts are walked until they repeat themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sim.shapes import WORD
from sim.systolic.closed_form import demands
from sim.systolic.closed_form.accesses import WeightBytes
from sim.systolic.closed_form.demands import Chunk, Visit
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES, Handover
from sim.systolic.schedule import Schedule

_CAUSES = ("compute", "dram", "dma", "rom", "weight", "psum", "store", "ifmap", "control", "drain")
(_COMPUTE, _DRAM, _DMA, _ROM, _WEIGHT, _PSUM, _STORE, _IFMAP, _CONTROL, _DRAIN) = range(len(_CAUSES))
_LONG_AGO = -(1 << 60)


@dataclass(frozen=True)
class Run:
    """Cycles by cause of one layer, its weight stream in whole beats, and what the next layer finds."""

    cycles: dict[str, int]
    weights: WeightBytes
    handover: Handover


def run(schedule: Schedule, found: Handover | None) -> Run:
    """Walks a layer; with `found` None the core alone, whose weights and ifmap are there in time."""
    clock = _Clock(schedule, found)
    clock.layer()
    cycles = dict(zip(_CAUSES, clock.spent, strict=True))
    return Run(cycles, demands.weight_bytes(schedule, clock.groups), clock.handover())


class _Clock:
    """Times of the recurrence and the cycles spent so far."""

    def __init__(self, schedule: Schedule, found: Handover | None) -> None:
        acc = schedule.accelerator
        self.schedule = schedule
        self.memory = found is not None
        found = found or Handover()
        self.end = CONTROL_CYCLES if self.memory else 0  # first cycle after the last slot
        self.spent = [0] * len(_CAUSES)
        self.spent[_CONTROL] = self.end
        self.written, self.written_before = found.written, found.written_before
        self.free, self.free_before = found.bank, found.bank_before
        self.last_token = self.last_write = 0
        self.dram = found.dram
        self.sent = self.sent_before = self.end  # finished rows of the last two output groups
        self.tile_there = self.visit_end = _LONG_AGO
        self.map_there = self.next_map_there = _LONG_AGO
        self.drain = acc.dma_setup + acc.l2_latency
        self.latency, self.release = acc.latency, acc.release
        self.psum_ports, self.width = acc.psum_ports, schedule.shape.out_w
        self.ofmap_buffers = schedule.tiling.ofmap_buffers
        self.known: dict[tuple, tuple] = {}
        self.groups = demands.output_groups(schedule)
        self.opening = {kind[0]: group[0][0] for kind, group in sorted(self.groups.items(), reverse=True)}
        self.visits: dict[tuple, Visit] = {}
        self.write_beats = 0  # of a pixel of the unit at hand

    def handover(self) -> Handover:
        """In cycles from the end of the layer."""
        ready = self.written + 1
        times = (
            self.written,
            self.written_before,
            max(self.free, ready),
            max(self.free_before, ready),
            max(self.dram, self.written_before + 1),
        )
        return Handover(*(time - self.end for time in times))

    # -- repetition

    def _core_state(self, visits: bool) -> tuple[int, ...]:
        end = self.end
        lowest = self.written_before + 1  # before which no transfer starts
        if visits and self.schedule.source == "dram":
            lowest = min(lowest, self.tile_there)
        return (
            self.written - end,
            self.written_before - end,
            self.free - end,
            self.free_before - end,
            self.last_token - end,
            self.last_write,
            max(self.dram, lowest) - end,
            max(self.sent - end, 0),
            max(self.sent_before - end, 0),
        )

    def _visit_state(self) -> tuple[int, ...]:
        # A map that came before the current tile was there holds nothing up any more.
        end = self.end
        return (self.tile_there - end, self.visit_end - end, max(self.next_map_there, self.tile_there) - end)

    def once(self, key: tuple, visits: bool, body: Callable[[], None]) -> None:
        """Runs `body`, or advances by what it did when it last began in the same relative state.

        Only times that matter later count as state: the recurrence is max-plus linear, so equal
        offsets to `end` give equal steps. `visits`: ifmap tiles are brought in on the way.
        """
        key = (*key, self._core_state(visits), self._visit_state() if visits else None)
        if key in self.known:
            length, core, dram, visit, spent = self.known[key]
            self.end += length
            end = self.end
            self.written, self.written_before = core[0] + end, core[1] + end
            self.free, self.free_before = core[2] + end, core[3] + end
            self.last_token, self.last_write = core[4] + end, core[5]
            self.sent, self.sent_before = core[7] + end, core[8] + end
            if dram is not None:
                self.dram = dram + end
            if visits:
                self.tile_there, self.visit_end = visit[0] + end, visit[1] + end
                self.next_map_there = visit[2] + end
            self.spent = [old + new for old, new in zip(self.spent, spent, strict=True)]
            return
        start, dram_before, before = self.end, self.dram, self.spent.copy()
        body()
        spent = [new - old for old, new in zip(before, self.spent, strict=True)]
        dram = None if self.dram == dram_before else self.dram - self.end  # None: no transfer
        self.known[key] = (self.end - start, self._core_state(visits), dram, self._visit_state(), spent)

    # -- loops

    def layer(self) -> None:
        """All parts, the last one's end included."""
        parts = self.schedule.parts
        for part in range(parts):
            if part in (0, parts - 1):
                self.part(part)
            else:
                key = ("part", part == parts - 2, self.schedule.tiling.phase(part))
                self.once(key, True, partial(self.part, part))

    def part(self, part: int) -> None:
        schedule = self.schedule
        trips_i, tiles = schedule.trips[0], schedule.tiles
        outer, inner = (trips_i, tiles) if schedule.outputs_outer else (tiles, trips_i)
        for n in range(outer):
            edge = (part, n) in ((0, 0), (schedule.parts - 1, outer - 1))

            def step(n: int = n) -> None:
                for m in range(inner):
                    i, tile = (n, m) if schedule.outputs_outer else (m, n)
                    self.unit(part, i, tile, n == outer - 1 and m == inner - 1)

            if edge:
                step()
            else:
                key: tuple = (
                    "outer",
                    part == schedule.parts - 1,
                    part == schedule.parts - 2,
                    n == outer - 2,
                    n == outer - 1,
                    schedule.tiling.phase(part, n if schedule.outputs_outer else 0),
                )
                if not schedule.outputs_outer:
                    key += self._tile_class(n)
                self.once(key, True, step)

    def _tile_class(self, tile: int) -> tuple[int, ...]:
        """What of a tile, and of the one after it, makes a difference."""
        schedule = self.schedule
        after = min(tile + 1, schedule.tiles - 1)
        return (
            schedule.tile_lines(tile),
            schedule.tile_ifmap_lines(tile),
            schedule.tile_ifmap_lines(after),
            schedule.tile_lines(after),
            tile == 0,
        )

    def unit(self, part: int, i: int, tile: int, ends_part: bool) -> None:
        """One output group on one tile: all its channel groups and kernel positions."""
        schedule = self.schedule
        last_part = part == schedule.parts - 1
        group = self.groups[last_part, i == schedule.trips[0] - 1]
        pixels = schedule.tile_lines(tile) * schedule.shape.out_w
        following_part = last_part or (ends_part and part == schedule.parts - 2)
        following = None if last_part and ends_part else self.opening[following_part]
        opens = i == 0 or schedule.ifmap_passes > 1
        fetched = (
            self.memory
            and (tile == 0 or not schedule.tiling.keeps_weights)
            and (not schedule.shape.dynamic or schedule.spills)
        )
        place = (part, i, tile)
        phase = schedule.tiling.phase(part, i)
        if self.memory:
            self.write_beats = schedule.tiling.write_beats(part, i)

        def body() -> None:
            self.channels(group, pixels, following, fetched, place, opens)

        if place == (0, 0, 0) or following is None:
            body()
        elif opens:
            last = schedule.trips[1] - 1 if schedule.split_channels else 0
            key = (
                "open",
                pixels,
                id(group),
                id(following),
                fetched,
                phase,
                self._visit(*place, 0),
                self._visit(*place, last),
                self._next_visit(*place, last),
            )
            self.once(key, True, body)
        else:
            self.once(("unit", pixels, id(group), id(following), fetched, phase), False, body)

    def channels(
        self,
        group: list[tuple[Chunk, ...]],
        pixels: int,
        following: Chunk | None,
        fetched: bool,
        place: tuple[int, int, int],
        opens: bool,
    ) -> None:
        split = self.schedule.split_channels
        for j, chunks in enumerate(group):
            after = group[j + 1][0] if j < len(group) - 1 else following
            visit = (*place, j) if split or (opens and j == 0) else None

            def body(
                chunks: tuple[Chunk, ...] = chunks,
                after: Chunk | None = after,
                visit: tuple[int, int, int, int] | None = visit,
                first: bool = (*place, j) == (0, 0, 0, 0),
            ) -> None:
                for n, chunk in enumerate(chunks):
                    follower = chunks[n + 1] if n + 1 < len(chunks) else after
                    self.chunk(chunk, pixels, follower, fetched, visit if n == 0 else None, first and n == 0)

            if j == 0 or after is None:
                body()
                continue
            key: tuple = ("j", pixels, id(chunks), id(after), fetched, self.write_beats)
            if split:
                key += (self._visit(*place, j), self._next_visit(*place, j))
            self.once(key, split, body)

    # -- one chunk

    def chunk(
        self,
        chunk: Chunk,
        pixels: int,
        following: Chunk | None,
        fetched: bool,
        opens: tuple[int, int, int, int] | None,
        first: bool,
    ) -> None:
        schedule, acc = self.schedule, self.schedule.accelerator
        there = self._job_from_dram(chunk, fetched, first)
        if self.memory and opens is not None:
            self._maps_from_dram(opens, first)
            self._tile_by_dma(opens, first)
        if first and schedule.loads_codebook:
            codebook = [(schedule.codewords, 8 * acc.codeword_length)]
            ready = max(self.written + 1, there) + demands.load_cycles(codebook, schedule)
        else:
            ready = self.written
        bank = self.free_before if schedule.overlap else max(self.free, self.free_before)
        self.written_before = self.written
        self.written = max(ready + 1, bank, there) + chunk.load

        # The wait before the first slot, cause by cause in the order of section 5.
        begin, full = self.end, self.written + 1
        begin = self._wait(begin, min(full, there), _DRAM)
        self._wait(begin, full - chunk.lookups, _WEIGHT)
        begin = max(begin, full - chunk.lookups)
        begin = self._wait(begin, full, _ROM)
        if self._fenced(chunk, pixels):
            begin = self._wait(begin, self.last_token + self.latency + self.last_write + chunk.read, _PSUM)
        if self.memory and chunk.last:
            begin = self._wait(begin, self.sent if self.ofmap_buffers == 1 else self.sent_before, _STORE)
        if self.memory and opens is not None:
            begin = self._wait(begin, self.map_there, _DRAM)
            begin = self._wait(begin, self.tile_there, _DMA)
            begin = self._wait(begin, max(self.tile_there, CONTROL_CYCLES) + chunk.fetch_row, _IFMAP)
        elif first:
            begin = self._wait(begin, chunk.fetch_row, _IFMAP)

        rows = pixels // self.width
        inner = self._psums(chunk.write, chunk.read)
        inside = self._slot(chunk, chunk.fetch_in, inner, pixels - rows)
        wrap = self._slot(chunk, chunk.fetch_row, inner, rows - 1)
        time = (pixels - rows) * inside + (rows - 1) * wrap
        self.last_token = begin + time + chunk.tokens - 1
        self.free, self.free_before = self.last_token + self.release, self.free
        if not schedule.overlap:
            self.free_before = self.free
        self.last_write = chunk.write
        if self.memory and chunk.last:
            self._send(chunk, begin, inside, wrap, pixels)
        if following is None:
            self.spent[_COMPUTE] += chunk.tokens
            self.end = self.last_token + self.latency + 1
            if self.memory:
                self.end = self.sent + self.drain
            self.spent[_DRAIN] += self.end - self.last_token - 1
            return
        read = 0 if self._fenced(following, pixels) else following.read
        time += self._slot(chunk, following.fetch_row, self._psums(chunk.write, read), 1)
        self.end = begin + time

    def _wait(self, begin: int, until: int, cause: int) -> int:
        self.spent[cause] += max(0, until - begin)
        return max(begin, until)

    def _fenced(self, chunk: Chunk, pixels: int) -> bool:
        return chunk.read > 0 and pixels - 1 < self.latency + chunk.read

    def _psums(self, write: int, read: int) -> int:
        return max(write, read) if self.psum_ports == 2 else write + read

    def _slot(self, chunk: Chunk, ahead: int, psums: int, count: int) -> int:
        """Length of a slot; `count` of them are spent."""
        longest = max(ahead, psums, chunk.store)
        stall = max(0, longest - chunk.tokens)
        cause = _PSUM if psums == longest else _STORE if chunk.store == longest else _IFMAP
        self.spent[_COMPUTE] += count * chunk.tokens
        self.spent[cause] += count * stall
        return chunk.tokens + stall

    def _send(self, chunk: Chunk, begin: int, inside: int, wrap: int, pixels: int) -> None:
        """When the DMA has taken the last finished row: behind the group before, or behind a pixel.

        Slot p starts at p * inside + (p // width) * (wrap - inside), linear in row and column, so
        the pixel that decides is at a corner of the tile.
        """
        width = self.width
        done = chunk.tokens - 1 + self.latency + STORER_STAGES + chunk.store
        latest = self.sent + pixels * self.write_beats
        for row in (0, pixels // width - 1):
            for column in (0, width - 1):
                pixel = row * width + column
                start = begin + pixel * inside + row * (wrap - inside)
                latest = max(latest, start + done + (pixels - pixel) * self.write_beats)
        self.sent, self.sent_before = latest, self.sent

    # -- memory

    def _job_from_dram(self, chunk: Chunk, fetched: bool, first: bool) -> int:
        """Starts the DRAM transfer of a job; when it is there."""
        if not fetched:
            return _LONG_AGO
        acc = self.schedule.accelerator
        beats = chunk.beats + (demands.codebook_beats(self.schedule) if first else 0)
        start = max(self.dram, self.written_before + 1)
        self.dram = start + self._transfer(beats * acc.weight_port_bits // 8)
        return self.dram + acc.dram_latency

    def _transfer(self, size: int) -> int:
        acc = self.schedule.accelerator
        return -(-size * 8 // acc.dram_bits) + -(-size // acc.dram_row_bytes) * acc.dram_row_cycles

    def _maps_from_dram(self, place: tuple[int, int, int, int], first: bool) -> None:
        """Transfers of the tile after this one, and of the first two at the start of the layer."""
        if first:
            self.next_map_there = self._map(self._visit(*place), 0)
        self.map_there = self.next_map_there
        following = self._next_visit(*place)
        self.next_map_there = _LONG_AGO
        if following is not None:
            self.next_map_there = self._map(following, 0 if first else self.tile_there)

    def _map(self, visit: Visit, earliest: int) -> int:
        if not visit.dram_bytes:
            return _LONG_AGO
        self.dram = max(self.dram, earliest) + self._transfer(visit.dram_bytes)
        return self.dram + self.schedule.accelerator.dram_latency

    def _tile_by_dma(self, place: tuple[int, int, int, int], first: bool) -> None:
        before, self.visit_end = self.visit_end, _LONG_AGO if first else self.end
        buffer = self.visit_end if self.schedule.tiling.ifmap_buffers == 1 else before
        self.tile_there = max(self.tile_there, self.map_there, buffer, 0) + self._visit(*place).dma

    def _visit(self, part: int, i: int, tile: int, j: int) -> Visit:
        schedule = self.schedule
        i = i if schedule.ifmap_passes > 1 else 0
        j = j if schedule.split_channels else 0
        key = (
            part == schedule.parts - 1,
            i == schedule.trips[0] - 1,
            tile,
            j == schedule.trips[1] - 1,
            schedule.tiling.phase(part, i),
            j * schedule.tiling.tile_channels % WORD,
        )
        if key not in self.visits:
            self.visits[key] = demands.visit(schedule, part, i, tile, j)
        return self.visits[key]

    def _next_visit(self, part: int, i: int, tile: int, j: int) -> Visit | None:
        schedule = self.schedule
        trips_i, trips_j, _ = schedule.trips
        if schedule.split_channels and j + 1 < trips_j:
            return self._visit(part, i, tile, j + 1)
        if not schedule.outputs_outer and schedule.split_channels and i + 1 < trips_i:
            return self._visit(part, i + 1, tile, 0)
        if tile + 1 < schedule.tiles:
            return self._visit(part, i if schedule.outputs_outer else 0, tile + 1, 0)
        if schedule.outputs_outer and schedule.ifmap_passes > 1 and i + 1 < trips_i:
            return self._visit(part, i + 1, 0, 0)
        if part + 1 < schedule.parts:
            return self._visit(part + 1, 0, 0, 0)
        return None
