"""The file: tables as they stand, pictures that the reader's browser draws, and no line from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeword import inputs, outputs, tables
from codeword.pages import charts, designs, pipeline
from codeword.pages.designs import Row
from sim.errors import InputError
from sim.estimate import Estimate
from sim.files import write_whole

if TYPE_CHECKING:
    from codeword.sweeping import Sweep
    from codeword.tracing import Traced

MOST = 64
"""Designs side by side; more are a sweep."""


class Section:
    """Part of a page: a heading, words, a picture and a table, each of which may be missing."""

    def __init__(
        self, title: str, words: str = "", chart: charts.Spec | None = None, table: str = ""
    ) -> None:
        self.title, self.words, self.chart, self.table = title, words, chart, table


def page(
    found: Estimate | Sequence[Estimate] | Sweep,
    path: str | Path,
    *,
    title: str = "",
    traces: Sequence[Traced] = (),
) -> Path:
    """Writes the page of a design, of several side by side, or of a sweep.

    Args:
        path: ends in .html.
        traces: whose windows are shown cycle by cycle.

    Raises:
        InputError: no design, two of the same name, a path that cannot be written, or the extra `page` is not
            installed.
    """
    target = outputs.file(path, [".html"])
    if isinstance(found, Estimate):
        found = [found]
    if isinstance(found, Sequence):
        if not 1 <= len(found) <= MOST:
            raise InputError(
                "designs", len(found), f"a page shows 1 to {MOST}", "give fewer, or sweep over them"
            )
        named = {designs.name(one): one for one in found}
        if len(named) < len(found):
            raise InputError(
                "designs", [*map(designs.name, found)], "has a name twice", "name one differently"
            )
        heading, sections = title or _heading(named), of_designs(named)
    else:
        heading, sections = title or "Sweep of " + ", ".join(found.space.networks), of_sweep(found)
    if traces:
        sections.insert(2, _pipeline(traces))
    write_whole(target, _document(heading, sections))
    return target


def _heading(named: Mapping[str, Estimate]) -> str:
    if len(named) <= 3:
        return ", ".join(named)
    return f"{len(named)} designs: {', '.join(dict.fromkeys(one.name for one in named.values()))}"


def of_designs(found: Mapping[str, Estimate]) -> list[Section]:
    """Sums, cycles, roofline, energy, area, use of the array, and every layer."""
    points = {name: designs.roofline(one) for name, one in found.items()}
    roofs = {name: designs.roof(one, points[name]) for name, one in found.items()}
    counted = {name: designs.cycles(one) for name, one in found.items()}
    spent = {name: designs.energy(one) for name, one in found.items()}
    taken = {name: designs.area(one) for name, one in found.items()}
    components = list(dict.fromkeys(row["component"] for row in charts.named(spent) + charts.named(taken)))
    causes = list(next(iter(found.values())).layers[0].counts.cycles)
    sums = [{"design": name} | designs.sums(one) for name, one in found.items()]
    sections = [
        Section("Sums", _notes(found), table=_table(_turned(sums, "design"))),
        Section("Cycles by cause", "Every cycle has one cause.", charts.cycles(counted, causes)),
        Section(
            "Roofline",
            "Operations are dense-equivalent. The roof is the bandwidth of the DRAM and the peak of the array; a "
            "layer whose weights stay on the chip "
            "may lie above the slope of what it reads.",
            charts.roofline(points, roofs),
        ),
        Section(
            "Energy",
            "Of all passes, by component.",
            charts.stack(spent, "J", components),
            _table(charts.named(spent)),
        ),
        Section("Area", "By component.", charts.stack(taken, "mm2", components), _table(charts.named(taken))),
    ]
    occupied = {name: designs.occupancy(one) for name, one in found.items()}
    cells = {name: designs.heat(one) for name, one in occupied.items() if one is not None}
    if cells:
        step = max(4, 320 // max(row["row"] + 1 for rows in cells.values() for row in rows))
        words = "Share of all cycles in which a PE multiplies, dense-equivalent; the mean is the utilization."
        sections.append(Section("Use of the array", words, charts.heat(cells, step)))
    rows = [{"design": name} | row for name, one in found.items() for row in designs.layers(one)]
    return [*sections, Section("Layers", "Of one pass.", table=_table(rows, filtered=True))]


def _pipeline(traces: Sequence[Traced]) -> Section:
    """What each unit does in a window of cycles, as the engine ran them."""
    for traced in traces:
        if not len(traced.traces[0].window):
            raise InputError(
                "traces", pipeline.name(traced), "have no window to show", "trace it with a window"
            )
    rows = {pipeline.name(traced): pipeline.spans(traced) for traced in traces}
    units = pipeline.units([row for found in rows.values() for row in found])
    busy = [
        {"design": pipeline.name(traced)} | row
        for traced in traces
        for row in pipeline.busy(traced.traces[0])
    ]
    windows = {traced.traces[0].window for traced in traces}
    shown = "; ".join(f"{window.start:,} to {window.stop:,}" for window in windows)
    words = f"Cycles {shown} as the cycle engine ran them on an image: drag to move, turn the wheel to look closer."
    return Section("Pipeline", words, charts.pipeline(rows, units), _table(busy))


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value)


def of_sweep(found: Sweep) -> list[Section]:
    """The front, and every design that could be judged."""
    front = set(found.front)
    varied = [dimension.name for dimension in found.space.varied]
    objectives = [f"{one.name} ({one.unit})" if one.unit else one.name for one in found.space.objectives]
    rows = [
        {"design": place, "on the front": place in front, "keeps constraints": bool(found.feasible[place])}
        | {name: _plain(found.space.choices(design)[name]) for name in varied}
        | dict(zip(objectives, values, strict=True))
        for place, (design, values) in enumerate(zip(found.designs, found.values.tolist(), strict=True))
        if all(value == value for value in values)
    ]
    if not rows:
        raise InputError(
            "sweep", str(found.path), "has no design that could be judged", "see why with codeword sweep"
        )
    best = [row for row in rows if row["on the front"]]
    limits = "; ".join(one.text for one in found.space.constraints)
    kept = f"; {int(found.feasible.sum()):,} keep {limits}" if limits else ""
    unknown = len(found.designs) - len(rows)
    hidden = f"{unknown:,} are not shown, since one of their objectives is unknown. " if unknown else ""
    means = "An objective is its geometric mean over the networks." if len(found.space.networks) > 1 else ""
    words = (
        f"{len(found.designs):,} of {found.space.size:,} designs on {', '.join(found.space.networks)}{kept}. {hidden}"
        f"On the front: {len(best):,}. {means}"
    )
    return [
        Section(
            "Front", words, charts.front(rows, objectives, ["design", *varied, *objectives]), _table(best)
        ),
        Section(
            "Designs", f"All that was computed lies in {found.path.name}.", table=_table(rows, filtered=True)
        ),
    ]


def _notes(found: Mapping[str, Estimate]) -> str:
    remarks = [f"{name}: {remark}" for name, one in found.items() for remark in one.remarks]
    unknown = [
        f"{name}: nobody knows the energy of {', '.join(one.cost.unknown_energy)}."
        for name, one in found.items()
        if one.cost.unknown_energy
    ]
    return " ".join(
        ["From the closed form, which the cycle engine and the Verilog equal.", *remarks, *unknown]
    )


def _turned(rows: Sequence[Row], head: str) -> list[Row]:
    """Rows become columns, named by their field `head`."""
    return [{"": field} | {row[head]: row[field] for row in rows} for field in rows[0] if field != head]


def _table(rows: Sequence[Row], filtered: bool = False) -> str:
    """A table with its values exactly as they are in `data-value`; page.js sorts and filters it."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    right = {
        column
        for row in rows
        for column, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    head = "".join(
        f"<th scope='col'{_class('number' if column in right else '')}>{escape(column)}</th>"
        for column in columns
    )
    body = "".join(
        "<tr>"
        + "".join(_cell(row.get(column), str(row.get("", column)), column in right) for column in columns)
        + "</tr>"
        for row in rows
    )
    kind = " class='filtered'" if filtered else ""
    return f"<div class='wide'><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


PROSE = 60
"""Characters from which a text has a wide column of its own."""


def _class(name: str) -> str:
    return f" class='{name}'" if name else ""


def _cell(value: Any, field: str, right: bool) -> str:
    """A cell of the table.

    Args:
        field: says the unit, in brackets at its end or alone.
        right: other cells of the column are numbers.
    """
    if isinstance(value, bool | str):
        text = value if isinstance(value, str) else "yes" if value else "no"
        return f"<td{_class('number' if right else 'prose' if len(text) > PROSE else '')}>{escape(text)}</td>"
    unit = field.rpartition("(")[2].removesuffix(")")
    if value is not None and unit in ("s", "J", "Hz"):
        shown = tables.engineering(value, unit)
    else:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        shown = "unknown" if value is None else f"{int(value):,}" if whole else f"{value:.4g}"
    return f"<td class='number' data-value='{json.dumps(value)}'>{shown}</td>"


def _document(heading: str, sections: Iterable[Section]) -> str:
    with inputs.extra():
        import vl_convert

    own = files("codeword.pages")
    parts, specs = [], []
    for place, section in enumerate(sections):
        picture = ""
        if section.chart is not None:
            picture = f"<figure id='chart-{place}' role='img' aria-label='{escape(section.title)}'></figure>"
            specs.append({"place": f"chart-{place}", "spec": section.chart})
        words = f"<p>{escape(section.words)}</p>" if section.words else ""
        parts.append(f"<section><h2>{escape(section.title)}</h2>{words}{picture}{section.table}</section>")
    return (
        (own / "page.html")
        .read_text("utf-8")
        .format(
            title=escape(heading),
            style=(own / "page.css").read_text("utf-8"),
            body="\n".join(parts),
            specs=json.dumps(specs, allow_nan=False).replace("<", "\\u003c"),
            library=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace(
                "</script", "<\\/script"
            ),
            script=(own / "page.js").read_text("utf-8"),
        )
    )
