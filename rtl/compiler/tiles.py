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
    """Some channels of some lines and columns of a map, in L1.

    Attributes:
        lines, columns: of the map.
        first: channel in byte 0 of a pixel.
        pitch: words of a pixel.
        to: word of L1 of the first pixel.
        whole: it was there before: nothing is brought.
    """

    map: Map
    lines: range
    columns: range
    first: int
    pitch: int
    to: int
    whole: bool = False

    def transfer(self, prefix: str) -> dict[str, int]:
        """Fields of the packet that bring it."""
        lines, columns = len(self.lines), len(self.columns)
        if self.whole or not lines * columns:
            return {f"{prefix}_to": self.to}
        if columns == self.map.shape[2]:  # its lines follow one another
            lines, columns = 1, lines * columns
        values = {
            "address": self.map.at(self.lines.start, self.first, self.columns.start),
            "beats": self.pitch,
            "lines": columns,
            "line_stride": 8 * self.map.pitch,
            "planes": lines,
            "plane_stride": (lines > 1) * 8 * self.map.pitch * self.map.shape[2],
            "to": self.to,
        }
        if self.pitch == self.map.pitch:
            values |= {
                "beats": columns * self.pitch,
                "lines": lines,
                "line_stride": values["plane_stride"],
                "planes": 1,
                "plane_stride": 0,
            }
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
        row, left = int(chunks["tile"][0]), int(chunks["left"][0])
        tile_number = left // schedule.tile_width * schedule.row_tiles + row // schedule.tile_rows
        lines, columns = schedule.tile_size(tile_number)
        buffer = number % buffers
        if schedule.source == "l1":
            everything = (range(size) for size in shape.size)
            tile = Tile(ifmap, *everything, 0, ifmap.pitch, 0, whole=True)
        else:
            ends = chunks["channel"] + (chunks["B"] - 1) * acc.rows + chunks["rows_tail"]
            tile = _tile(
                ifmap,
                *schedule.tile_ifmap(tile_number),
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
                range(row, row + lines),
                range(left, left + columns),
                int(last["output"].min()),
                int(ends.max()),
                buffer * (geometry.residual_words // buffers),
            )
        found.append(Visit(tile, added))
    return found


def _tile(source: Map, lines: range, columns: range, low: int, high: int, to: int) -> Tile:
    """The words that hold channels low..high-1."""
    return Tile(source, lines, columns, low - low % 8, -(-high // 8) - low // 8, to)


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
