"""The times that the recurrence of the closed form advances, and how repetition is skipped.

The recurrence is max-plus linear: equal offsets to the end of the last slot give equal steps. A step that
was seen in the same relative state is not walked again (`once`), and a loop that has come back to a state
it was in before goes on in whole rounds (`repeat`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sim.systolic.results import CONTROL_CYCLES, Handover

CAUSES = ("compute", "dram", "dma", "rom", "weight", "psum", "store", "ifmap", "control", "drain")
(COMPUTE, DRAM, DMA, ROM, WEIGHT, PSUM, STORE, IFMAP, CONTROL, DRAIN) = range(len(CAUSES))
LONG_AGO = -(1 << 60)


class _Step(NamedTuple):
    """What a step did: its length, the times it left (as offsets to its end), and the cycles by cause."""

    length: int
    core: tuple[int, ...]
    dram: int | None  # None: no transfer
    visit: tuple[int, ...]
    spent: list[int]


class Clock:
    """Times in cycles from the start of the layer, and cycles spent by cause.

    Attributes:
        memory: whether DRAM and DMA count; without, weights and ifmap are there in time.
        end: first cycle after the last slot.
        written, written_before: last row of the last two weight jobs.
        free, free_before: from which the WRF bank of the last chunk, and the other one, may be loaded.
        last_token, last_write: of the last chunk: its last token, and its psum cycles of writing.
        dram: from which DRAM can read.
        sent, sent_before: when the finished rows of the last two output groups have left.
        tile_there, visit_end: when the last ifmap tile is in L1, and the end before it came into use.
        next_map_there: when DRAM has brought the map of the tile after that one.
    """

    def __init__(self, found: Handover | None, maps_from_dram: bool) -> None:
        self.memory = found is not None
        self.maps_from_dram = maps_from_dram
        found = found or Handover()
        self.end = CONTROL_CYCLES if self.memory else 0
        self.spent = [0] * len(CAUSES)
        self.spent[CONTROL] = self.end
        self.written, self.written_before = found.written, found.written_before
        self.free, self.free_before = found.bank, found.bank_before
        self.last_token = self.last_write = 0
        self.dram = found.dram
        self.sent = self.sent_before = self.end
        self.tile_there = self.visit_end = self.next_map_there = LONG_AGO
        self._known: dict[tuple, _Step] = {}

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

    def wait(self, begin: int, until: int, cause: int) -> int:
        """The later of two times; what lies between is spent on a cause."""
        if until <= begin:
            return begin
        self.spent[cause] += until - begin
        return until

    # ---- repetition

    def once(self, key: tuple, visits: bool, body: Callable[[], None]) -> None:
        """Runs `body`, or advances by what it did when it last began in the same relative state.

        Args:
            key: equal for equal bodies.
            visits: ifmap tiles are brought in on the way.
        """
        key = (key, self._core(visits), self._visit() if visits else None)
        step = self._known.get(key)
        if step is not None:
            self._apply(step, visits)
            return
        start, dram, before = self.end, self.dram, self.spent.copy()
        body()
        spent = [new - old for old, new in zip(before, self.spent, strict=True)]
        moved = None if self.dram == dram else self.dram - self.end
        self._known[key] = _Step(self.end - start, self._core(visits), moved, self._visit(), spent)

    def repeat(self, same: range, period: int, visits: bool, step: Callable[[int], None]) -> None:
        """Runs `step(n)` for every n of `same`, of which those `period` apart are of one kind."""
        n = same.start
        seen: dict[tuple, tuple[int, int, int, list[int]]] = {}  # by state: when, end, dram and spent
        while n < same.stop:
            if n + period >= same.stop:  # too few to skip any
                for m in range(n, same.stop):
                    step(m)
                return
            state = (self._core(visits), self._visit() if visits else None)
            if state in seen:
                first, end, dram, spent = seen.pop(state)
                times = (same.stop - n) // (n - first)
                n += times * (n - first)
                self._skip(times, self.end - end, spent, visits, transfers=self.dram != dram)
                seen.clear()
                continue
            seen[state] = n, self.end, self.dram, self.spent.copy()
            for m in range(n, n + period):
                step(m)
            n += period

    def _core(self, visits: bool) -> tuple[int, ...]:
        """Of the times, what matters later, as offsets to the end."""
        end = self.end
        lowest = self.written_before + 1  # before which no transfer starts
        if visits and self.maps_from_dram:
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

    def _visit(self) -> tuple[int, ...]:
        if not self.memory:
            return ()
        # A map that came before the current tile was there holds nothing up any more.
        end, there = self.end, self.tile_there
        return (there - end, self.visit_end - end, max(self.next_map_there, there) - end)

    def _apply(self, step: _Step, visits: bool) -> None:
        core = step.core
        self.end += step.length
        end = self.end
        self.written, self.written_before = core[0] + end, core[1] + end
        self.free, self.free_before = core[2] + end, core[3] + end
        self.last_token, self.last_write = core[4] + end, core[5]
        self.sent, self.sent_before = core[7] + end, core[8] + end
        if step.dram is not None:
            self.dram = step.dram + end
        if visits and self.memory:
            there, visit_end, map_there = step.visit
            self.tile_there, self.visit_end, self.next_map_there = (
                there + end,
                visit_end + end,
                map_there + end,
            )
        self.spent = [old + new for old, new in zip(self.spent, step.spent, strict=True)]

    def _skip(self, times: int, length: int, before: list[int], visits: bool, transfers: bool) -> None:
        """Goes on by `times` rounds as long as the last one, which began with `before` spent."""
        cycles = times * length
        self.end += cycles
        self.written, self.written_before = self.written + cycles, self.written_before + cycles
        self.free, self.free_before = self.free + cycles, self.free_before + cycles
        self.last_token += cycles
        self.sent, self.sent_before = self.sent + cycles, self.sent_before + cycles
        if transfers:
            self.dram += cycles
        if visits and self.memory:
            self.tile_there, self.visit_end = self.tile_there + cycles, self.visit_end + cycles
            self.next_map_there += cycles
        self.spent = [new + times * (new - old) for old, new in zip(before, self.spent, strict=True)]
