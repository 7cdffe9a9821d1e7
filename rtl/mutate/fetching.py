"""Vectors for what fetches activations."""

from __future__ import annotations

from functools import partial

import numpy as np

from rtl import packets
from rtl.arf_window import ArfWindow
from rtl.geometry import Geometry
from rtl.mutate.suite import Vectors, VectorSuite
from rtl.mutate.words import below, chance, extent, number, packet
from rtl.segments import FIRST, LAST, MIDDLE, Segments
from rtl.vector_walk import VectorWalk
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
            yield (chunk | {"restart": restart, "step": step}, {
                "positions": positions, "start": column, "words": positions * b,
                "origin": b * sum(count for _, _, count in cuts[:n]), "final": final, "segment": kind})
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
    return [(kind, int(origin), length)
            for kind, origin, length in zip(kinds, origins[:-1], lengths, strict=True)]


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
                stores.append(({"store_segment": kind, "store_origin": origin, "store_words": length},
                               column + words * planes[column]))
            stores[-1][0]["store_end"] = 1
            window = columns[new:] + columns[:new]
            following.append(((kind, origin, length), [column + words * planes[column] for column in window]))
        reads = [({"read_segment": kind, "read_origin": origin, "read_words": length}, address,
                  address == window[-1])
                 for (kind, origin, length), window in shown for address in window]
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


def _vector_walk(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.chunk(Geometry(acc))
    words, exhausted = acc.arf_depth // 2, 1
    for _ in range(150):
        most = {name: (1 << layout[name].width) - 1 for name in (
            "kernel_x", "ky", "pixels", "lines", "pitch", "line", "dilation_x", "dilation_y")}
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
        channel = 4 * below(rng, 1 << layout["channel"].width - 2)
        values = {
            "b": b, "d": d, "kernel_x": kernel_x, "kx": kx, "ky": ky, "width": width, "pixels": pixels,
            "stride_y": stride_y, "stride_x": stride_x, "dilation_y": dilation_y, "dilation_x": dilation_x,
            "channel": channel, "reuse": chance(rng, 0.6)}
        cuts = _cuts(kx, kernel_x, d)
        pixel_vectors = []
        for pixel in range(pixels):
            row, column = divmod(pixel, width)
            full = int(column == 0 or not values["reuse"])
            vectors = []
            for n, (kind, start, positions) in enumerate(cuts):
                new = positions if full else min(positions, stride_x)
                origin = b * sum(count for _, _, count in cuts[:n])
                for position in range(start + positions - new, start + positions):
                    for group in range(b):
                        ends = position == start + positions - 1 and group == b - 1
                        vectors.append((
                            y0 + row * stride_y + (ky + n) * dilation_y,
                            x0 + column * stride_x + position * dilation_x, channel + group * acc.rows,
                            {"full": full, "segment": kind, "origin": origin, "words": b * positions},
                            ends, ends and n == len(cuts) - 1))
            pixel_vectors.append(vectors)
        # The tile ends anywhere, or next to one of the vectors.
        line, column = (near[below(rng, len(near))] for near in zip(
            *((vector[0], vector[1]) for vectors in pixel_vectors for vector in vectors), strict=True))
        lines, line_pixels = (
            below(rng, most["lines"] + 1) if chance(rng, 0.3)
            else min(most["lines"], max(0, place + below(rng, 3))) for place in (line, column))
        base, line_words = number(rng, 16), number(rng, layout["line"].width)
        pitch = 1 + below(rng, most["pitch"])
        chunk = packet(layout, rng, **values, y=y0, x=x0, lines=lines, line_pixels=line_pixels, base=base,
                       line=line_words, pitch=pitch)
        given_up = chance(rng, 0.1)
        takes = 1
        for number_of_pixel, vectors in enumerate(pixel_vectors):
            # From `takes` to `begins`, and from pixel to pixel.
            while chance(rng, 0.3):
                yield {"chunk": chunk, "takes": takes}, {"exhausted": exhausted}
                exhausted, takes = 0, 0
            begins = 1
            while vectors:
                y, x, byte, shown, segment_end, pixel_end = vectors[0]
                step = chance(rng, 0.8)
                inside = 0 <= y < lines and 0 <= x < line_pixels
                expected = shown | {"in_tile": inside, "segment_end": step and segment_end,
                                    "pixel_end": step and pixel_end, "exhausted": exhausted}
                if inside:
                    expected |= {"word": (base + y * line_words + x * pitch + byte // 8) % (1 << 16),
                                 "upper": byte >> 2 & 1}
                reset = int(given_up and number_of_pixel == pixels // 2)
                yield {"chunk": chunk, "takes": takes, "begins": begins, "step": step, "rst": reset}, expected
                takes, begins = 0, 0
                exhausted = int(step and pixel_end and number_of_pixel == pixels - 1)
                if reset:
                    break
                if step:
                    vectors.pop(0)
            if vectors:
                exhausted = 1
                break


_TINY = preset("ews-4")
SUITES = (
    VectorSuite("segments", lambda: Segments(words=_WORDS, extent_bits=_EXTENT_BITS,
                                             kernel_bits=_KERNEL_BITS), _segments, view="""
    legal = kx < kernel_x && b != 0 && d != 0 && {5'b0, b} * d <= 10'd16;"""),
    VectorSuite("arf_window", lambda: ArfWindow(words=12), partial(_arf_window, 12), view="""
    legal = store_segment != 3 && read_segment != 3;"""),
    VectorSuite("vector_walk", partial(VectorWalk, accelerator=_TINY), partial(_vector_walk, _TINY),
                view=None, small={"COUNT_BITS": 6, "PIXEL_BITS": 6, "OFFSET_BITS": 7, "COORDINATE_BITS": 11}),
)
