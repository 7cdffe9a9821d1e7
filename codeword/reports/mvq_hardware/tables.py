"""Sections of the report: each published table with our values, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeword.reports.mvq_hardware import figures, normalised
from codeword.reports.mvq_hardware.compared import TITLES
from codeword.reports.mvq_hardware.machine import SIZES
from codeword.reports.mvq_hardware.published import Cell, cells, published, spread
from codeword.reports.mvq_hardware.reasons import LIMIT
from codeword.reports.mvq_hardware.words import grid, name_of, number

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
DeepLab, Mask R-CNN and the 19x MobileNet have k = 256. The other methods of these tables: PvQ's 16x is 32 / 2
bits; of PQF and BGD neither k nor d is printed, and their MACs are those of the dense network.""",
}


def section(key: str, found: Mapping[str, Any]) -> str:
    """A table of published.toml."""
    table, these = published()[key], cells(key, found[key])
    width = len(table.columns)
    rows = [
        [name_of(row, key)] + [_cell(cell) for cell in these[n * width : (n + 1) * width]]
        for n, row in enumerate(table.rows)
    ]
    middle, worst, off = spread(these)
    parts = [
        f"## {TITLES[key]}",
        f"{table.source}: {table.what}. Published / ours (deviation); median {middle:.1%}, "
        f"largest {worst:.0%}, {off} off by more than 25 %.",
        grid(["", *table.columns], rows),
        table.note,
        NOTES.get(key, ""),
        _EXTRA[key](found) if key in _EXTRA else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _cell(cell: Cell) -> str:
    if cell.deviation is None:
        return f"{cell.published:g} / null"
    mark = "**" if abs(cell.deviation) > LIMIT else ""
    return f"{cell.published:g} / {number(cell.ours)} ({mark}{cell.deviation:+.0%}{mark})"


def _claims(found: Mapping[str, Any]) -> str:
    rows = [
        [name, f"{value:.1%}" if "smaller" in name else f"{value:.3f}", how]
        for name, (value, how) in figures.printed_claims().items()
    ]
    return f"""What the paper's own tables give for them:

{grid(["claim", "value", "from"], rows)}

So 2.3x is ResNet-18's best case, without DRAM; 55 % is not against EWS but against EWS with a codebook RF,
and EWS-CMS is larger than EWS at 16x16 (0.469 and 0.36 mm2); 1.73x compares different sparsities, nodes
and SRAM."""


def _comparators(found: Mapping[str, Any]) -> str:
    rows = []
    for row, (nm, raw) in published()["comparators"].rows.items():
        printed, volts = published()["normalised"].rows[row][0] / raw, normalised.assumed_volts(nm)
        rows.append(
            [
                row,
                f"{nm:g}",
                f"{raw:g}",
                f"{printed:.3f}",
                f"{volts:g}",
                f"{normalised.factor(nm, volts):.3f}",
                f"{normalised.supply(nm, printed):.2f}",
            ]
        )
    head = [
        "",
        "nm",
        "TOPS/W as published",
        "printed factor",
        "supply, V",
        "our factor",
        "supply of the printed factor, V",
    ]
    return f"""{grid(head, rows)}

Ours: energy by Stillmaker and Baas at the node and supply, over that at 40 nm and 0.99 V. CGNet's 0.9 V is
printed; the other supplies are nominal ones, assumed before comparing. A tenth of a volt moves a factor by
20 to 30 %."""


def _ews(found: Mapping[str, Any]) -> str:
    by = found["ews by network"]
    rows = [
        [name_of(network), *(number(rows[network][n]) for rows in by.values() for n in range(len(SIZES)))]
        for network in by["throughput"]
    ]
    return f"""The abstract names no networks; ours are MVQ's five:

{grid(["", *(f"{what}, {size}x{size}" for what in by for size in SIZES)], rows)}"""


_EXTRA = {"claims": _claims, "normalised": _comparators, "ews": _ews}
"""What follows the table of published and our values."""
