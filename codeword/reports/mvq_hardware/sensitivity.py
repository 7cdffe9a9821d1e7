"""What each free parameter does to each figure: one change at a time, everything rerun."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from math import log
from statistics import median
from typing import Any

from codeword.reports.mvq_hardware.figures import FIGURES, Runs, summary_alexnet
from codeword.reports.mvq_hardware.machine import Energy, Setup, document, setup
from codeword.reports.mvq_hardware.published import Rows, cells, spread
from codeword.reports.mvq_hardware.reasons import reasons

BASE = "the machine as it is"


def outcome(using: Setup) -> dict[str, Rows]:
    """Every figure that the machine moves, and TOPS/W of Table 9's AlexNet.

    TOPS/W has one absolute scale for all cells: here the one that fits Figure 19 best, so that a variant is
    not blamed for a MAC energy chosen for another machine.
    """
    runs = Runs(using)
    found = {key: figure(runs) for key, figure in FIGURES.items()}
    scale = median(cell.published / cell.ours for cell in cells("figure19", found["figure19"]) if cell.ours)
    found["table9alexnet"] = summary_alexnet(runs, only="TOPS/W")
    for key in ("figure19", "table9alexnet"):
        found[key] = {
            row: [value and value * scale for value in values] for row, values in found[key].items()
        }
    return found


def run(report: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """All variants of machine.toml, the machine as it is first.

    Returns:
        by figure the median absolute `deviation` from the published values, the cells `off` by more than
        25 %, and the largest `change` of a cell against the machine as it is; and by table the `rows` that
        reasons.toml asks for, four digits.
    """
    using, results = setup(), []
    base = outcome(using)
    for change in ({"what": BASE}, *document()["variants"]):
        found = outcome(using.variant(change))
        result: dict[str, Any] = {"what": change["what"]}
        for key in FIGURES:
            these, before = cells(key, found[key]), cells(key, base[key])
            deviation, _, off = spread(these)
            changes: list[float] = [
                cell.ours / old.ours - 1
                for cell, old in zip(these, before, strict=True)
                if cell.ours and old.ours
            ]
            result[key] = {
                "deviation": round(deviation, 4),
                "off": off,
                "change": round(float(max(changes, key=lambda change: float(abs(change)))), 4),
            }
        rows: dict[str, Rows] = {}
        for reason in reasons():
            if change["what"] in reason.variants:
                rows.setdefault(reason.table, {})[reason.row] = [
                    value and float(f"{value:.4g}") for value in found[reason.table][reason.row]
                ]
        result["rows"] = rows
        results.append(result)
        report(
            f"{change['what']}: "
            + ", ".join(f"{key} {result[key]['deviation']:.1%} ({result[key]['off']} off)" for key in FIGURES)
        )
    return results


def search() -> list[tuple[float, Energy]]:
    """Mean |log(ours / published)| over Figures 15, 19 and 20 for every choice of machine.toml's `search`.

    Least first. The counts stay as they are, so a choice takes moments.
    """
    using, choices = setup(), document()["search"]
    found = []
    for values in product(*choices.values()):
        energy = replace(using.energy, **dict(zip(choices, values, strict=True)))
        figures = outcome(replace(using, energy=energy))
        off = [
            abs(log(cell.ours / cell.published))
            for key in ("figure15", "figure19", "figure20")
            for cell in cells(key, figures[key])
            if cell.ours
        ]
        found.append((sum(off) / len(off), energy))
    return sorted(found, key=lambda pair: pair[0])


def everything(report: Callable[[str], None] = print) -> dict[str, Any]:
    """What reports/mvq_sensitivity.json keeps."""
    return {
        "search": [{"loss": round(loss, 4)} | asdict(energy) for loss, energy in search()],
        "variants": run(report),
    }
