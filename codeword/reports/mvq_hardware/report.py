"""reports/mvq_reproduction.md: every published figure beside ours, with the deviation and the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from codeword.reports.mvq_hardware import figures, normalised, ssvq, storage, synthesized_areas, universal
from codeword.reports.mvq_hardware.figures import FIGURES, SHARES, Runs
from codeword.reports.mvq_hardware.machine import SIZES, Setup, document
from codeword.reports.mvq_hardware.published import Cell, Rows, cells, published, spread
from codeword.reports.mvq_hardware.reasons import LIMIT, Reason, reasons
from sim.accelerator import Accelerator, preset

TITLES = {
    "claims": "The abstract's claims",
    "table7": "Table 7, areas",
    "table9": "Table 9, MVQ",
    "table9alexnet": "Table 9, AlexNet",
    "normalised": "Table 9, comparators at 40 nm",
    "figure15": "Figure 15, data-access energy",
    "figure17": "Figure 17, speed",
    "figure19": "Figure 19, TOPS/W",
    "figure20": "Figure 20, gain in TOPS/W",
    "ews": "EWS over WS",
    "macs": "Tables 3 to 6, MACs of dense networks",
    "pruned": "Tables 3 to 6, MACs of pruned networks",
    "ratios": "Tables 3 to 6, compression ratios",
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
DeepLab, Mask R-CNN and the 19x MobileNet have k = 256. The other methods of these tables: PvQ's 16x is 32 / 2
bits; of PQF and BGD neither k nor d is printed, and their MACs are those of the dense network.""",
}


def compute(using: Setup) -> dict[str, Any]:
    """Our side of everything, as plain numbers of six digits: what the golden file holds."""
    runs = Runs(using)
    found: dict[str, Any] = {key: _digits(rows) for key, rows in figures.all_tables(runs).items()}
    found["figure15 over WS"] = _digits(figures.data_access(runs, base="ws"))
    found["figure14"] = _digits(figures.shares(runs))
    found["ews by network"] = {
        what: _digits(rows) for what, rows in figures.ews_over_ws_by_network(runs).items()
    }
    found["ssvq"] = {size: [_digit(value) for value in values] for size, values in ssvq.sweep(using).items()}
    found["ssvq traffic"] = ssvq.traffic(using)
    found["universal"] = {network: asdict(universal.traffic(network)) for network in universal.NETWORKS}
    found["universal accesses"] = {
        network: {family: asdict(access) for family, access in universal.accesses(network, using).items()}
        for network in using.networks
    }
    return found


def all_cells(found: Mapping[str, Any]) -> dict[str, list[Cell]]:
    """Every cell, by table."""
    return {key: cells(key, found[key]) for key in TITLES}


def unexplained(found: Mapping[str, Any]) -> list[Cell]:
    """Cells off by more than LIMIT without a reason."""
    known = {(reason.table, reason.row, column) for reason in reasons() for column in reason.columns}
    return [
        cell
        for these in all_cells(found).values()
        for cell in these
        if cell.deviation is not None
        and abs(cell.deviation) > LIMIT
        and (cell.table, cell.row, cell.column) not in known
    ]


def render(found: Mapping[str, Any], sensitivities: Mapping[str, Any]) -> str:
    """The report, from `compute` and `sensitivity.everything`."""
    parts = [
        _head(found),
        _machine(),
        *(_table(key, found) for key in TITLES),
        synthesized_areas.markdown(),
        _reasons(found, sensitivities),
        _figure14(found),
        _sensitivity(sensitivities),
        _ssvq(found),
        _universal(found),
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

Made by `make reproduce-hardware`; our side is in `mvq_reproduction.json`, the published side in
`codeword/reports/mvq_hardware/published.toml`. The deviation is ours over published minus 1. One machine
serves all cells; none is fitted on its own. Nothing here is measured: ours are accesses and cycles
*counted* by the closed form of the simulator, energies that are counts times MVQ's Table 8 (*table*) with
four *assumed* parameters, and areas *fitted* to Table 7.

* Figures 15, 17, 19 and 20, {len(moved)} cells: median deviation **{middle:.1%}**, worst {worst:.0%},
  {off} cells off by more than 25 %, each with runs that show what moves it and what that breaks.
* All hardware tables and figures but the areas, {len(hardware)} cells: median {median(hardware):.1%}.
* Labels of bar charts have one decimal: half a unit of it is up to 7 % of a cell.

{_grid(["", "cells", "median deviation", "largest", "off by > 25 %"], rows)}"""


def _machine() -> str:
    text = document()
    assumed = [
        [f"`{name}`", _toml(getattr(preset("ews-cms-64"), name)), what.removesuffix("; assumed")]
        for name, field in Accelerator.model_fields.items()
        if (what := field.description or "").endswith("; assumed")
    ]
    description = "`, `".join(f"{name} = {_toml(value)}" for name, value in text["description"].items())
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
machine.toml (`codeword report mvq_hardware --search`). Nobody printed a stored psum of 24 bits, nor
that a gated multiplier costs three quarters of a busy one. The mapping search itself prices psums at
32 bits and knows no background.

Which layers count was decided by whole figures, never by a cell: with stem and depth-wise layers
MobileNet's bars of Figures 15 and 17 fall into place, with the point-wise layers alone they do not; no
figure but Table 9's AlexNet can contain INT8 classifiers (`variants` has both). For Table 9's
AlexNet neither choice fits.

What else the papers leave open has the defaults of the presets, assumed and not chosen for these figures;
values of EWS-CMS at 64x64. L1 is divided into a half for psums, a quarter for ifmaps and eighths for ofmaps
and residuals, assumed too. The sensitivities have a variant for most.

{_grid(["field", "value", "what"], assumed)}"""


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(key: str, found: Mapping[str, Any]) -> str:
    table, these = published()[key], cells(key, found[key])
    width = len(table.columns)
    rows = [
        [_name(row, key)] + [_cell(cell) for cell in these[n * width : (n + 1) * width]]
        for n, row in enumerate(table.rows)
    ]
    middle, worst, off = spread(these)
    parts = [
        f"## {TITLES[key]}",
        f"{table.source}: {table.what}. Published / ours (deviation); median {middle:.1%}, "
        f"largest {worst:.0%}, {off} off by more than 25 %.",
        _grid(["", *table.columns], rows),
        table.note,
        NOTES.get(key, ""),
        _EXTRA[key](found) if key in _EXTRA else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _claims(found: Mapping[str, Any]) -> str:
    rows = [
        [name, f"{value:.1%}" if "smaller" in name else f"{value:.3f}", how]
        for name, (value, how) in figures.printed_claims().items()
    ]
    return f"""What the paper's own tables give for them:

{_grid(["claim", "value", "from"], rows)}

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
    return f"""{_grid(head, rows)}

Ours: energy by Stillmaker and Baas at the node and supply, over that at 40 nm and 0.99 V. CGNet's 0.9 V is
printed; the other supplies are nominal ones, assumed before comparing. A tenth of a volt moves a factor by
20 to 30 %."""


def _ews(found: Mapping[str, Any]) -> str:
    by = found["ews by network"]
    rows = [
        [_name(network), *(_number(rows[network][n]) for rows in by.values() for n in range(len(SIZES)))]
        for network in by["throughput"]
    ]
    return f"""The abstract names no networks; ours are MVQ's five:

{_grid(["", *(f"{what}, {size}x{size}" for what in by for size in SIZES)], rows)}"""


_EXTRA = {"claims": _claims, "normalised": _comparators, "ews": _ews}
"""What follows the table of published and our values."""


def _reasons(found: Mapping[str, Any], sensitivities: Mapping[str, Any]) -> str:
    by_place = {(c.table, c.row, c.column): c for these in all_cells(found).values() for c in these}
    made = {entry["what"]: entry for entry in sensitivities["variants"]}
    base = sensitivities["variants"][0]
    rows = []
    for reason in reasons():
        these = [by_place[reason.table, reason.row, column] for column in reason.columns]
        values = ", ".join(f"{_name(c.column)}: {c.published:g} / {_number(c.ours)}" for c in these)
        experiments = [_experiment(reason, made[what], base) for what in reason.variants]
        rows.append(
            [
                TITLES[reason.table].split(",")[0],
                _name(reason.row, reason.table),
                values,
                " ".join([reason.text, *experiments]),
            ]
        )
    return f"""## What is off by more than 25 %, and why

An experiment changes one parameter of the machine and makes everything again. After the cell, what it does to
the rest: cells off by more than 25 % in Figures 15, 17, 19 and 20, here {_off(base)}. TOPS/W of an experiment
have the absolute scale that fits Figure 19 best with it.

{_grid(["", "row", "published / ours", "reason"], rows)}"""


def _experiment(reason: Reason, made: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """The reason's cells with the change, and what it breaks."""
    values = dict(zip(published()[reason.table].columns, made["rows"][reason.table][reason.row], strict=True))
    cells = ", ".join(f"{column} {_number(values[column])}" for column in reason.columns)
    return f"*{made['what']}*: {cells}; off {_off(made)}."


def _off(entry: Mapping[str, Any]) -> str:
    return " + ".join(str(entry[key]["off"]) for key in FIGURES)


def _figure14(found: Mapping[str, Any]) -> str:
    rows = []
    for row, values in found["figure14"].items():
        half = len(SHARES)
        rows.append(
            [
                _name(row),
                *(f"{value:.0f}" for value in values),
                f"{sum(values[:half]) / sum(values[half:]):.2f}",
            ]
        )
    most = sum(values[0] > 50 for values in found["figure14"].values())
    head = ["", *(f"{machine} {name}" for machine in ("EWS", "EWS-CMS") for name in SHARES), "Figure 15"]
    return f"""## Figure 14, data-access energy by memory

The figure has no numbers; the text says that DRAM dominates. Ours, counts times Table 8, in % of what EWS
spends on data access:

{_grid(head, rows)}

DRAM is more than half of EWS' data access in {most} of {len(rows)} cases.

{_base(found)}"""


def _base(found: Mapping[str, Any]) -> str:
    table = published()["figure15"]
    rows = []
    for row, values in table.rows.items():
        ours = zip(values, found["figure15"][row], found["figure15 over WS"][row], strict=True)
        rows.append([_name(row)] + [f"{p:g} / {_number(e)} / {_number(w)}" for p, e, w in ours])
    return f"""Figure 15 compares with an "8-bit base", WS or EWS. Published / over EWS / over WS:

{_grid(["", *table.columns], rows)}

It is EWS. VGG-16's last two values could be the other way round; ours rise with the array."""


def _sensitivity(found: Mapping[str, Any]) -> str:
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
`make reproduce-hardware-sensitivity` makes it anew, in some six minutes of a core.

{_grid(["", *(TITLES[key].split(",")[0] for key in FIGURES)], rows)}

The energies: the least mean |log(ours / published)| over Figures 15, 19 and 20 that a value allows, the other
two parameters free on their grid.

{_grid(["", *([""] * (width - 1))], best)}"""


def _least(search: Sequence[Mapping[str, float]], name: str, value: float) -> float:
    return min(entry["loss"] for entry in search if entry[name] == value)


def _ssvq(found: Mapping[str, Any]) -> str:
    sweep, traffic = found["ssvq"], found["ssvq traffic"]
    dense, coded = traffic["ews"], traffic["ssvq"]
    target, most = published()["ssvq"].rows["deit-t"][0], max(map(max, sweep.values()))
    rows = [
        [f"{size}x{size}"] + [f"**{v:.2f}**" if v >= target else f"{v:.2f}" for v in values]
        for size, values in sweep.items()
    ]
    region = "; ".join(
        f"{size}x{size} up to {max(bits)} bits a cycle"
        for size, bits in ssvq.region(sweep, target).items()
        if bits
    )
    return f"""## SSVQ: 3x over 8 bits on DeiT-Tiny

{published()["ssvq"].source}; neither array nor DRAM is published. Cycles of 8-bit weights on EWS over SSVQ
records (k = 16, d = 8, 1.5 bits a weight) on the same array, batch 1, by DRAM bits a cycle of 300 MHz:

{_grid(["", *(f"{bits}: {bits * 37.5:g} MB/s" for bits in ssvq.DRAM_BITS)], rows)}

3x holds at: {region or "none of these"}.

Weights alone would give 8 / 1.5 = 5.33. DRAM moves {dense / 1e6:.2f} MB an inference in 8 bits and
{coded / 1e6:.2f} MB as records, {dense / coded:.2f} times less, because first and last layer stay dense and
codebooks and maps come on top: no memory, however slow, gives more, and the sweep reaches {most:.2f}. So on
this machine the claim needs a DRAM far slower than 2.4 GB/s, with which the gain is {sweep["16"][-1]:.2f} to
{sweep["64"][-1]:.2f}."""


def _universal(found: Mapping[str, Any]) -> str:
    rows = []
    for network, t in found["universal"].items():
        own, equal = t["indices"] + t["codebooks"], t["equal_indices"] + t["equal_codebooks"]
        rows.append(
            [
                network,
                str(t["layers"]),
                *map(_kib, (own, t["codebooks"], equal, t["universal"])),
                f"{t['universal'] / equal:.2f}",
                f"{t['universal'] / own:.2f}",
            ]
        )
    fewer = sum(t["universal"] < t["indices"] + t["codebooks"] for t in found["universal"].values())
    machine = []
    for network, by in found["universal accesses"].items():
        own, rom = by["ews-c"], by["rom"]
        machine.append(
            [
                _name(network),
                *(f"{rom[what] / own[what]:.2f}" for what in ("dram", "l2", "on_chip", "cycles")),
                f"{rom['waits'] / rom['cycles']:.0%}",
                *(f"{one['lookups'] / one['on_chip']:.1%}" for one in (own, rom)),
            ]
        )
    head = [
        "",
        "layers",
        "own codebooks",
        "codebooks of it",
        "own, equal bits",
        "universal",
        "universal / equal bits",
        "universal / own",
    ]
    stored = [[name, f"{kib:,.0f}"] for name, kib in universal.storage().items()]
    areas = [
        [name, "null" if value is None else f"{value:.2f}", why]
        for name, (value, why) in universal.areas().items()
    ]
    return f"""## VQ4ALL: one codebook in ROM

Nothing is published but the argument; all figures are ours. KiB of compressed weights that DRAM delivers
for one inference, each read once: with a codebook a layer (1024 x 8, MVQ's EWS-C; or up to 2^16 x 8, an
index as long as the universal one's) and with one ROM of 2^16 x 8 for all networks.

{_grid(head, rows)}

At equal index length the ROM saves what codebooks weigh, most on small networks. Against short indices
with small codebooks it reads less on {fewer} of {len(rows)}, since 16 bits an index are 60 % more than 10.

Accesses of the convolutions at 64x64, counted by the closed form, as universal ROM over EWS-C (1024 x 8 a
layer); lookups are the share of on-chip energy, where a ROM read is assumed to cost what L1 does:

{
        _grid(
            ["", "DRAM", "L2", "on-chip energy", "cycles", "waits for a bank", "lookups, RF", "lookups, ROM"],
            machine,
        )
    }

Codebooks on chip, KiB:

{_grid(["", "KiB"], stored)}

Areas in 40 nm:

{_grid(["", "mm2", "source, or why not"], areas)}

The ROM would replace 8 KiB of RF by 512 KiB: it saves area against codebooks that all stay on chip, not
against an RF that is loaded layer by layer, unless a MB of it takes less than the last line says. It saves
the loads of codebooks, and with as many codewords a layer it saves traffic, against small ones not."""


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


def _name(row: str, table: str = "") -> str:
    """A network and size as one reads them, or a row of Tables 3 to 6."""
    if table in ("macs", "pruned", "ratios"):
        return storage.settings()[row].name
    for key, setting in document()["networks"].items():
        if row == key or row.startswith(f"{key}-"):
            size = row[len(key) + 1 :]
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
