"""Random chunks, and the activation vectors of their pixels' windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from amaranth.lib.data import StructLayout

from evidence.mutation.segments import kernel_rows
from evidence.mutation.words import below, chance, extent, number, packet
from rtl import packets
from rtl.geometry import Geometry
from sim.accelerator import Accelerator


class Vector(NamedTuple):
    """One vector of a pixel's window: where it lies if it is in the tile, whether it is fetched anew."""

    fetched: bool
    inside: bool
    word: int
    upper: int
    segment: dict[str, int]
    segment_end: bool
    pixel_end: bool


def chunk(acc: Accelerator, rng: np.random.Generator, **flags: int) -> tuple[int, list[list[Vector]]]:
    """A packet, and the windows of its pixels in order."""
    layout = packets.chunk(Geometry(acc))
    f = _fields(acc, layout, rng)
    cuts = kernel_rows(f["kx"], f["kernel_x"], f["d"])
    f |= _tile_end(f, cuts, (1 << layout["lines"].width) - 1, rng)
    f |= {"fetch_row": f["b"] * f["d"], "fetch_in": f["b"] * _fetched(f, cuts)}
    words = 1 << layout["base"].width
    windows = [
        _window(f, cuts, row, column, acc.rows, words)
        for row, column in np.ndindex(f["pixels"] // f["width"], f["width"])
    ]
    return packet(layout, rng, **f, **flags), windows


def _fetched(f: dict[str, int], cuts: list[tuple[int, int, int]]) -> int:
    """Kernel positions that a pixel behind the first one of a row fetches."""
    return sum(min(f["stride_x"], count) if f["reuse"] else count for _, _, count in cuts)


def _fields(acc: Accelerator, layout: StructLayout, rng: np.random.Generator) -> dict[str, int]:
    """All but how far the tile reaches."""
    names = ("kernel_x", "ky", "pixels", "pitch", "dilation_x", "dilation_y", "stride_x", "stride_y")
    most = {name: (1 << layout[name].width) - 1 for name in names}
    words = acc.arf_depth // 2
    b = extent(rng, words)
    d = extent(rng, words // b)
    kernel_x = extent(rng, most["kernel_x"])
    kx, ky = below(rng, kernel_x), below(rng, most["ky"] // 2) if chance(rng, 0.3) else below(rng, 3)
    reach = min(most["pixels"], max(1, 250 // (b * d)))
    width = extent(rng, reach)
    pixels = width * extent(rng, reach // width)
    half = 1 << layout["y"].width - 1
    y, x = (below(rng, 2 * half) - half if chance(rng, 0.3) else below(rng, 5) - 4 for _ in range(2))
    stride_y, stride_x = (extent(rng, most[f"stride_{axis}"]) for axis in "yx")
    dilation_y, dilation_x = (extent(rng, most[f"dilation_{axis}"]) for axis in "yx")
    channel, reuse = 4 * below(rng, 1 << layout["channel"].width - 2), chance(rng, 0.6)
    base, line = number(rng, layout["base"].width), number(rng, layout["line"].width)
    return {
        "b": b,
        "d": d,
        "kernel_x": kernel_x,
        "kx": kx,
        "ky": ky,
        "width": width,
        "pixels": pixels,
        "stride_y": stride_y,
        "stride_x": stride_x,
        "dilation_y": dilation_y,
        "dilation_x": 1 if reuse else dilation_x,
        "channel": channel,
        "reuse": reuse,
        "y": y,
        "x": x,
        "base": base,
        "line": line,
        "pitch": 1 + below(rng, most["pitch"]),
    }


def _tile_end(
    f: dict[str, int], cuts: list[tuple[int, int, int]], most: int, rng: np.random.Generator
) -> dict[str, int]:
    """The tile ends anywhere, or next to what is read."""
    read = {
        "lines": [
            f["y"] + row * f["stride_y"] + (f["ky"] + n) * f["dilation_y"]
            for row in range(f["pixels"] // f["width"])
            for n in range(len(cuts))
        ],
        "line_pixels": [
            f["x"] + column * f["stride_x"] + (start + n) * f["dilation_x"]
            for column in range(f["width"])
            for _, start, positions in cuts
            for n in range(positions)
        ],
    }
    return {
        name: below(rng, most + 1)
        if chance(rng, 0.3)
        else min(most, max(0, near[below(rng, len(near))] + below(rng, 3)))
        for name, near in read.items()
    }


def _window(
    f: dict[str, int], cuts: list[tuple[int, int, int]], row: int, column: int, rows: int, words: int
) -> list[Vector]:
    """Vectors of `rows` channels of one pixel, in the order in which tokens use them; L1 has `words`."""
    full = int(column == 0 or not f["reuse"])
    window = []
    for n, (kind, start, positions) in enumerate(cuts):
        segment = {
            "full": full,
            "segment": kind,
            "words": f["b"] * positions,
            "origin": f["b"] * sum(count for _, _, count in cuts[:n]),
        }
        for position, group in np.ndindex(positions, f["b"]):
            y = f["y"] + row * f["stride_y"] + (f["ky"] + n) * f["dilation_y"]
            x = f["x"] + column * f["stride_x"] + (start + position) * f["dilation_x"]
            byte = f["channel"] + group * rows
            ends = position == positions - 1 and group == f["b"] - 1
            window.append(
                Vector(
                    bool(full or position >= positions - f["stride_x"]),
                    0 <= y < f["lines"] and 0 <= x < f["line_pixels"],
                    (f["base"] + y * f["line"] + x * f["pitch"] + byte // 8) % words,
                    byte >> 2 & 1,
                    segment,
                    ends,
                    ends and n == len(cuts) - 1,
                )
            )
    return window
