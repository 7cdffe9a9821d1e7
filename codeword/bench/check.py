"""`make bench-check`: the ratios of the benchmarks against bounds, which only a loss of speed by its kind exceeds.

Processors differ by a factor of two in such ratios, so a bound lies about two or three times above what one measured.
Every figure of the suite has one: an unknown figure fails like a slow one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codeword.bench.suite import Figure


@dataclass(frozen=True)
class Bound:
    """The largest ratio of processor seconds that passes, and what was measured when it was set."""

    limit: float
    measured: float


BOUNDS = {
    "resnet18-synthetic, values": Bound(5.4, measured=1.8),
    "resnet18-synthetic, registers": Bound(150, measured=50),
    "resnet50-synthetic, values": Bound(4.2, measured=1.4),
    "8 resnet20-fashion on ews-cms-16": Bound(90, measured=29),
    "estimate resnet18, afresh": Bound(15, measured=4.9),
    # A closed form whose loops grew with the tokens was measured at 307.
    "estimate wan2.1-14b-edit, afresh": Bound(18, measured=5.9),
    "20 designs x resnet50, afresh": Bound(97, measured=32),
    "estimate resnet18, compiled": Bound(1.1, measured=0.36),
    "20,000 x 128 masked assignments": Bound(0.15, measured=0.037),
}
"""By figure. Measured on an AMD EPYC with AVX-512, one thread, torch 2.13, idle: ResNet-18 took torch 0.026 s."""


def failures(figures: Sequence[Figure], bounds: Mapping[str, Bound] = BOUNDS) -> list[str]:
    """What is out of its bound, a line each: figure, ratio, bound."""
    found = {figure.what: figure for figure in figures}
    lines = [f"{what}: no such figure, bound {bounds[what].limit:g}" for what in bounds if what not in found]
    for what, figure in found.items():
        if what not in bounds:
            lines.append(f"{what}: no bound in codeword/bench/check.py")
        elif figure.ratio is None:
            lines.append(f"{what}: nothing to compare with, bound {bounds[what].limit:g}")
        elif figure.ratio > bounds[what].limit:
            lines.append(
                f"{what}: {figure.ratio:.3g} times {figure.against}, bound {bounds[what].limit:g}, "
                f"measured {bounds[what].measured:g}"
            )
    return lines
