"""The page of the spikes, from the figures."""

from __future__ import annotations

from typing import Any

from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole

_WORDS = """# Weighted spikes on ResNet-20

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
- *Latency*: steps from the first digit to the last output, T + L Tc for L layers of neurons on the longest way; of the
  others T, and for the first spike T a layer.
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
    )


def _name(row: dict[str, Any]) -> str:
    return row["coding"] if row["coding"] != "sws" or row["signed"] else "sws, binary"
