"""Vectors for what fetches activations."""

from __future__ import annotations

from functools import partial
from itertools import count as count_up
from typing import NamedTuple

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, packet
from rtl import packets
from rtl.geometry import Geometry
from rtl.ifmap.arf_window import ArfWindow
from rtl.ifmap.ifmap_loader import IfmapLoader
from rtl.ifmap.segments import FIRST, LAST, MIDDLE, Segments
from rtl.ifmap.vector_walk import VectorWalk
from sim.accelerator import Accelerator, preset

_WORDS, _EXTENT_BITS, _KERNEL_BITS = 16, 5, 4


def _segments(rng: np.random.Generator) -> Vectors:
    for _ in range(500):
        kernel = 1 + below(rng, 15) if chance(rng, 0.5) else 1 + below(rng, 4)
        kx, b = below(rng, kernel), extent(rng, _WORDS)
        d = 1 + below(rng, _WORDS // b)
        cuts = _cuts(kx, kernel, d)
        chunk = {"b": b, "d": d, "kx": kx, "kernel_x": kernel}
        n, restart = 0, 1
        # Some chunks are given up before their end.
        end = len(cuts) if chance(rng, 0.8) else 1 + below(rng, len(cuts))
        while n < end:
            kind, column, positions = cuts[n]
            final, step = n == len(cuts) - 1, chance(rng, 0.7)
            yield (
                chunk | {"restart": restart, "step": step},
                {
                    "positions": positions,
                    "start": column,
                    "words": positions * b,
                    "origin": b * sum(count for _, _, count in cuts[:n]),
                    "final": final,
                    "segment": kind,
                },
            )
            n, restart = n + step, 0
        yield {"b": number(rng, 5), "d": number(rng, 5)}, {}


def _cuts(kx: int, kernel_x: int, positions: int) -> list[tuple[int, int, int]]:
    """Kind, first column and positions of each kernel row."""
    rows = [n // kernel_x for n in range(kx, kx + positions)]
    cuts = []
    for row in range(rows[-1] + 1):
        kind = FIRST if row == 0 else LAST if row == rows[-1] else MIDDLE
        cuts.append((kind, 0 if row else kx, rows.count(row)))
    return cuts


# ---- ARF


def _window_cuts(rng: np.random.Generator, words: int) -> list[tuple[int, int, int]]:
    """Kind, origin and length of the segments of a window: ends of any length, equal ones between."""
    lengths = [1 + below(rng, words)]
    if lengths[0] < words and chance(rng, 0.8):
        inner = 1 + below(rng, words - lengths[0])
        lengths += [inner] * below(rng, (words - lengths[0]) // inner + 1)
        if len(lengths) > 1:
            lengths[-1] = 1 + below(rng, inner)
    origins = np.cumsum([0, *lengths])
    kinds = [FIRST, *[MIDDLE] * (len(lengths) - 2), LAST][: len(lengths)]
    return [
        (kind, int(origin), length) for kind, origin, length in zip(kinds, origins[:-1], lengths, strict=True)
    ]


def _arf_window(words: int, rng: np.random.Generator) -> Vectors:
    planes = [0] * words  # in which a column was written last
    shown: list[tuple[tuple[int, int, int], list[int]]] = []  # segments of the window that is read, addresses
    for n in range(300):
        # A window slides, or all of it is new, of the same chunk or another.
        full = not shown or n % 5 == 0 or chance(rng, 0.15)
        cuts = [cut for cut, _ in shown]
        if not cuts or (full and chance(rng, 0.5)):
            cuts = _window_cuts(rng, words)
        stores, following = [], []
        news = [1 + below(rng, words) for _ in range(3)]
        for place, (kind, origin, length) in enumerate(cuts):
            old = [] if full else [address % words for address in shown[place][1]]
            columns = old or list(range(origin, origin + length))
            new = length if full else min(news[kind], length)
            for column in columns[:new]:
                planes[column] ^= 1
                stores.append(
                    (
                        {"store_segment": kind, "store_origin": origin, "store_words": length},
                        column + words * planes[column],
                    )
                )
            stores[-1][0]["store_end"] = 1
            window = columns[new:] + columns[:new]
            following.append(((kind, origin, length), [column + words * planes[column] for column in window]))
        reads = [
            (
                {"read_segment": kind, "read_origin": origin, "read_words": length},
                address,
                address == window[-1],
            )
            for (kind, origin, length), window in shown
            for address in window
        ]
        first, slow = 1, chance(rng, 0.3)
        given_up = chance(rng, 0.04)
        while stores or reads or first:
            inputs: dict[str, int] = {"starts": int(first and n > 0), "full": int(full)}
            expected: dict[str, int] = {}
            if stores and not chance(rng, 0.6 if slow else 0.1):
                with_store, expected["store_address"] = stores.pop(0)
                inputs |= with_store | {"store": 1}
            else:
                inputs |= {"store_end": chance(rng, 0.5), "full": chance(rng, 0.5)}
            if reads and not chance(rng, 0.4):
                with_read, expected["read_address"], expected["read_end"] = reads.pop(0)
                inputs |= with_read | {"read": 1}
            yield inputs, expected
            first = 0
        shown = following
        if given_up:
            yield {"rst": 1}, {}
            planes, shown = [0] * words, []


# ---- L1


class _Vector(NamedTuple):
    """One vector of a pixel's window: where it lies if it is in the tile, whether it is fetched anew."""

    fetched: bool
    inside: bool
    word: int
    upper: int
    segment: dict[str, int]
    segment_end: bool
    pixel_end: bool


def _chunk(acc: Accelerator, rng: np.random.Generator, **flags: int) -> tuple[int, list[list[_Vector]]]:
    """A packet, and the windows of its pixels in order."""
    layout = packets.chunk(Geometry(acc))
    most = {
        name: (1 << layout[name].width) - 1
        for name in ("kernel_x", "ky", "pixels", "lines", "pitch", "dilation_x", "dilation_y")
    }
    words = acc.arf_depth // 2
    b = extent(rng, words)
    d = extent(rng, words // b)
    kernel_x = extent(rng, most["kernel_x"])
    kx, ky = below(rng, kernel_x), below(rng, most["ky"] // 2) if chance(rng, 0.3) else below(rng, 3)
    reach = min(most["pixels"], max(1, 250 // (b * d)))
    width = extent(rng, reach)
    pixels = width * extent(rng, reach // width)
    half = 1 << layout["y"].width - 1
    y0, x0 = (below(rng, 2 * half) - half if chance(rng, 0.3) else below(rng, 5) - 4 for _ in range(2))
    stride_y, stride_x = (extent(rng, 15) for _ in range(2))
    dilation_y, dilation_x = (extent(rng, most[f"dilation_{axis}"]) for axis in "yx")
    channel, reuse = 4 * below(rng, 1 << layout["channel"].width - 2), chance(rng, 0.6)
    if reuse:
        dilation_x = 1
    base, line_words = number(rng, layout["base"].width), number(rng, layout["line"].width)
    pitch = 1 + below(rng, most["pitch"])
    cuts = _cuts(kx, kernel_x, d)
    lines_read = [
        y0 + row * stride_y + (ky + n) * dilation_y
        for row in range(pixels // width)
        for n in range(len(cuts))
    ]
    columns_read = [
        x0 + column * stride_x + (start + n) * dilation_x
        for column in range(width)
        for _, start, positions in cuts
        for n in range(positions)
    ]
    # The tile ends anywhere, or next to what is read.
    lines, line_pixels = (
        below(rng, most["lines"] + 1)
        if chance(rng, 0.3)
        else min(most["lines"], max(0, near[below(rng, len(near))] + below(rng, 3)))
        for near in (lines_read, columns_read)
    )
    windows = []
    for row, column in np.ndindex(pixels // width, width):
        full = int(column == 0 or not reuse)
        window = []
        for n, (kind, start, positions) in enumerate(cuts):
            segment = {
                "full": full,
                "segment": kind,
                "words": b * positions,
                "origin": b * sum(count for _, _, count in cuts[:n]),
            }
            for position, group in np.ndindex(positions, b):
                y = y0 + row * stride_y + (ky + n) * dilation_y
                x = x0 + column * stride_x + (start + position) * dilation_x
                byte = channel + group * acc.rows
                ends = position == positions - 1 and group == b - 1
                window.append(
                    _Vector(
                        bool(full or position >= positions - stride_x),
                        0 <= y < lines and 0 <= x < line_pixels,
                        (base + y * line_words + x * pitch + byte // 8) % (1 << layout["base"].width),
                        byte >> 2 & 1,
                        segment,
                        ends,
                        ends and n == len(cuts) - 1,
                    )
                )
        windows.append(window)
    return packet(
        layout,
        rng,
        b=b,
        d=d,
        kernel_x=kernel_x,
        kx=kx,
        ky=ky,
        width=width,
        pixels=pixels,
        stride_y=stride_y,
        stride_x=stride_x,
        dilation_y=dilation_y,
        dilation_x=dilation_x,
        channel=channel,
        reuse=reuse,
        y=y0,
        x=x0,
        lines=lines,
        line_pixels=line_pixels,
        base=base,
        line=line_words,
        pitch=pitch,
        **flags,
    ), windows


def _vector_walk(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    exhausted = 1
    for _ in range(150):
        chunk, windows = _chunk(acc, rng)
        given_up = below(rng, len(windows)) if chance(rng, 0.1) else -1
        takes = 1
        for pixel, window in enumerate(windows):
            # From `takes` to `begins`, and from pixel to pixel.
            while chance(rng, 0.3):
                yield {"chunk": chunk, "takes": takes}, {"exhausted": exhausted}
                exhausted, takes = 0, 0
            vectors = [vector for vector in window if vector.fetched]
            begins, reset = 1, 0
            while vectors and not reset:
                vector, step = vectors[0], chance(rng, 0.8)
                expected = vector.segment | {
                    "in_tile": vector.inside,
                    "segment_end": step and vector.segment_end,
                    "pixel_end": step and vector.pixel_end,
                    "exhausted": exhausted,
                }
                if vector.inside:
                    expected |= {"word": vector.word, "upper": vector.upper}
                reset = int(pixel == given_up)
                yield {"chunk": chunk, "takes": takes, "begins": begins, "step": step, "rst": reset}, expected
                takes, begins = 0, 0
                exhausted = int(step and vector.pixel_end and pixel == len(windows) - 1)
                vectors = vectors[step:]
            if reset:
                exhausted = 1
                break


def _ifmap_loader(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    word_bits, lanes = 64 * acc.map_banks, 8 * acc.rows
    contents: dict[tuple[int, int], int] = {}
    tiles = 0  # brought, whose visits have not begun
    activation: int | None = None  # requested last
    for layer in range(60):
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
            chunks.append((flags, *_chunk(acc, rng, **flags)))
        eager = (0.9, 0.6, 0.3)[layer % 3]
        given_up = below(rng, 300) if chance(rng, 0.1) else -1
        at, head_there = -1, False  # chunk that is fetched from; the head of the queue is the one behind it
        fetch: list[_Vector] = []
        begun = waits = seeks = False  # the layer; for a first pixel's tile; for the next chunk
        pixel = 0  # the next one to be fetched
        ready = False
        fetched: list[int] = []  # activations of the pixel that is or was fetched
        given: list[int] = []  # those to be requested
        arrives: int | None = None
        for cycle in count_up():
            head_there = head_there or (at + 1 < count and chance(rng, eager) == 1)
            load = int(not begun and head_there and chance(rng, 0.5))
            starts = int(ready and not given and chance(rng, eager))
            allowed, tile_there = chance(rng, eager), int(tiles < 3 and chance(rng, eager / 4))
            exhausted = at >= 0 and pixel == len(chunks[at][2])
            expected: dict[str, int] = {
                "ready": ready,
                "read_enable": 0,
                "tile_missing": int(waits and chunks[at][0]["opens"] and tiles == 0),
            }
            word = chunks[at + 1][1] if head_there else number(rng, packets.chunk(Geometry(acc)).size)
            inputs = {
                "chunk_valid": head_there,
                "chunk": word,
                "load": load,
                "allowed": allowed,
                "starts": starts,
                "tile_there": tile_there,
                "read_data": number(rng, word_bits) if arrives is None else arrives,
            }
            if starts:
                given, ready = fetched, False
                seeks = exhausted and at < count - 1
            if load or (seeks and head_there):
                at, pixel, begun, head_there, waits, seeks = at + 1, 0, True, False, True, False
                exhausted = False
            first = False
            if waits and (not chunks[at][0]["opens"] or tiles) and (allowed or not chunks[at][0]["begins"]):
                waits, first = False, True
                tiles -= chunks[at][0]["opens"]
            tiles += tile_there
            if first or (starts and not exhausted and not waits and not seeks and at >= 0 and pixel):
                flags, _, windows = chunks[at]
                fetch = [vector for vector in windows[pixel] if vector.fetched]
                fetched = [
                    _activation(contents, rng, flags, vector, word_bits, lanes) for vector in windows[pixel]
                ]
                pixel += 1
            arrives = None
            if fetch:
                vector = fetch.pop(0)
                if vector.inside:
                    place = chunks[at][0]["map"], vector.word
                    arrives = contents[place]
                    expected |= {"read_enable": 1, "read_map": place[0], "read_word": place[1]}
                ready = not fetch
            if activation is not None:
                expected["activation"] = activation
            if given and chance(rng, 0.8):
                inputs["request"] = 1
                activation, given = given[0], given[1:]
            reset = int(cycle == given_up)
            yield inputs | {"rst": reset}, expected
            if reset:
                tiles, activation = 0, None
                break
            if at == count - 1 and pixel == len(chunks[at][2]) and not ready and not fetch and not given:
                break


def _activation(
    contents: dict[tuple[int, int], int],
    rng: np.random.Generator,
    flags: dict[str, int],
    vector: _Vector,
    word_bits: int,
    lanes: int,
) -> int:
    """What the array gets of a vector; the map is drawn where it is read."""
    if not vector.inside:
        return sum(flags["zero"] << n for n in range(0, lanes, 8))
    data = contents.setdefault((flags["map"], vector.word), number(rng, word_bits))
    return data >> 32 * vector.upper & (1 << lanes) - 1


_TINY = preset("ews-4")
_SHORT = {"COUNT_BITS": 6, "PIXEL_BITS": 6, "OFFSET_BITS": 7, "COORDINATE_BITS": 11}
SUITES = (
    VectorSuite(
        "segments",
        lambda: Segments(words=_WORDS, extent_bits=_EXTENT_BITS, kernel_bits=_KERNEL_BITS),
        _segments,
        view="""
    legal = kx < kernel_x && b != 0 && d != 0 && {5'b0, b} * d <= 10'd16;""",
    ),
    VectorSuite(
        "arf_window",
        lambda: ArfWindow(words=12),
        partial(_arf_window, 12),
        view="""
    legal = store_segment != 3 && read_segment != 3;""",
    ),
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
