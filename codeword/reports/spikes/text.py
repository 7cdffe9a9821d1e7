"""The page of the spikes, from the figures."""

from __future__ import annotations

from typing import Any

from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole

_WORDS = """# Weighted spikes

## ResNet-20

Made by `codeword report spikes`. {images:,} Fashion-MNIST test images through the shipped `{network}`, its integers
taken over as they are: nothing is trained, thresholds are the requantizations, additions join currents
(`algos/spikes`). INT8: {accuracy:.2f} %, {macs:,} multiply-accumulates. The neuron is our
reconstruction of SWS (arXiv 2408.17245), whose equations and tables are not public: nothing here stands beside a figure
of the paper.

{rows}

- *sws*: stepwise weighted spikes, ternary, firing at half the threshold; *binary* without -1 and at the whole
  threshold.
- *Less INT8*: percentage points less than the integers have on the same images, the first of the test set.
- *Additions* are of one weight to one charge, for every spike and every neuron that it reaches. The paper counts these
  alone.
- *Updates* are of a neuron's charge in a step: a shift, two comparisons, perhaps a subtraction, and reading and writing
  the charge.
- *Images*: the first of the test set; other codings of many steps ran on few, since a neuron's steps take their time.
  One standard error of an accuracy is at most 50 / sqrt(images) points: 0.5 of 10,000 images, 1.6 of 1,000, 3.5 of 200.
  `--images` sets a limit; with the same work folder a later run goes on from there.
- *Latency*: steps from the first digit to the last output, T + L Tc for L layers of neurons on the longest way; of the
  others T, and for the first spike T a layer.

{deep}{machines}"""
_DEEP = """## A deep network

`{network}` with its ImageNet weights: {layers} layers that speak or are read, {signed} of them signed, since its
bottlenecks have no ReLU. There are {pictures} labelled pictures, too few for an accuracy; the float network gets
{right} right. The same pictures set the INT8 scales, which became thresholds. Nothing is trained.

{rows}

- *Agree*: pictures whose first class is the float network's. *SQNR*: of the {pictures} x 1,000 charges against the
  float network's logits, up to one factor.
{silent}

"""
_MACHINES = """## On machines

The engines' counts of {images} of these images, mean, at the prices of sg13g2: our netlists, evaluated on operands and
spikes of this network, no wires and no glitches; SRAM of the library's macros. INT8 on the arrays that MVQ describes;
`ews-16` runs the same weights dense, `ews-cms-16` as codewords. Each machine at the clock that its longest path allows,
if not 300 MHz.

{rows}

- *Cells*: area without SRAM, and of `sws-16` without registers and ports, which were not priced; L2 is the same 2 MB
  everywhere.
- *No spikes*: the energy that stays if no digit were anything but 0 and the array never worked: memory, clock, leakage.
- *PJ an addition*: what the rest is for each addition of a weight.

{breaks}
"""


def run(task: Task) -> None:
    """Writes the page beside the figures."""
    write_whole(task.out.with_suffix(".md"), page(task.figures()))


def page(found: dict[str, Any]) -> str:
    rows = [
        (
            _name(row),
            str(row["digits"]),
            "" if row["silent"] is None else str(row["silent"]),
            f"{row['accuracy']:.2f}",
            f"{row['images']:,}",
            f"{row['accuracy'] - found['plain']['accuracy'][str(row['images'])]:+.2f}",
            str(row["latency"]),
            f"{row['spikes_per_neuron']:.2f}",
            f"{sum(row['additions'].values()) / found['plain']['macs']:.2f}" if "additions" in row else "",
            f"{row['updates'] / found['plain']['macs']:.3f}" if "updates" in row else "",
        )
        for row in found["rows"]
    ]
    columns = ("coding", "T", "Tc", "accuracy, %", "images", "less INT8", "latency, steps")
    counted = ("spikes a neuron", "additions a MAC", "updates a MAC")
    return _WORDS.format(
        images=found["images"],
        network=found["network"],
        accuracy=found["plain"]["accuracy"][str(found["images"])],
        macs=found["plain"]["macs"],
        rows=table((*columns, *counted), rows),
        deep=_deep(found["deep"]) if "deep" in found else "",
        machines=_machines(found["machines"]) if "machines" in found else "",
    )


def _deep(found: dict[str, Any]) -> str:
    """INT8 stands first among the rows."""
    integers, *spiking = found["rows"]
    rows = [
        (
            "INT8" if row["digits"] is None else "sws",
            *("" if row[name] is None else str(row[name]) for name in ("digits", "silent")),
            str(row["agree"]),
            str(row["right"]),
            f"{row['sqnr_db']:.1f}",
            *_taken(row),
        )
        for row in found["rows"]
    ]
    columns = ("coding", "T", "Tc", "agree", "right", "SQNR, dB", "latency, steps")
    counted = ("spikes a neuron", "additions a MAC", "updates a MAC")
    best = {
        silent: max(row["sqnr_db"] for row in spiking if row["silent"] == silent)
        for silent in sorted({row["silent"] for row in spiking})
    }
    reached = ", ".join(f"{best[silent]:.1f} dB with Tc = {silent}" for silent in best)
    return _DEEP.format(
        **{name: found[name] for name in ("network", "pictures", "right")},
        **{name: spiking[0][name] for name in ("layers", "signed")},
        rows=table((*columns, *counted), rows),
        silent=f"- At best: {reached}; INT8 {integers['sqnr_db']:.1f} dB.",
    )


def _taken(row: dict[str, Any]) -> tuple[str, ...]:
    if row["digits"] is None:
        return ("", "", "", "")
    return (
        str(row["latency"]),
        f"{row['spikes_per_neuron']:.2f}",
        f"{row['additions_per_mac']:.2f}",
        f"{row['updates_per_mac']:.3f}",
    )


def _machines(found: dict[str, Any]) -> str:
    rows = [
        (
            row["machine"] if row["steps"] is None else f"{row['machine']}, T = {row['steps']}",
            f"{row['cycles']:,}",
            f"{1e-6 * row['clock_hz']:.0f}",
            f"{1e3 * row['time_s']:.2f}",
            f"{row['cells_mm2']:.2f}",
            f"{1e-6 * row['without_dram_pj']:.0f}",
            f"{1e-6 * (row['without_dram_pj'] + row['energy_pj']['dram']):.0f}",
            *_spikes(row),
        )
        for row in found["rows"]
    ]
    columns = ("machine", "cycles", "MHz", "ms", "cells, mm2", "uJ", "uJ with DRAM")
    own = ("additions, M", "digits not 0", "no spikes, uJ", "pJ an addition")
    return _MACHINES.format(
        images=found["images"], rows=table((*columns, *own), rows), breaks="\n".join(_breaks(found["rows"]))
    )


def _spikes(row: dict[str, Any]) -> tuple[str, ...]:
    if row["steps"] is None:
        return ("", "", "", "")
    each = (row["without_dram_pj"] - row["silent_pj"]) / row["additions"]
    return (
        f"{1e-6 * row['additions']:.1f}",
        f"{row['density']:.1%}",
        f"{1e-6 * row['silent_pj']:.0f}",
        f"{each:.2f}",
    )


def _breaks(rows: list[dict[str, Any]]) -> list[str]:
    """For each number of steps and each INT8 machine the share of its spikes at which the energies are equal."""
    lines = []
    for row in (row for row in rows if row["steps"] is not None):
        for other in (row for row in rows if row["steps"] is None):
            spare = other["without_dram_pj"] - row["silent_pj"]
            share = spare / (row["without_dram_pj"] - row["silent_pj"])
            what = (
                f"breaks even with {other['machine']} at {share:.0%} of its spikes"
                if share > 0
                else f"takes more than {other['machine']} without any spike"
            )
            lines.append(f"- T = {row['steps']} {what}.")
    return lines


def _name(row: dict[str, Any]) -> str:
    return row["coding"] if row["coding"] != "sws" or row["signed"] else "sws, binary"
