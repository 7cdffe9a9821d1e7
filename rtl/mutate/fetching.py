"""Vectors for what fetches activations."""

from __future__ import annotations

import numpy as np

from rtl.mutate.suite import Vectors, VectorSuite
from rtl.mutate.words import below, chance, number
from rtl.segments import FIRST, LAST, MIDDLE, Segments

_WORDS, _EXTENT_BITS, _KERNEL_BITS = 16, 5, 4


def _segments(rng: np.random.Generator) -> Vectors:
    for _ in range(500):
        kernel = 1 + below(rng, 15) if chance(rng, 0.5) else 1 + below(rng, 4)
        kx, b = below(rng, kernel), 1 + below(rng, 4)
        d = 1 + below(rng, _WORDS // b)
        cuts: list[tuple[int, int]] = []  # column, positions
        left, column = d, kx
        while left:
            cuts.append((column, min(left, kernel - column)))
            left, column = left - cuts[-1][1], 0
        chunk = {"b": b, "d": d, "kx": kx, "kernel_x": kernel}
        n, restart = 0, 1
        # Some chunks are given up before their end.
        end = len(cuts) if chance(rng, 0.8) else 1 + below(rng, len(cuts))
        while n < end:
            column, positions = cuts[n]
            final, step = n == len(cuts) - 1, chance(rng, 0.7)
            yield (chunk | {"restart": restart, "step": step}, {
                "positions": positions, "start": column, "words": positions * b,
                "origin": b * sum(count for _, count in cuts[:n]), "final": final,
                "segment": FIRST if n == 0 else LAST if final else MIDDLE})
            n, restart = n + step, 0
        yield {"b": number(rng, 5), "d": number(rng, 5)}, {}


SUITES = (
    VectorSuite("segments", lambda: Segments(words=_WORDS, extent_bits=_EXTENT_BITS,
                                             kernel_bits=_KERNEL_BITS), _segments, view="""
    legal = kx < kernel_x && b != 0 && d != 0 && {5'b0, b} * d <= 10'd16;"""),
)
