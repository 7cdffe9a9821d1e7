"""Vectors for the kernel rows of a chunk, and for where they lie in the ARF."""

from __future__ import annotations

from functools import partial

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number
from rtl.ifmap.arf_window import ArfWindow
from rtl.ifmap.segments import FIRST, LAST, MIDDLE, Segments

_WORDS, _EXTENT_BITS, _KERNEL_BITS = 16, 5, 4


def _segments(rng: np.random.Generator) -> Vectors:
    for _ in range(500):
        kernel = 1 + below(rng, 15) if chance(rng, 0.5) else 1 + below(rng, 4)
        kx, b = below(rng, kernel), extent(rng, _WORDS)
        d = 1 + below(rng, _WORDS // b)
        cuts = kernel_rows(kx, kernel, d)
        yield {"load": 1, "b": b, "d": d, "kx": kx, "kernel_x": kernel}, {}
        n, restart = 0, 1
        # Some chunks are given up before their end.
        end = len(cuts) if chance(rng, 0.8) else 1 + below(rng, len(cuts))
        while n < end:
            kind, column, positions = cuts[n]
            final, step = n == len(cuts) - 1, chance(rng, 0.7)
            yield (
                {"restart": restart, "step": step, "b": number(rng, 5), "d": number(rng, 5)},
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
            if chance(rng, 0.1):  # the same chunk's next pixel
                n, restart = 0, 1


def kernel_rows(kx: int, kernel_x: int, positions: int) -> list[tuple[int, int, int]]:
    """Kind, first column and positions of each kernel row."""
    rows = [n // kernel_x for n in range(kx, kx + positions)]
    cuts = []
    for row in range(rows[-1] + 1):
        kind = FIRST if row == 0 else LAST if row == rows[-1] else MIDDLE
        cuts.append((kind, 0 if row else kx, rows.count(row)))
    return cuts


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


SUITES = (
    VectorSuite(
        "segments",
        lambda: Segments(words=_WORDS, extent_bits=_EXTENT_BITS, kernel_bits=_KERNEL_BITS),
        _segments,
        view="""
    legal = !load || kx < kernel_x && b != 0 && d != 0 && {5'b0, b} * d <= 10'd16;""",
    ),
    VectorSuite(
        "arf_window",
        lambda: ArfWindow(words=12, lag=0),
        partial(_arf_window, 12),
        view="""
    legal = store_segment != 3 && read_segment != 3;""",
    ),
)
