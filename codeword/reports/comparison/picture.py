"""Accuracy against bits and against energy: a method has one shape and colour in every panel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codeword.reports.machines import family

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "float": "#222222",
    "vq": "#4477AA",
    "vim-vq": "#66CCEE",
    "mvq": "#EE6677",
    "ssvq": "#228833",
    "vq4all": "#AA3377",
}
"""Of a method, by its family; the colour-blind tell them apart: Paul Tol's bright scheme (SRON/EPS/TN/09-002)."""
MARKERS = "*os^vDPX<>"
"""Of a method, by what its name says beyond the family, such as 1.5 bits."""
APART = 6.0
"""Points (1/72 inch) between marks of equal cost."""


@dataclass(frozen=True)
class Point:
    """A method on a network.

    Attributes:
        accuracies: percent, by seed.
        bits: a compressed weight; None for float.
        energy_uj: of one image; None where nobody priced it.
    """

    network: str
    method: str
    accuracies: tuple[float, ...]
    bits: float | None
    energy_uj: float | None

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)


def encodings(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Marker and colour of each method: equal colours are of one family, equal markers of one variant."""
    kinds = {method: family(method) for method in methods}
    variants = list(dict.fromkeys(method.removeprefix(kind) for method, kind in kinds.items()))
    return {
        method: (MARKERS[variants.index(method.removeprefix(kind))], COLOURS[kind])
        for method, kind in kinds.items()
    }


def picture(points: Sequence[Point], path: Path) -> None:
    """Writes a PNG: a line of two panels a network, one legend for all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    networks = list(dict.fromkeys(point.network for point in points))
    shown = encodings(point.method for point in points)
    figure = Figure(figsize=(10, 3.6 * len(networks) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    for line, network in zip(
        figure.subplots(len(networks), 2, squeeze=False, sharey="row"), networks, strict=True
    ):
        chosen = [point for point in points if point.network == network]
        _panel(line[0], [(point.bits, point) for point in chosen if point.bits is not None], shown)
        _panel(line[1], [(point.energy_uj, point) for point in chosen if point.energy_uj is not None], shown)
        line[0].set_xlabel("bits a weight")
        line[1].set_xlabel("energy of one image, µJ, mvq40, logarithmic")
        line[1].set_xscale("log")
        line[1].xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        line[1].set_xticks([tick for tick in (2, 3, 4, 5, 7, 10, 15, 20, 30) if _within(tick, chosen)])
        line[1].xaxis.set_minor_formatter(NullFormatter())
        line[0].set_ylabel("accuracy, %")
        line[0].set_title(network, loc="left")
    figure.legend(
        [
            Line2D([], [], linestyle="none", marker=marker, color=colour, label=method)
            for method, (marker, colour) in shown.items()
        ],
        list(shown),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=9,
        title="mean of the seeds; bar: from the worst to the best",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _within(tick: float, chosen: Sequence[Point]) -> bool:
    places = [point.energy_uj for point in chosen if point.energy_uj is not None]
    return bool(places) and 0.95 * min(places) <= tick <= 1.05 * max(places)


def _panel(axes: Axes, places: Sequence[tuple[float, Point]], shown: dict[str, tuple[str, str]]) -> None:
    """Points at their costs and the front; points of equal cost side by side."""
    from matplotlib.transforms import ScaledTranslation

    equal = Counter(round(place, 2) for place, _ in places)
    seen: Counter[float] = Counter()
    for place, point in places:
        key = round(place, 2)
        shift = APART * (seen[key] - (equal[key] - 1) / 2)
        seen[key] += 1
        marker, colour = shown[point.method]
        # Limits are not taken from what is shifted.
        axes.update_datalim([(place, min(point.accuracies)), (place, max(point.accuracies))])
        spread = [[point.mean - min(point.accuracies)], [max(point.accuracies) - point.mean]]
        axes.errorbar(
            place,
            point.mean,
            spread if len(point.accuracies) > 1 else None,
            capsize=2,
            linestyle="none",
            color=colour,
            marker=marker,
            markersize=9 if marker == "*" else 6,
            transform=axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans),
        )
    front = pareto((place, point.mean) for place, point in places)
    axes.step([x for x, _ in front], [y for _, y in front], where="post", color="0.75", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.margins(0.08)


def pareto(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those to which no other is both cheaper and better, from cheap to dear."""
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front
