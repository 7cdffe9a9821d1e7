"""reports/mvq_reproduction.md: every published figure beside ours, with the deviation and the reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from codeword.hardware import figures, ssvq, universal
from codeword.hardware.figures import FIGURES, Runs
from codeword.hardware.machine import Setup, document
from codeword.hardware.published import Cell, Rows, cells, published, spread

LIMIT = 0.25
"""A cell further off needs a reason."""
TITLES = {
    "claims": "The abstract's claims", "table7": "Table 7, areas", "table9": "Table 9, MVQ",
    "table9alexnet": "Table 9, AlexNet", "figure15": "Figure 15, data-access energy",
    "figure17": "Figure 17, speed", "figure19": "Figure 19, TOPS/W", "figure20": "Figure 20, gain in TOPS/W",
    "ews": "EWS over WS", "macs": "Tables 3 to 6, MACs of dense networks",
    "pruned": "Tables 3 to 6, MACs of pruned networks", "ratios": "Tables 3 to 6, compression ratios",
}
NOTES = {
    "table7": """\
Ours is the fit that areas at other sizes come from: two parameters for three sizes each. At the printed
sizes the tool gives the printed values, so those prove nothing. Memories and Others are the printed
values: equal by construction.""",
    "table9": "Areas from the same fits. MACs and peak follow from the array.",
    "table9alexnet": "Of an array that keeps 8 of 16 weights only this area is known: ours is null.",
    "figure19": "One absolute MAC energy for all cells; relative cells do not depend on it.",
    "macs": """\
Mask R-CNN: backbone and pyramid, whose sum is the printed figure; the heads are another 99 GMAC. DeepLab:
21 % more than printed both dense and pruned, so another variant of the network; the paper names none.""",
    "pruned": "First convolution dense but for AlexNet and VGG-16, every other layer N/M.",
    "ratios": """\
Whole network against 32 bits, codebooks included (MVQ eq. 7), depth-wise layers in INT8. k and d are
printed for the ResNets only, and back-solved for the others, so these agree because they may: VGG-16,
DeepLab, Mask R-CNN and the 19x MobileNet have k = 256.""",
}


def compute(using: Setup) -> dict[str, Any]:
    """Our side of everything, as plain numbers of six digits: what the golden file holds."""
    runs = Runs(using)
    found: dict[str, Any] = {key: _digits(rows) for key, rows in figures.all_tables(runs).items()}
    found["figure15 over WS"] = _digits(figures.data_access(runs, base="ws"))
    found["reasons"] = [_digits(rerun(reason, using)) for reason in reasons()]
    found["ssvq"] = {str(size): [_digit(value) for value in values]
                     for size, values in ssvq.sweep(using).items()}
    found["universal"] = {network: asdict(universal.traffic(network)) for network in universal.NETWORKS}
    return found


def reasons() -> list[dict[str, Any]]:
    """Entries of reasons.toml."""
    found: list[dict[str, Any]] = tomllib.loads(
        (Path(__file__).parent / "reasons.toml").read_text())["reasons"]
    return found


def rerun(reason: Mapping[str, Any], using: Setup) -> Rows:
    """The row of a reason with its change; empty without one."""
    if "change" not in reason:
        return {}
    make = {**FIGURES, "table9alexnet": figures.summary_alexnet}[reason["table"]]
    return make(Runs(using.variant(reason["change"])), only=reason["row"])


def all_cells(found: Mapping[str, Any]) -> dict[str, list[Cell]]:
    """Every cell, by table."""
    return {key: cells(key, found[key]) for key in TITLES}


def unexplained(found: Mapping[str, Any]) -> list[Cell]:
    """Cells off by more than LIMIT without a reason."""
    known = {(r["table"], r["row"], column) for r in reasons() for column in r["columns"]}
    return [cell for these in all_cells(found).values() for cell in these
            if cell.deviation is not None and abs(cell.deviation) > LIMIT
            and (cell.table, cell.row, cell.column) not in known]


def render(found: Mapping[str, Any], sensitivities: Mapping[str, Any]) -> str:
    """The report, from `compute` and `sensitivity.everything`."""
    parts = [_head(found), _machine(), *(_table(key, found) for key in TITLES), _fixed(),
             _reasons(found), _base(found), _sensitivity(sensitivities), _ssvq(found), _universal(found)]
    return "\n\n".join(parts) + "\n"


def _head(found: Mapping[str, Any]) -> str:
    by_table = all_cells(found)
    moved = [cell for key in FIGURES for cell in by_table[key]]
    hardware = [abs(cell.deviation) for key in ("claims", "table9", "table9alexnet", *FIGURES, "ews")
                for cell in by_table[key] if cell.deviation is not None]
    rows = []
    for key, these in by_table.items():
        middle, worst, off = spread(these)
        rows.append([TITLES[key], str(len(these)), f"{middle:.1%}", f"{worst:.0%}", str(off)])
    middle, worst, off = spread(moved)
    return f"""# MVQ's hardware figures, reproduced

Made by `make reproduce-hardware`; our side is in `mvq_reproduction.json`, the published side in
`codeword/hardware/published.toml`. The deviation is ours over published minus 1. One machine serves all
cells; none is fitted on its own.

* Figures 15, 17, 19 and 20, {len(moved)} cells: median deviation **{middle:.1%}**, worst {worst:.0%},
  {off} cells off by more than 25 %, each with a run that shows what moves it.
* All hardware tables and figures but the areas, {len(hardware)} cells: median {median(hardware):.1%}.
* Labels of bar charts have one decimal: half a unit of it is up to 7 % of a cell.

{_grid(["", "cells", "median deviation", "largest", "off by > 25 %"], rows)}"""


def _machine() -> str:
    text = document()
    description = "`, `".join(f"{name} = {_toml(value)}" for name, value in text["description"].items())
    energy = "`, `".join(f"{name} = {value}" for name, value in text["energy"].items())
    return f"""## The machine

Presets `ws-S` to `ews-cms-S` with what `codeword/hardware/machine.toml` changes; mapping objective
`{text["objective"]}`. Everything free is in that file:

* description: `{description}`;
* energy, beside Table 8: `{energy}`;
* which layers a figure counts: the convolutions; Figure 20 the point-wise ones of MobileNet, as printed;
  Table 9 all of AlexNet, since the 25x beside it includes the classifiers.

How they were chosen. Figure 17 depends on the description alone. With the printed 64-bit weight port
loading binds and compression gains too much; at 256 bits it gains too little on ResNet-18. 128 bits a
cycle, loading and computing in turn, lie between: two 64-bit beats, or a bus at twice 300 MHz; the paper
does not say. L2 must keep the 1.8 MB of ResNet-50's first blocks, so weights get 128 KB of it. The
energies have the least mean |log(ours / published)| over Figures 15, 19 and 20 on the grid of `search` in
machine.toml (`python -m codeword.reproduce_hardware --search`). Nobody printed a stored psum of 24 bits,
nor that a gated multiplier costs three quarters of a busy one. The mapping search itself prices psums at
32 bits and knows no background.

Which layers count was decided by whole figures, never by a cell: with stem and depth-wise layers
MobileNet's bars of Figures 15 and 17 fall into place, with the point-wise layers alone they do not; no
figure but Table 9's AlexNet can contain INT8 classifiers (`variants` has both). For Table 9's
AlexNet neither choice fits."""


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(key: str, found: Mapping[str, Any]) -> str:
    table, these = published()[key], cells(key, found[key])
    width = len(table.columns)
    rows = [[_name(row)] + [_cell(cell) for cell in these[n * width:(n + 1) * width]]
            for n, row in enumerate(table.rows)]
    middle, worst, off = spread(these)
    parts = [
        f"## {TITLES[key]}",
        f"{table.source}: {table.what}. Published / ours (deviation); median {middle:.1%}, "
        f"largest {worst:.0%}, {off} off by more than 25 %.",
        _grid(["", *table.columns], rows), table.note, NOTES.get(key, ""),
        _claims() if key == "claims" else ""]
    return "\n\n".join(part for part in parts if part)


def _claims() -> str:
    rows = [[name, f"{value:.1%}" if "smaller" in name else f"{value:.3f}", how]
            for name, (value, how) in figures.printed_claims().items()]
    return f"""What the paper's own tables give for them:

{_grid(["claim", "value", "from"], rows)}

So 2.3x is ResNet-18's best case, without DRAM; 55 % is not against EWS but against EWS with a codebook RF,
and EWS-CMS is larger than EWS at 16x16 (0.469 and 0.36 mm2); 1.73x compares different sparsities, nodes
and SRAM."""


def _fixed() -> str:
    rows = [[name, f"{nm:g}", f"{raw:g}", f"{norm:g}", f"{norm / raw:.3f}", "null"]
            for name, (nm, raw, norm) in published()["comparators"].rows.items()]
    return f"""## Table 8 and the comparators

Table 8 is an input: its seven ratios are the coefficients of `sim/technology/mvq40.toml`, so there is
nothing to compare.

{_grid(["Table 9", "nm", "TOPS/W", "normalised, published", "factor", "ours"], rows)}

Ours is null: the factors follow Stillmaker and Baas, whose coefficients are not among our sources. The two
rows of 45 nm have the same factor, so these agree with one another."""


def _reasons(found: Mapping[str, Any]) -> str:
    by_place = {(c.table, c.row, c.column): c for these in all_cells(found).values() for c in these}
    rows = []
    for reason, again in zip(reasons(), found["reasons"], strict=True):
        these = [by_place[reason["table"], reason["row"], column] for column in reason["columns"]]
        values = ", ".join(f"{_name(c.column)}: {c.published:g} / {_number(c.ours)}" for c in these)
        text = reason["text"]
        if again:
            columns = published()[reason["table"]].columns
            pairs = zip(columns, again[reason["row"]], strict=True)
            text += " " + ", ".join(f"{column} {_number(value)}" for column, value in pairs) + "."
        rows.append([TITLES[reason["table"]].split(",")[0], _name(reason["row"]), values, text])
    grid = _grid(["", "row", "published / ours", "reason"], rows)
    return f"## What is off by more than 25 %, and why\n\n{grid}"


def _base(found: Mapping[str, Any]) -> str:
    table = published()["figure15"]
    rows = []
    for row, values in table.rows.items():
        ours = zip(values, found["figure15"][row], found["figure15 over WS"][row], strict=True)
        rows.append([_name(row)] + [f"{p:g} / {_number(e)} / {_number(w)}" for p, e, w in ours])
    return f"""## Which base Figure 15 has

The paper says "8-bit base". Published / over EWS / over WS:

{_grid(["", *table.columns], rows)}

It is EWS. VGG-16's last two values could be the other way round; ours rise with the array."""


def _sensitivity(found: Mapping[str, Any]) -> str:
    def effect(entry: Mapping[str, Any], key: str) -> str:
        change = entry[key]["change"]
        return f"{entry[key]['deviation']:.1%}, {entry[key]['off']}" + (f" ({change:+.0%})" if change else "")

    rows = [[entry["what"], *(effect(entry, key) for key in FIGURES)] for entry in found["variants"]]
    made = {entry["what"] for entry in found["variants"]}
    left = [variant["what"] for variant in document()["variants"] if variant["what"] not in made]
    missing = f"\n\nNot made yet: {'; '.join(left)}." if left else ""
    best = [[name, *(f"{value:g}: {_least(found['search'], name, value):.3f}" for value in values)]
            for name, values in document()["search"].items()]
    width = max(map(len, best))
    best = [row + [""] * (width - len(row)) for row in best]
    return f"""## Sensitivities

One change at a time: median deviation from the published values, cells off by more than 25 %, and in
brackets, where kept, the largest change of a cell. Figure 19 with the absolute scale that fits each variant
best. `make reproduce-hardware-sensitivity` makes it anew (minutes);
these are from the log of one run, to 0.1 %.

{_grid(["", *(TITLES[key].split(",")[0] for key in FIGURES)], rows)}{missing}

The energies: the least mean |log(ours / published)| over Figures 15, 19 and 20 that a value allows, the other
two parameters free on their grid.

{_grid(["", *([""] * (width - 1))], best)}"""


def _least(search: Sequence[Mapping[str, float]], name: str, value: float) -> float:
    return min(entry["loss"] for entry in search if entry[name] == value)


def _ssvq(found: Mapping[str, Any]) -> str:
    sweep = {int(size): values for size, values in found["ssvq"].items()}
    target, most = published()["ssvq"].rows["deit-t"][0], max(map(max, sweep.values()))
    rows = [[f"{size}x{size}"] + [f"**{v:.2f}**" if v >= target else f"{v:.2f}" for v in values]
            for size, values in sweep.items()]
    region = "; ".join(f"{size}x{size} up to {max(bits)} bits a cycle" for size, bits in
                       ssvq.region(sweep, target).items() if bits)
    return f"""## SSVQ: 3x over 8 bits on DeiT-Tiny

{published()["ssvq"].source}; neither array nor DRAM is published. Cycles of 8-bit weights on EWS over SSVQ
records (k = 16, d = 8, 1.5 bits a weight) on the same array, batch 1, by DRAM bits a cycle of 300 MHz:

{_grid(["", *(f"{bits} bits, {bits * 37.5:g} MB/s" for bits in ssvq.DRAM_BITS)], rows)}

3x holds at: {region or "none of these"}. Weights alone would give 8 / 1.5 = 5.33; the dense first and last
layers, codebooks, maps and attention keep it at {most:.1f} even with the slowest DRAM. So the claim needs
a DRAM of about 150 MB/s or less, or a simulator that counts weight traffic only."""


def _universal(found: Mapping[str, Any]) -> str:
    rows = []
    for network, t in found["universal"].items():
        own, equal = t["indices"] + t["codebooks"], t["equal_indices"] + t["equal_codebooks"]
        rows.append([network, str(t["layers"]), *map(_kib, (own, t["codebooks"], equal, t["universal"])),
                     f"{t['universal'] / equal:.2f}", f"{t['universal'] / own:.2f}"])
    head = ["", "layers", "own codebooks", "codebooks of it", "own, equal bits", "universal",
            "universal / equal bits", "universal / own"]
    stored = [[name, f"{kib:,.0f}"] for name, kib in universal.storage().items()]
    areas = [[name, "null" if value is None else f"{value:.2f}", why]
             for name, (value, why) in universal.areas().items()]
    return f"""## VQ4ALL: one codebook in ROM

Nothing is published but the argument; all figures are ours. KiB of compressed weights that DRAM delivers
for one inference, each read once: with a codebook a layer (1024 x 8, MVQ's EWS-C; or up to 2^16 x 8, an
index as long as the universal one's) and with one ROM of 2^16 x 8 for all networks.

{_grid(head, rows)}

At equal index length the ROM saves what codebooks weigh, most on small networks. Against short indices
with small codebooks it reads more on most of them, since 16 bits an index are 60 % more than 10. Codebooks
on chip, KiB:

{_grid(["", "KiB"], stored)}

Areas in 40 nm:

{_grid(["", "mm2", "source, or why not"], areas)}

The ROM would replace 8 KiB of RF by 512 KiB: it saves area only against codebooks that all stay on chip,
or below the break-even density."""


def _cell(cell: Cell) -> str:
    if cell.deviation is None:
        return f"{cell.published:g} / null"
    mark = "**" if abs(cell.deviation) > LIMIT else ""
    return f"{cell.published:g} / {_number(cell.ours)} ({mark}{cell.deviation:+.0%}{mark})"


def _number(value: float | None) -> str:
    if value is None:
        return "null"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _kib(size: int) -> str:
    return f"{size / 1024:,.0f}"


def _name(row: str) -> str:
    """A network and size as one reads them."""
    for key, setting in document()["networks"].items():
        if row == key or row.startswith(f"{key}-"):
            size = row[len(key) + 1:]
            return setting["name"] + (f", {size}x{size}" if size.isdigit() else f", {size}" if size else "")
    return row


def _grid(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _digit(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _digits(rows: Rows) -> dict[str, list[float | None]]:
    return {row: [_digit(value) for value in values] for row, values in rows.items()}
