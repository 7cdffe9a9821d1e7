"""Ifmap and residual tiles: what a visit brings into L1, and where chunks and stripes find it there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl import packets
from rtl.compiler.memory import Map
from rtl.compiler.packing import pack
from rtl.geometry import Geometry
from sim.systolic.program import Program


@dataclass(frozen=True)
class Tile:
    """Some channels of some lines of a map, in L1.

    Attributes:
        line, lines: of the map.
        first: channel in byte 0 of a pixel.
        pitch: words of a pixel.
        to: word of L1 of the first pixel.
        whole: it was there before: nothing is brought.
    """

    map: Map
    line: int
    lines: int
    first: int
    pitch: int
    to: int
    whole: bool = False

    def transfer(self, prefix: str) -> dict[str, int]:
        """Fields of the packet that bring it."""
        pixels = self.lines * self.map.shape[2]
        values = {
            "address": self.map.at(self.line, self.first),
            "beats": self.pitch,
            "lines": pixels,
            "line_stride": 8 * self.map.pitch,
            "planes": 1,
            "to": self.to,
        }
        if self.pitch == self.map.pitch:
            values |= {"beats": pixels * self.pitch, "lines": 1, "line_stride": 0}
        if self.whole or not pixels:
            values = {"to": self.to}
        return {f"{prefix}_{name}": value for name, value in values.items()}


@dataclass(frozen=True)
class Visit:
    ifmap: Tile
    residual: Tile | None


def visits(program: Program, ifmap: Map, residual: Map | None) -> list[Visit]:
    """Tiles of every visit, in execution order."""
    schedule, shape = program.schedule, program.schedule.shape
    acc = schedule.accelerator
    geometry, buffers = Geometry(acc), schedule.tiling.ifmap_buffers
    found = []
    for number in range(len(program.visits)):
        chunks = program.chunks[program.chunks["visit"] == number]
        first = int(chunks["tile"][0])
        buffer = number % buffers
        if schedule.source == "l1":
            tile = Tile(ifmap, 0, shape.size[0], 0, ifmap.pitch, 0, whole=True)
        else:
            ends = chunks["channel"] + (chunks["B"] - 1) * acc.rows + chunks["rows_tail"]
            tile = _tile(
                ifmap,
                max(0, first * shape.stride[0] - shape.padding[0]),
                schedule.tile_ifmap_lines(first // schedule.tile_rows),
                int(chunks["channel"].min()),
                int(ends.max()),
                buffer * (geometry.map_words[0] // buffers),
            )
        last = chunks[chunks["last"] == 1]
        added = None
        if residual is not None and len(last):
            ends = last["output"] + (last["A"] - 1) * acc.columns + last["columns_tail"]
            added = _tile(
                residual,
                first,
                int(last["pixels"][0]) // shape.out_w,
                int(last["output"].min()),
                int(ends.max()),
                buffer * (geometry.residual_words // buffers),
            )
        found.append(Visit(tile, added))
    return found


def _tile(source: Map, line: int, lines: int, low: int, high: int, to: int) -> Tile:
    """The words that hold channels low..high-1."""
    return Tile(source, line, lines, low - low % 8, -(-high // 8) - low // 8, to)


def tiles(name: str, program: Program, found: list[Visit]) -> list[np.ndarray]:
    """Packets of the tile mover."""
    schedule = program.schedule
    layout = packets.tile(Geometry(schedule.accelerator))
    return [
        pack(
            name,
            "tile",
            layout,
            {
                "begins": number == 0,
                "wait": program.visits[number]["dram_bytes"] > 0,
                "buffers": schedule.tiling.ifmap_buffers,
            }
            | visit.ifmap.transfer("ifmap")
            | (visit.residual.transfer("residual") if visit.residual else {}),
        )
        for number, visit in enumerate(found)
    ]
