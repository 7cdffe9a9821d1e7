"""The ifmap tiles that the closed form brings into L1, in the order of the loops (docs/timing.md section 7)."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from sim.shapes import WORD, words
from sim.systolic.schedule import Schedule


class Visit(NamedTuple):
    """An ifmap tile to bring in: cycles of its DMA descriptors, and bytes from DRAM."""

    dma: int
    dram_bytes: int


class Visits:
    """The visits of a layer by their place: part, step i over output groups, tile, step j over channel groups."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._trips_i, self._trips_j, _ = schedule.trips
        self._again = schedule.ifmap_sweeps > 1
        self._known: dict[tuple, Visit] = {}

    def at(self, part: int, i: int, tile: int, j: int) -> Visit:
        """The tile there; equal ones are computed once."""
        schedule = self._schedule
        i = i if self._again else 0
        j = j if schedule.split_channels else 0
        key = (
            part == schedule.parts - 1,
            i == self._trips_i - 1,
            tile,
            j == self._trips_j - 1,
            schedule.tiling.phase(part, i),
            j * schedule.tiling.tile_channels % WORD,
        )
        if key not in self._known:
            self._known[key] = _visit(schedule, part, i, tile, j)
        return self._known[key]

    def after(self, part: int, i: int, tile: int, j: int) -> Visit | None:
        """The tile that follows; None at the end of the layer."""
        schedule = self._schedule
        if schedule.split_channels and j + 1 < self._trips_j:
            return self.at(part, i, tile, j + 1)
        if not schedule.outputs_outer and schedule.split_channels and i + 1 < self._trips_i:
            return self.at(part, i + 1, tile, 0)
        if tile + 1 < schedule.tiles:
            return self.at(part, i if schedule.outputs_outer else 0, tile + 1, 0)
        if schedule.outputs_outer and self._again and i + 1 < self._trips_i:
            return self.at(part, i + 1, 0, 0)
        if part + 1 < schedule.parts:
            return self.at(part + 1, 0, 0, 0)
        return None


def _visit(schedule: Schedule, part: int, i: int, tile: int, j: int) -> Visit:
    """The ifmap tile of one step j, brought in for output group i where it comes again for each."""
    acc, layer = schedule.accelerator, schedule.shape
    channels, outputs = schedule.part_of(part)
    lines, columns = schedule.tile_ifmap(tile)
    low = j * schedule.tiling.tile_channels if schedule.split_channels else 0
    line = (
        WORD
        * len(columns)
        * words(part * schedule.channels + low, min(schedule.tiling.tile_channels, channels - low))
    )
    residual = 0
    if layer.residual and (j == schedule.trips[1] - 1 or not schedule.split_channels):
        low = i * schedule.tiling.tile_outputs if schedule.ifmap_sweeps > 1 else 0
        residual = (
            WORD
            * prod(schedule.tile_size(tile))
            * words(part * schedule.outputs + low, min(schedule.tiling.tile_outputs, outputs - low))
        )
    dma = 0
    for size in (len(lines) * line * (schedule.source != "l1"), residual):
        if size:
            beats = -(-size * 8 // acc.dma_bits)
            dma += acc.dma_setup + acc.l2_latency + beats + (-(-beats // 16) - 1) * acc.dma_burst_gap
    from_dram = schedule.tile_dram(tile, len(lines) * line) + residual
    return Visit(dma, from_dram if schedule.source == "dram" else 0)
