"""What is lost against bits and energy, a shape and colour a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeword.reports.comparison.picture import pareto

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = {
    "int8": ("*", "#222222"),
    "int4": ("s", "#4477AA"),
    "int3": ("s", "#66CCEE"),
    "int2": ("s", "#117733"),
    "mxfp4": ("D", "#CCBB44"),
    "nvfp4": ("D", "#DDAA33"),
    "mxint8": ("*", "#BBBBBB"),
    "ternary": ("v", "#882255"),
    "palette": ("o", "#999933"),
    "vq": ("^", "#4477AA"),
    "mvq": ("P", "#EE6677"),
    "ssvq": ("X", "#228833"),
    "rom": ("<", "#AA3377"),
    "aqlm": (">", "#BB5566"),
}
"""Marker and colour of a format in all its sizes; hollow where nothing was trained. Colours after Paul Tol."""

Row = Mapping[str, Any]
Panel = tuple[str, Callable[[Row], float | None]]


def picture(rows: Mapping[str, Sequence[Row]], panels: Mapping[str, Sequence[Panel]], path: Path) -> None:
    """Writes a PNG: a line of panels a network.

    Args:
        rows: by network, each with `name`, `trained` and `loss`, more than 0 on a logarithmic axis.
        panels: by network, the label of an axis and what a row has on it; None where nobody knows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(11, 3.9 * len(rows) + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), max(map(len, panels.values())), squeeze=False, sharey="row")
    for line, (network, found) in zip(grid, rows.items(), strict=True):
        for axes, (label, of) in zip(line, panels[network], strict=True):
            _panel(axes, found, label, of)
        line[0].set_title(network, loc="left", fontsize=10)
    known = {format_of(row) for found in rows.values() for row in found}
    figure.legend(
        [
            Line2D([], [], linestyle="none", marker=marker, color=colour, label=name)
            for name, (marker, colour) in MARKS.items()
            if name in known
        ],
        [name for name in MARKS if name in known],
        loc="outside lower center",
        ncols=7,
        frameon=False,
        fontsize=9,
        title="hollow: nothing trained; filled: fine-tuned",
    )
    figure.savefig(path, dpi=130)


def format_of(row: Row) -> str:
    """Of the name of a row."""
    return str(row["name"]).partition("-")[0]


def _panel(axes: Axes, rows: Sequence[Row], label: str, of: Callable[[Row], float | None]) -> None:
    """Marks, and the front of those that nothing beats in both."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    places = [(place, float(row["loss"]), row) for row in rows if (place := of(row)) is not None]
    for place, loss, row in places:
        marker, colour = MARKS[format_of(row)]
        axes.plot(
            place,
            loss,
            marker,
            color=colour,
            markerfacecolor=colour if row["trained"] else "white",
            markersize=8,
        )
    front = pareto((place, -loss) for place, loss, _ in places)
    axes.step([x for x, _ in front], [-y for _, y in front], where="post", color="0.75", zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = min(place for place, *_ in places), max(place for place, *_ in places)
    ticks = [tick for tick in _TICKS if 0.95 * low <= tick <= 1.05 * high]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlabel(label)
    axes.set_ylabel(str(rows[0]["loss_label"]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)


_TICKS = (
    1,
    1.5,
    2,
    3,
    4,
    6,
    8,
    10,
    12,
    15,
    20,
    25,
    30,
    40,
    60,
    80,
    100,
    120,
    140,
    160,
    180,
    200,
    300,
    400,
    600,
)
