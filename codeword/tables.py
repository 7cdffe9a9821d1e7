"""Readable tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

if TYPE_CHECKING:
    from codeword.reports.registry import Report
    from rtl.synth import Synthesis
    from rtl.verify import VerifyResult
    from sim.cost import Cost
    from sim.estimate import Estimate

_UNITS = (
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
    (1e-12, "p"),
    (1e-15, "f"),
)
_PLAIN_WIDTH = 120
_WIDEST = 100_000


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> Table:
    """A table whose first `text` columns are names and whose others are numbers.

    A last column called "why" holds prose.
    """
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        if column == "why":
            made.add_column(column)
        else:
            made.add_column(
                column,
                justify="left" if number < text else "right",
                no_wrap=number >= text,
                overflow="fold",
                min_width=max(cell_len(row[number]) for row in (columns, *rows)),
            )
    for row in rows:
        made.add_row(*row)
    return made


def report_table(reports: Iterable[Report]) -> Table:
    """A line for each stage of each report."""
    made = Table(title="codeword report NAME", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for column in ("name", "shows", "stage", "takes, on one core", "out"):
        made.add_column(column, no_wrap=column in ("name", "stage"), overflow="fold")
    for report in reports:
        first = (report.name, report.shows)
        for stage in (*report.stages, *report.others):
            asked = "" if stage in report.stages else "; only with --stage"
            made.add_row(*first, stage.name, stage.takes + asked, str(report.out) if first[0] else "")
            first = ("", "")
    return made


def engineering(value: float | None, unit: str) -> str:
    """Three significant digits and an SI prefix."""
    if value is None:
        return "unknown"
    scale, prefix = next(((s, p) for s, p in _UNITS if abs(value) >= s), (1.0, ""))
    return f"{value / scale:.3g} {prefix}{unit}".strip()


def estimate_tables(found: Estimate) -> list[Table | str]:
    """A network: its layers, energy and area by component, the sums, and notes on them."""
    cost = found.cost
    where = f"{found.name} on {found.accelerator.name}"
    reasons = ["uncompressed"] if found.exclusions else []
    layers = table(
        f"{where}: layers",
        ["layer", "MACs", "cycles", "utilization", "energy", *reasons],
        [
            _layer_row(layer.counts.name, layer.cost) + (layer.exclusion,) * len(reasons)
            for layer in found.layers
        ],
    )
    energy = table(
        "Energy",
        ["component", "energy", "share", "why"],
        [
            (name, _joule(pj), share(pj, cost.total_pj), cost.energy_sources[name].why)
            for name, pj in cost.energy_pj.items()
        ],
    )
    area = table(
        "Area",
        ["component", "mm2", "share", "why"],
        [
            (
                name,
                "unknown" if part.value is None else f"{part.value:.3f}",
                share(part.value, cost.total_mm2),
                part.why,
            )
            for name, part in cost.area_mm2.items()
        ],
    )
    cycles = table(
        "Cycles by cause",
        ["cause", "cycles", "share"],
        [
            (cause, f"{count:,}", f"{count / cost.cycles:.1%}")
            for cause, count in (
                ("compute", cost.cycles - sum(cost.stall_cycles.values())),
                *cost.stall_cycles.items(),
            )
            if count
        ],
    )
    return [layers, cycles, energy, area, _sums(where, found), *_notes(found)]


def _notes(found: Estimate) -> list[str]:
    """What a reader of the sums must know."""
    cost, notes = found.cost, []
    if cost.unknown_energy:
        notes.append(
            f"Energy: unknown, since nobody knows that of {', '.join(cost.unknown_energy)}; the "
            f"other parts add up to {_joule(cost.known_pj)}."
        )
    if cost.unknown_area:
        notes.append(f"Area: unknown, since nobody knows that of {', '.join(cost.unknown_area)}.")
    if cost.clock_hz < found.accelerator.clock_hz:
        notes.append(
            f"Clock: {engineering(cost.clock_hz, 'Hz')} instead of the requested "
            f"{engineering(found.accelerator.clock_hz, 'Hz')}; {cost.clock_source.why}."
        )
    if found.mapping_energies != found.accelerator.technology:
        notes.append(f"Mapping: chosen by the energies of {found.mapping_energies}, since some are unknown.")
    if found.mapping_gap:
        notes.append(
            f"Mapping: no schedule of a layer alone takes over {found.mapping_gap:.1%} less than the one chosen; "
            "proven, and mostly far from it."
        )
    return notes + found.remarks


def _layer_row(name: str, cost: Cost) -> tuple[str, ...]:
    return (name, f"{cost.macs:,}", f"{cost.cycles:,}", f"{cost.utilization:.1%}", _joule(cost.total_pj))


def _joule(pj: float | None) -> str:
    return engineering(None if pj is None else pj * 1e-12, "J")


def share(part: float | None, whole: float | None) -> str:
    """Percent of a total, or nothing where one is not known."""
    return "" if part is None or not whole else f"{part / whole:.1%}"


def number(value: float | None, digits: int = 2) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"


def _sums(title: str, found: Estimate) -> Table:
    cost, total = found.cost, found.cost.total_mm2
    once = f" in {found.passes} passes" if found.passes > 1 else ""
    rows = [("MACs", f"{cost.macs:,}{once}"), ("cycles", f"{cost.cycles:,}")]
    if found.gated is not None:
        share = found.passes * found.gated / cost.multiplications
        rows.append(("multiplications gated by a zero", f"{share:.1%}"))
    if found.expected:
        rows.append(("codebook ROM", "conflicts: expected for evenly drawn assignments"))
    rows += [
        ("time", engineering(cost.time_s, "s")),
        ("TOPS, dense-equivalent", f"{cost.tops:.3f} of {cost.peak_tops:.3f} peak"),
        ("TOPS, multiplications done", f"{cost.physical_tops:.3f}"),
        ("energy", _joule(cost.total_pj)),
        ("TOPS/W without DRAM", number(cost.tops_per_watt)),
        ("TOPS/W with DRAM", number(cost.tops_per_watt_with_dram)),
        ("area", "unknown" if total is None else f"{total:.3f} mm2"),
        ("technology", found.accelerator.technology),
        ("clock", engineering(cost.clock_hz, "Hz")),
    ]
    return table(title, ["", ""], rows)


def comparison(title: str, costs: Mapping[str, Cost]) -> Table:
    """One row a machine."""
    rows = [
        (
            name,
            f"{cost.cycles:,}",
            f"{cost.utilization:.1%}",
            _joule(cost.total_pj),
            number(cost.total_mm2),
            f"{cost.tops:.3f}",
            number(cost.tops_per_watt),
            number(cost.tops_per_watt_with_dram),
        )
        for name, cost in costs.items()
    ]
    columns = ["accelerator", "cycles", "utilization", "energy", "mm2", "TOPS", "TOPS/W", "with DRAM"]
    return table(title, columns, rows)


def synthesis_tables(found: Sequence[Synthesis]) -> list[Table | str]:
    """The components for each library, and the libraries in one table."""
    components = [
        table(
            f"{result.top} in {result.library}, for a clock of {result.period_ns:.3g} ns",
            [
                "component",
                "instances",
                "cells each",
                "um2 each",
                "flip-flops each",
                "mm2 in all",
                "share",
                "path ns",
            ],
            [
                (
                    c.kind,
                    f"{c.instances:,}",
                    "black box" if c.black_box else f"{sum(c.cells.values()):,}",
                    f"{c.area:,.0f}",
                    f"{c.flip_flops:,}",
                    f"{c.total_area * 1e-6:.4f}",
                    f"{c.total_area / result.area:.1%}",
                    "" if c.path_ns is None else f"{c.path_ns:.2f}",
                )
                for c in result.components
            ],
        )
        for result in found
    ]
    sums = table(
        "Libraries",
        ["library", "cells", "mm2", "of it flip-flops", "path ns"],
        [
            (
                result.library,
                f"{result.cells:,}",
                f"{result.area * 1e-6:.4f}",
                f"{result.flip_flop_area / result.area:.1%}",
                "" if result.path_ns is None else f"{result.path_ns:.2f}",
            )
            for result in found
        ],
    )
    depth = {
        "opensta": "paths by OpenSTA, through the components inside; nets between components have no buffers",
        "abc": f"paths by abc, within one component only: {found[0].no_opensta}",
    }
    return [*components, sums, f"Before placement, without wires and clock tree; {depth[found[0].timing]}."]


def idle_parts(found: VerifyResult) -> list[str]:
    """What the runs say nothing about, if that is known."""
    if not found.idle:
        return []
    whole = [name for name in found.idle if "." not in name]
    parts: dict[str, list[str]] = {}
    for kind, port in (name.split(".") for name in found.idle if "." in name):
        parts.setdefault(kind, []).append(port)
    lines = [f"Not exercised: {', '.join(whole)}."] if whole else []
    ports = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in parts.items())
    return [*lines, f"Ports that never changed: {ports}."] if parts else lines


def emit(as_json: bool, fields: Mapping[str, Any], readable: Sequence[Table | str]) -> None:
    """What a verb found: one JSON object, or tables and lines."""
    if as_json:
        print(json.dumps(fields, allow_nan=False))
    else:
        show(*readable)


def show(*parts: Table | str) -> None:
    """Prints tables and lines; wide enough for every column where there is no terminal."""
    console = Console(markup=False, emoji=False)  # a name such as [red] is no markup
    if not console.is_terminal:
        anything = console.options.update(width=_WIDEST)
        needed = (Measurement.get(console, anything, part).minimum for part in parts)
        console.width = max(_PLAIN_WIDTH, *needed)
    for part in parts:
        console.print(part, highlight=False)


def verify_verdict(found: VerifyResult) -> str:
    """What a comparison of RTL and engine found, in two lines."""
    ran = "1 network" if found.networks == 1 else f"{found.networks} networks"
    verdict = "equal" if found.equal else f"DIFFERENT: {found.first_mismatch}"
    return (
        f"{ran}, {len(found.layers)} layers: {found.words_compared:,} words compared, "
        f"{found.mismatches} mismatches; cycles: model {found.cycles_model:,}, RTL {found.cycles_rtl:,}. "
        f"{verdict}.\n{found.wall_s:.1f} s with {found.simulator}, {found.build_s:.1f} s to build; "
        f"{found.cycles_per_second:,.0f} cycles a second."
    )
