"""Sections of the report: what is far off and why, and what each free parameter does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codeword.reports.mvq_hardware.compared import TITLES, all_cells
from codeword.reports.mvq_hardware.figures import FIGURES, SHARES
from codeword.reports.mvq_hardware.machine import document
from codeword.reports.mvq_hardware.published import published
from codeword.reports.mvq_hardware.reasons import Reason, reasons
from codeword.reports.mvq_hardware.words import grid, name_of, number


def far_cells(found: Mapping[str, Any], sensitivities: Mapping[str, Any]) -> str:
    """Each cell that is far off, with its reason and the experiments."""
    by_place = {(c.table, c.row, c.column): c for these in all_cells(found).values() for c in these}
    made = {entry["what"]: entry for entry in sensitivities["variants"]}
    base = sensitivities["variants"][0]
    rows = []
    for reason in reasons():
        these = [by_place[reason.table, reason.row, column] for column in reason.columns]
        values = ", ".join(f"{name_of(c.column)}: {c.published:g} / {number(c.ours)}" for c in these)
        experiments = [_experiment(reason, made[what], base) for what in reason.variants]
        rows.append(
            [
                TITLES[reason.table].split(",")[0],
                name_of(reason.row, reason.table),
                values,
                " ".join([reason.text, *experiments]),
            ]
        )
    return f"""## What is off by more than 25 %, and why

An experiment changes one parameter of the machine and makes everything again. After the cell, what it does to
the rest: cells off by more than 25 % in Figures 15, 17, 19 and 20, here {_off(base)}. TOPS/W of an experiment
have the absolute scale that fits Figure 19 best with it.

{grid(["", "row", "published / ours", "reason"], rows)}"""


def _experiment(reason: Reason, made: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """The reason's cells with the change, and what it breaks."""
    values = dict(zip(published()[reason.table].columns, made["rows"][reason.table][reason.row], strict=True))
    cells = ", ".join(f"{column} {number(values[column])}" for column in reason.columns)
    return f"*{made['what']}*: {cells}; off {_off(made)}."


def _off(entry: Mapping[str, Any]) -> str:
    return " + ".join(str(entry[key]["off"]) for key in FIGURES)


def shares(found: Mapping[str, Any]) -> str:
    """Figure 14 in numbers."""
    rows = []
    for row, values in found["figure14"].items():
        half = len(SHARES)
        rows.append(
            [
                name_of(row),
                *(f"{value:.0f}" for value in values),
                f"{sum(values[:half]) / sum(values[half:]):.2f}",
            ]
        )
    most = sum(values[0] > 50 for values in found["figure14"].values())
    head = ["", *(f"{machine} {name}" for machine in ("EWS", "EWS-CMS") for name in SHARES), "Figure 15"]
    return f"""## Figure 14, data-access energy by memory

The figure has no numbers; the text says that DRAM dominates. Ours, counts times Table 8, in % of what EWS
spends on data access:

{grid(head, rows)}

DRAM is more than half of EWS' data access in {most} of {len(rows)} cases.

{_base(found)}"""


def _base(found: Mapping[str, Any]) -> str:
    table = published()["figure15"]
    rows = []
    for row, values in table.rows.items():
        ours = zip(values, found["figure15"][row], found["figure15 over WS"][row], strict=True)
        rows.append([name_of(row)] + [f"{p:g} / {number(e)} / {number(w)}" for p, e, w in ours])
    return f"""Figure 15 compares with an "8-bit base", WS or EWS. Published / over EWS / over WS:

{grid(["", *table.columns], rows)}

It is EWS. VGG-16's last two values could be the other way round; ours rise with the array."""


def variants(found: Mapping[str, Any]) -> str:
    """One change at a time."""

    def effect(entry: Mapping[str, Any], key: str) -> str:
        change = entry[key]["change"]
        return f"{entry[key]['deviation']:.1%}, {entry[key]['off']}" + (f" ({change:+.0%})" if change else "")

    rows = [[entry["what"], *(effect(entry, key) for key in FIGURES)] for entry in found["variants"]]
    best = [
        [name, *(f"{value:g}: {_least(found['search'], name, value):.3f}" for value in values)]
        for name, values in document()["search"].items()
    ]
    width = max(map(len, best))
    best = [row + [""] * (width - len(row)) for row in best]
    return f"""## Sensitivities

One change at a time: median deviation from the published values, cells off by more than 25 %, and in
brackets the largest change of a cell. Figure 19 with the absolute scale that fits each variant best.
`codeword report mvq_hardware --stage sensitivity` makes it anew, in some six minutes of a core.

{grid(["", *(TITLES[key].split(",")[0] for key in FIGURES)], rows)}

The energies: the least mean |log(ours / published)| over Figures 15, 19 and 20 that a value allows, the other
two parameters free on their grid.

{grid(["", *([""] * (width - 1))], best)}"""


def _least(search: Sequence[Mapping[str, float]], name: str, value: float) -> float:
    return min(entry["loss"] for entry in search if entry[name] == value)
