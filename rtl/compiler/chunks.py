"""Packets of the sequencer and the ifmap loader."""

from __future__ import annotations

import numpy as np

from rtl import packets
from rtl.compiler.lanes import check_lanes
from rtl.compiler.packing import of_chunk, pack
from rtl.compiler.tiles import Visit
from rtl.geometry import Geometry
from sim.errors import InputError
from sim.systolic.program import Program

_SAME = (
    *packets.EXTENTS,
    "rows",
    "rows_tail",
    "pixels",
    "width",
    "fetch_row",
    "fetch_in",
    "psum_read",
    "psum_write",
    "store",
    "fence",
    "first",
    "last",
)


def chunks(name: str, program: Program, visits: list[Visit], group: int, zero: int) -> list[np.ndarray]:
    """Packets of a layer that reads its ifmap, of zero point `zero`, in a map group."""
    schedule, shape, acc = program.schedule, program.schedule.shape, program.schedule.accelerator
    layout = packets.chunk(Geometry(acc))
    shared = {
        "serial": not schedule.overlap,
        "double": schedule.tiling.ofmap_buffers == 2,
        "reuse": schedule.reuses,
        "map": group,
        "zero": zero,
        "kernel_x": shape.kernel[1],
        "stride_y": shape.stride[0],
        "stride_x": shape.stride[1],
        "dilation_y": shape.dilation[0],
        "dilation_x": shape.dilation[1],
    }
    _check_psums(name, program)
    found, before = [], -1
    for number, chunk in enumerate(program.chunks):
        visit = int(chunk["visit"])
        tile = visits[visit].ifmap
        channel = int(chunk["channel"]) - tile.first
        for r in range(chunk["B"]):
            check_lanes(
                name,
                "channel",
                acc,
                channel + r * acc.rows,
                int(chunk["rows_tail"] if r == chunk["B"] - 1 else chunk["rows"]),
            )
        ky, kx = divmod(int(chunk["position"]), shape.kernel[1])
        found.append(
            pack(
                name,
                "chunk",
                layout,
                shared
                | of_chunk(chunk, _SAME)
                | {
                    "opens": visit != before,
                    "begins": number == 0,
                    "ends": number == len(program.chunks) - 1,
                    "base": tile.to,
                    "pitch": tile.pitch,
                    "line": tile.pitch * len(tile.columns),
                    "lines": len(tile.lines),
                    "line_pixels": len(tile.columns),
                    "channel": channel,
                    "ky": ky,
                    "kx": kx,
                    "y": int(chunk["tile"]) * shape.stride[0] - shape.padding[0] - tile.lines.start,
                    "x": int(chunk["left"]) * shape.stride[1] - shape.padding[1] - tile.columns.start,
                },
            )
        )
        before = visit
    return found


def _check_psums(name: str, program: Program) -> None:
    """Stored psums are rows of L, whatever the layer uses of them."""
    acc, chunks = program.schedule.accelerator, program.chunks
    stored = chunks[chunks["psum_write"] > 0]
    rows = int((stored["pixels"].astype(np.int64) * stored["A"]).max(initial=0))
    held = 8 * acc.psum_bytes // (acc.columns * acc.psum_store_bits)
    if rows > held:
        raise InputError(
            f"{name}: psum rows",
            rows,
            f"exceed the {held} of the psum group",
            "lower tile_rows or strip_columns, or raise l1_bytes",
        )
