"""Pictures of a page as Vega-Lite specifications; the page colours them for light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codeword.pages.designs import Row

Spec = dict[str, Any]

PALETTE = (
    "#44AA99", "#CC6677", "#4477AA", "#DDCC77", "#88CCEE", "#882255", "#117733", "#AA4499", "#999933", "#EE8866",
    "#BBBBBB",
)  # fmt: skip
"""Told apart by the colour-blind: colours of the schemes of Paul Tol (SRON/EPS/TN/09-002, issue 3.2)."""

_SMALL = "datum.value != 0 && abs(datum.value) < 0.01"
SHORT = {
    "labelExpr": f"{_SMALL} || abs(datum.value) >= 1000 ? format(datum.value, '~s') : format(datum.value, '~g')"
}
"""An axis with SI prefixes for what is far from 1; a format would also shorten what a mark says of itself."""

SI = SHORT | {"title": None}
"""An axis whose title is the list that chooses it."""

LAYER_HEIGHT = 14
"""Pixels of a bar."""


def cycles(rows: Mapping[str, Sequence[Row]], causes: Sequence[str]) -> Spec:
    """Bars of the layers of one design, chosen where there are several, stacked by cause.

    Args:
        causes: all of the machine, so that a cause has one colour on every page.
    """
    return _chosen(rows) | {
        "height": {"step": LAYER_HEIGHT},
        "mark": {"type": "bar", "stroke": "white", "strokeWidth": 0.3},
        "encoding": {
            "y": {
                "field": "layer",
                "type": "nominal",
                "sort": {"field": "place", "op": "min"},
                "title": None,
            },
            "x": {"field": "cycles", "type": "quantitative", "stack": "zero", "axis": SHORT},
            "color": _colour("cause", causes),
            "order": {"field": "rank", "type": "quantitative"},
            "tooltip": _tooltip("layer", "cause", "cycles"),
        },
        "transform": [*_choice(rows), _rank("cause", causes)],
    }


def stack(rows: Mapping[str, Sequence[Row]], unit: str, components: Sequence[str]) -> Spec:
    """A bar a design, stacked by component, with the source of each figure in the tooltip.

    Args:
        components: of every such picture of the page, so that each has one colour.
    """
    return {
        "width": "container",
        "height": {"step": 34},
        "data": {"values": [{"design": name} | row for name, found in rows.items() for row in found]},
        "mark": {"type": "bar", "stroke": "white", "strokeWidth": 0.5},
        "encoding": {
            "y": {
                "field": "design",
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": {"labelExpr": "split(datum.label, ' on ')"},  # two lines
            },
            "x": {"field": unit, "type": "quantitative", "stack": "zero", "axis": SHORT},
            "color": _colour("component", components),
            "order": {"field": "rank", "type": "quantitative"},
            "tooltip": _tooltip("design", "component", unit, "source"),
        },
        "transform": [_rank("component", components)],
    }


def roofline(points: Mapping[str, Sequence[Row]], roofs: Mapping[str, Sequence[Row]]) -> Spec:
    """Layers under the roof of bandwidth and peak, both axes logarithmic; a shape and colour a design."""
    x = {
        "field": "operations a byte",
        "type": "quantitative",
        "scale": {"type": "log"},
        "title": "operations a byte of DRAM",
    }
    y = {"field": "TOPS", "type": "quantitative", "scale": {"type": "log"}, "title": "TOPS"}
    colour = _colour("design", list(points))
    return {
        "width": "container",
        "height": 320,
        "layer": [
            {
                "data": {"values": named(roofs)},
                "mark": {"type": "line", "strokeWidth": 1.5},
                "encoding": {"x": x, "y": y, "color": colour, "detail": {"field": "design"}},
            },
            {
                "data": {"values": named(points)},
                "mark": {"type": "point", "filled": True, "size": 50, "opacity": 0.75},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": colour,
                    # With the scale and legend of the colour, so that the viewer makes one legend of both.
                    "shape": colour | {"scale": {"domain": list(points)}},
                    "tooltip": _tooltip("design", "layer", "operations a byte", "TOPS"),
                },
            },
        ],
    }


def heat(cells: Mapping[str, Sequence[Row]], step: int) -> Spec:
    """The array of one design: share of the cycles in which each PE multiplies.

    Args:
        step: pixels of a cell.
    """
    return _chosen(cells) | {
        "width": {"step": step},
        "height": {"step": step},
        "mark": "rect",
        "encoding": {
            "x": _lane("column", "output channels"),
            "y": _lane("row", "input channels"),
            "color": {
                "field": "utilization",
                "type": "quantitative",
                "scale": {"scheme": "viridis", "domain": [0, 1]},
                "legend": {"format": ".0%"},
            },
            "tooltip": [*_tooltip("row", "column"), {"field": "utilization", "format": ".2%"}],
        },
        "transform": _choice(cells),
    }


def pipeline(rows: Mapping[str, Sequence[Row]], units: Sequence[str]) -> Spec:
    """Spans of one design, a line a unit, from left to right by cycle; drag and wheel move and widen it.

    Args:
        units: from top to bottom.
    """
    zoom = {"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"}
    chosen = _chosen(rows)
    own = [unit.partition(":")[0] for unit in units]
    tracks = list(dict.fromkeys(own))
    return chosen | {
        "params": [*chosen.get("params", []), zoom],
        "height": {"step": 20},
        "mark": {"type": "bar", "stroke": "white", "strokeWidth": 0.4, "clip": True},
        "encoding": {
            "y": {"field": "unit", "type": "nominal", "sort": list(units), "title": None},
            "x": {
                "field": "from",
                "type": "quantitative",
                "title": "cycle",
                "scale": {"zero": False, "nice": False},
            },
            "x2": {"field": "to"},
            "color": _colour("track", tracks) | {"legend": None},
            "tooltip": _tooltip("unit", "what", "from", "to", "cycles"),
        },
        "transform": [*_choice(rows), {"calculate": "split(datum.unit, ':')[0]", "as": "track"}],
    }


def _lane(field: str, holds: str) -> Spec:
    return {"field": field, "type": "ordinal", "title": f"{field}: {holds}", "axis": {"labelOverlap": True}}


JUDGED = ("on the front", "keeps the constraints", "breaks one")
_JUDGE = f"datum['on the front'] ? '{JUDGED[0]}' : datum['keeps constraints'] ? '{JUDGED[1]}' : '{JUDGED[2]}'"


def _told(values: Sequence[str]) -> Spec:
    """How designs of each kind of JUDGED are told apart; equal scales make one legend."""
    scale = {"domain": list(JUDGED), "range": list(values)}
    return {
        "field": "judged",
        "type": "nominal",
        "scale": scale,
        "legend": {"orient": "bottom"},
        "title": None,
    }


def front(rows: Sequence[Row], objectives: Sequence[str], shown: Sequence[str]) -> Spec:
    """Designs of a sweep by two objectives that the reader chooses; those of the front stand out, a click selects.

    Args:
        rows: with `on the front` and `keeps constraints`, true or false.
        shown: fields of the tooltip.
    """
    axes = [
        {"name": axis, "value": objectives[min(place, len(objectives) - 1)],
         "bind": {"input": "select", "options": list(objectives), "name": f"{axis} axis "}}
        for place, axis in enumerate(("x", "y"))
    ]  # fmt: skip
    return {
        "width": "container",
        "height": 380,
        "params": [*axes, {"name": "picked", "select": {"type": "point", "fields": ["design"]}}],
        # The front last, on top of the others.
        "data": {"name": "designs", "values": sorted(rows, key=lambda row: row["on the front"])},
        "transform": [
            *({"calculate": f"datum[{axis}]", "as": axis} for axis in ("x", "y")),
            {"calculate": _JUDGE, "as": "judged"},
        ],
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "scale": {"zero": False}, "axis": SI},
            "y": {"field": "y", "type": "quantitative", "scale": {"zero": False}, "axis": SI},
            "color": _told([PALETTE[1], PALETTE[2], "#888888"]),
            "shape": _told(["diamond", "circle", "cross"]),
            "size": {"condition": {"param": "picked", "empty": False, "value": 260}, "value": 60},
            "opacity": {"condition": {"test": f"datum.judged == '{JUDGED[0]}'", "value": 1}, "value": 0.4},
            "tooltip": _tooltip(*shown),
        },
    }


def _chosen(rows: Mapping[str, Sequence[Row]]) -> Spec:
    """Data of several designs, of which a list below the picture chooses one."""
    names = list(rows)
    chosen: Spec = {"width": "container", "data": {"values": named(rows)}}
    if len(names) > 1:
        bind = {"input": "select", "options": names, "name": "design "}
        chosen["params"] = [{"name": "chosen", "value": names[0], "bind": bind}]
    return chosen


def _choice(rows: Mapping[str, Sequence[Row]]) -> list[Spec]:
    return [{"filter": "datum.design == chosen"}] if len(rows) > 1 else []


def named(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    return [{"design": name} | row for name, found in rows.items() for row in found]


def _colour(field: str, names: Sequence[str]) -> Spec:
    colours = [PALETTE[place % len(PALETTE)] for place in range(len(names))]
    scale = {"domain": list(names), "range": colours}
    legend = {"orient": "bottom"} if len(names) > 1 else None  # page.js knows how many columns fit
    return {"field": field, "type": "nominal", "scale": scale, "legend": legend, "title": None}


def _rank(field: str, names: Sequence[str]) -> Spec:
    """Stacks in the order of the legend."""
    return {"calculate": f"indexof({list(names)!r}, datum.{field})", "as": "rank"}


def _tooltip(*fields: str) -> list[Spec]:
    return [{"field": field.replace("[", "\\\\[").replace(".", "\\.")} for field in fields]
