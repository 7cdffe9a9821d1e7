"""Every published hardware figure of MVQ, SSVQ and VQ4ALL beside ours, with the deviation and the reason.

From the closed form; the same numbers every time. Reads what `sensitivity` keeps beside the figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from statistics import median
from typing import Any

from codeword.reports.mvq_hardware import causes, ssvq, synthesized_areas, tables, universal
from codeword.reports.mvq_hardware.compared import TITLES, all_cells, compute, unexplained
from codeword.reports.mvq_hardware.figures import FIGURES
from codeword.reports.mvq_hardware.machine import document, setup
from codeword.reports.mvq_hardware.published import spread
from codeword.reports.mvq_hardware.sensitivity import kept_beside
from codeword.reports.mvq_hardware.words import grid, toml
from codeword.reports.registry import CheckFailed, Task
from sim.accelerator import Accelerator, preset
from sim.files import write_whole


def run(task: Task) -> None:
    """Writes figures and text.

    Raises:
        CheckFailed: a cell is far off without a reason.
    """
    found = compute(setup())
    write_whole(task.out, json.dumps(found, indent=1) + "\n")
    text = render(found, json.loads(kept_beside(task.out).read_text()))
    write_whole(task.out.with_suffix(".md"), text)
    print(text.split("\n## ")[0])
    if missing := unexplained(found):
        raise CheckFailed("off without a reason: " + "; ".join(map(str, missing)))


def render(found: Mapping[str, Any], sensitivities: Mapping[str, Any]) -> str:
    """The report, from `compute` and `sensitivity.everything`."""
    parts = [
        _head(found),
        _machine(),
        *(tables.section(key, found) for key in TITLES),
        synthesized_areas.markdown(),
        causes.far_cells(found, sensitivities),
        causes.shares(found),
        causes.variants(sensitivities),
        ssvq.section(found),
        universal.section(found),
    ]
    return "\n\n".join(parts) + "\n"


def _head(found: Mapping[str, Any]) -> str:
    by_table = all_cells(found)
    moved = [cell for key in FIGURES for cell in by_table[key]]
    hardware = [
        abs(cell.deviation)
        for key in ("claims", "table9", "table9alexnet", "normalised", *FIGURES, "ews")
        for cell in by_table[key]
        if cell.deviation is not None
    ]
    rows = []
    for key, these in by_table.items():
        middle, worst, off = spread(these)
        rows.append([TITLES[key], str(len(these)), f"{middle:.1%}", f"{worst:.0%}", str(off)])
    middle, worst, off = spread(moved)
    return f"""# MVQ's hardware figures, reproduced

Made by `codeword report mvq_hardware`; our side is in `mvq_reproduction.json`, the published side in
`codeword/reports/mvq_hardware/published.toml`. The deviation is ours over published minus 1. One machine
serves all cells; none is fitted on its own. Nothing here is measured: ours are accesses and cycles
*counted* by the closed form of the simulator, energies that are counts times MVQ's Table 8 (*table*) with
four *assumed* parameters, and areas *fitted* to Table 7.

* Figures 15, 17, 19 and 20, {len(moved)} cells: median deviation **{middle:.1%}**, worst {worst:.0%},
  {off} cells off by more than 25 %, each with runs that show what moves it and what that breaks.
* All hardware tables and figures but the areas, {len(hardware)} cells: median {median(hardware):.1%}.
* Labels of bar charts have one decimal: half a unit of it is up to 7 % of a cell.

{grid(["", "cells", "median deviation", "largest", "off by > 25 %"], rows)}"""


def _machine() -> str:
    text = document()
    assumed = [
        [f"`{name}`", toml(getattr(preset("ews-cms-64"), name)), what.removesuffix("; assumed")]
        for name, field in Accelerator.model_fields.items()
        if (what := field.description or "").endswith("; assumed")
    ]
    description = "`, `".join(f"{name} = {toml(value)}" for name, value in text["description"].items())
    energy = "`, `".join(f"{name} = {value}" for name, value in text["energy"].items())
    return f"""## The machine

Presets `ws-S` to `ews-cms-S` with what `codeword/reports/mvq_hardware/machine.toml` changes; mapping
objective `{text["objective"]}`. Everything free is in that file:

* description: `{description}`;
* energy, beside Table 8: `{energy}`;
* which layers a figure counts: the convolutions; Figure 20 the point-wise ones of MobileNet, as printed;
  Table 9 all of AlexNet, since the 25x beside it includes the classifiers.

How they were chosen. Figure 17 depends on the description alone. With the printed 64-bit weight port
loading binds and compression gains too much; at 256 bits it gains too little on ResNet-18. 128 bits a
cycle, loading and computing in turn, lie between: two 64-bit beats, or a bus at twice 300 MHz; the paper
does not say. L2 must keep the 1.8 MB of ResNet-50's first blocks, so weights get 128 KB of it. The
energies have the least mean |log(ours / published)| over Figures 15, 19 and 20 on the grid of `search` in
machine.toml (`codeword report mvq_hardware --stage search`). Nobody printed a stored psum of 24 bits, nor
that a gated multiplier costs three quarters of a busy one. The mapping search itself prices psums at
32 bits and knows no background.

Which layers count was decided by whole figures, never by a cell: with stem and depth-wise layers
MobileNet's bars of Figures 15 and 17 fall into place, with the point-wise layers alone they do not; no
figure but Table 9's AlexNet can contain INT8 classifiers (`variants` has both). For Table 9's
AlexNet neither choice fits.

What else the papers leave open has the defaults of the presets, assumed and not chosen for these figures;
values of EWS-CMS at 64x64. L1 is divided into a half for psums, a quarter for ifmaps and eighths for ofmaps
and residuals, assumed too. The sensitivities have a variant for most.

{grid(["field", "value", "what"], assumed)}"""
