"""What each free parameter does to each figure: one change at a time, everything rerun."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codeword.reports.mvq_hardware import search
from codeword.reports.mvq_hardware.figures import FIGURES, outcome
from codeword.reports.mvq_hardware.machine import document, setup
from codeword.reports.mvq_hardware.published import Rows, cells, spread
from codeword.reports.mvq_hardware.reasons import reasons
from codeword.reports.registry import Task
from sim.files import write_whole
from sim.machine import machine

BASE = "the machine as it is"


def kept_beside(figures: Path) -> Path:
    """Where what this stage finds is kept, beside the report's figures."""
    return figures.with_name("mvq_sensitivity.json")


def run(task: Task) -> None:
    """Makes every variant of the machine anew, by compiled code: a minute and its compilation instead of eight."""
    machine("systolic").prepare_many()
    found = everything(lambda line: print(line, file=sys.stderr, flush=True))
    write_whole(kept_beside(task.out), json.dumps(found, indent=1) + "\n")


def every_variant(report: Callable[[str], None] = print) -> list[dict[str, Any]]:
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


def everything(report: Callable[[str], None] = print) -> dict[str, Any]:
    """What the stage keeps."""
    return {
        "search": [{"loss": round(loss, 4)} | asdict(energy) for loss, energy in search.every_energy()],
        "variants": every_variant(report),
    }
