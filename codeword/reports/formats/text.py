"""The page of the formats, from the figures."""

from __future__ import annotations

from typing import Any

from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole

_WORDS = """# Weight formats of few bits on ResNet-20

Made by `codeword report formats`. The shipped `resnet20-fashion` in float32, every convolution but the first rounded to
the format, to nearest, each group with the scale of least squared error (`algos.weights.scaled.fitted`); nothing is
trained or compensated, {calibration} images calibrate the activations. {images:,} Fashion-MNIST test images through the
integers; one image costed on a {size} x {size} array of the format, cycles of the closed form, energy by accesses: the
decoders themselves are in no price, and on SG13G2, where their loaders were not synthesized, the energy is unknown.

{rows}

- *SQNR* is of all rounded weights together. Scales are whole numbers on top of the scale of an output channel, and
  their product with an element is the INT8 weight that the array sees (docs/timing.md 3): nothing is
  rounded there but by the shift of mxint8.
- *Bits* are of the weight stream, with its scales, as the machine takes it: an array lower than a group sends the scale
  again, so that on {size} rows groups of 32 and 64 cost what groups of {size} do.
- INT8 is one scale for each output channel. *mxint8* meets it: an exponent below the largest one of the channel only
  takes bits away from a weight of 8 bits, and costs a row of scales.
"""


def run(task: Task) -> None:
    """Writes the page beside the figures."""
    write_whole(task.out.with_suffix(".md"), page(task.figures()))


def page(found: dict[str, Any]) -> str:
    dense = found["rows"][0]
    rows = [
        (
            "int8" if row is dense else row["name"],
            "" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}",
            f"{row['accuracy']:.1f}",
            f"{row['bits']:.2f}",
            f"{row['cycles']:,}",
            *(_uj(row["mvq40"][part]) for part in ("uj", "uj_without_dram")),
        )
        for row in found["rows"]
    ]
    columns = ("format", "SQNR, dB", "accuracy, %", "bits", "cycles", "mvq40, uJ", "without DRAM")
    return _WORDS.format(
        images=found["images"],
        calibration=found["calibration"],
        size=found["size"],
        rows=table(columns, rows),
    )


def _uj(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
