"""The page of the arena, from the figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from codeword.reports.formats import decoders
from codeword.reports.formats.costs import CONTEXT, LLAMA_SIZE, SIZE
from codeword.reports.formats.picture import picture
from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole

Row = dict[str, Any]

LOSSES = (0.5, 1.0)
"""Points of accuracy that a row may lose to be ranked."""

BYTES = (0.01, 0.05, 0.1)
"""Bits a byte, likewise."""

FLOOR = 0.02
"""Least loss on the logarithmic axes; what loses less stands there."""

_WORDS = """# The arena of weight formats

Made by `codeword report formats`. Every format on the shipped `resnet20-fashion` and the shipped small Llama, at the
accuracy that its best method gives *here*. **Not trained**: of RTN, GPTQ, GPTAQ, ResComp and W* the one whose answers
are nearest to the float network's (Kullback-Leibler, on samples that calibrate nothing; no labels), or the clustering
of a codebook method alone. **Fine-tuned**: by so many updates with labels. The two are not to be compared without
this in mind: no scalar format was fine-tuned. Each scale is a whole number on top of that of
its output channel, as the machines hold it ([timing.md](../docs/timing.md) section 3).

![What is lost, against bits and energy](formats.png)

## ResNet-20

*Lost* are points of accuracy against INT8 of the same run: of {images:,} test images in integers ({right:.1f}% right
with INT8), rows of 10,000 images of `codeword report comparison`. {images:,} images tell {spread:.1f} points from
nothing (one standard deviation of a difference in which a twentieth of the answers change). {calibration} images
calibrate. *Bits* are of the stream a weight of all layers in the format, scales, masks, signs and codebooks included,
but for a ROM. Cycles, bytes of DRAM and energy are of one image, by closed form, on {size}x{size} arrays; MVQ's 40 nm
energies, and SG13G2 with clock gates by our own netlists. *Decoding* is the area of loader, codebook memory and ROM
on SG13G2.

{resnet}

- The energies of SG13G2 price a decoder by its clock and leakage, not by its switching.
- Groups are of 16 inputs: an array of 16 rows sends a scale for each 16 rows, whatever the group, so that smaller
  groups cost nothing more. MXFP4 therefore has blocks of 16 here, too.
- *mvq* starts from the 4:16 network of the zoo, which 4 epochs of sparse training with labels made; so does its row
  without fine-tuning. SSVQ's row of the comparison is of an older freezing. *rom* has a codebook of its own here,
  which four networks would share there.

### At equal accuracy

The cheapest rows, by energy of an image with DRAM, that lose no more; nothing is interpolated.

{ranking}

{decides}

## The small Llama

Bits a byte of 32 KiB of *Moby Dick* that it never saw, weights of all projections of the four blocks rounded,
activations in float32; embedding and head stay, in float32 here and in INT8 on the machines. {windows} windows of 256
bytes calibrate. Groups of 64, blocks of 32 and 16. Counted as `codeword report language` counts, on
{llama_size}x{llama_size} arrays with LPDDR4, MVQ's 40 nm energies: a prompt of {context} bytes, and the last of
{context}.

{llama}

### At equal bits a byte

By energy of a byte written.

{llama_ranking}

## Decoders

What makes words of weights out of the rows of the stream, 16 columns, with clock gates, memories of codebooks apart:
{library}, before placement, without wires. Paths by OpenSTA hold a decoder with all that is in it.

{decoders}

A slower component than any of them sets the clock of all these machines (8.9 ns on SG13G2).
"""


def run(task: Task) -> None:
    """Writes the page and the picture beside the figures."""
    found = task.figures()
    write_whole(task.out.with_suffix(".md"), page(found))
    drawn = {
        "ResNet-20": _drawn(found["rows"]["resnet20"], "lost", "points lost against INT8"),
        "small Llama": _drawn(found["rows"]["llama"], "lost", "bits a byte lost"),
    }
    bits = ("bits a weight", lambda row: row["bits"])
    picture(
        drawn,
        {
            "ResNet-20": (bits, ("energy of an image, uJ, SG13G2", lambda row: row["sg13g2"]["uj"])),
            "small Llama": (
                bits,
                ("energy of a byte written, uJ, mvq40", lambda row: row["decode"]["energy_j"] * 1e6),
            ),
        },
        task.out.with_suffix(".png"),
    )


def _drawn(rows: Sequence[Row], loss: str, label: str) -> list[Row]:
    least = FLOOR if label.startswith("points") else FLOOR / 100
    return [
        row | {"loss": max(least, row[loss]), "loss_label": f"{label}, at least {least:g}"}
        for row in rows[1:]
    ]


def page(found: dict[str, Any]) -> str:
    """The report."""
    rows, llama = found["rows"]["resnet20"], found["rows"]["llama"]
    shown = json.loads(decoders.path().read_text())
    images = found["images"]
    return _WORDS.format(
        images=images,
        right=rows[0]["accuracy"],
        spread=100 * (0.05 / images) ** 0.5,
        calibration=found["calibration"]["resnet20"],
        windows=found["calibration"]["llama"],
        size=SIZE,
        llama_size=LLAMA_SIZE,
        context=CONTEXT,
        resnet=table(
            (
                *("format", "method", "training", "bits", "lost, points", "cycles", "DRAM, KB"),
                *("mvq40, uJ", "SG13G2, uJ", "decoding, mm2"),
            ),
            map(_resnet, rows),
        ),
        ranking=_ranking(rows, LOSSES, lambda row: row["sg13g2"]["uj"], "uJ on SG13G2"),
        decides=_decides(rows),
        llama=table(
            (
                *("format", "method", "training", "bits", "bits a byte", "lost"),
                *("prompt, ms", "prompt, uJ", "a byte, us", "a byte, uJ", "DRAM a byte, KB"),
            ),
            map(_llama, llama),
        ),
        llama_ranking=_ranking(llama, BYTES, lambda row: row["decode"]["energy_j"] * 1e6, "uJ, mvq40"),
        library=shown["library"],
        decoders=table(
            ("format", "machine", "area, mm2", "flip-flops", "longest path, ns", "by"),
            (
                (
                    *(form, one["machine"], f"{one['um2'] * 1e-6:.4f}", str(one["flip_flops"])),
                    *(f"{one['path_ns']:.2f}", "OpenSTA" if one["timing"] == "opensta" else "ABC, each part"),
                )
                for form, one in sorted(shown["decoders"].items(), key=lambda item: item[1]["um2"])
            ),
        ),
    )


def _training(row: Row) -> str:
    return f"{row['updates']:,} updates: {row['trained']}" if row["trained"] else "none"


def _resnet(row: Row) -> tuple[str, ...]:
    return (
        *(row["name"], row["method"], _training(row), f"{row['bits']:.2f}", f"{row['lost']:.2f}"),
        *(f"{row['cycles']:,}", f"{row['dram_bytes'] / 1e3:.0f}"),
        *(_number(row[technology]["uj"]) for technology in ("mvq40", "sg13g2")),
        "" if row["sg13g2"]["decoding_mm2"] is None else f"{row['sg13g2']['decoding_mm2']:.3f}",
    )


def _llama(row: Row) -> tuple[str, ...]:
    prompt, step = row["prefill"], row["decode"]
    return (
        *(row["name"], row["method"], _training(row), f"{row['bits']:.2f}"),
        *(f"{row['bits_per_byte']:.4f}", f"{row['lost']:.4f}"),
        *(_number(1e3 * prompt["time_s"]), _number(1e6 * prompt["energy_j"])),
        *(_number(1e6 * step["time_s"]), _number(1e6 * step["energy_j"])),
        _number(sum(step["traffic_bytes"].values()) / 1e3),
    )


def _ranking(
    rows: Sequence[Row], losses: Iterable[float], cost: Callable[[Row], float | None], unit: str
) -> str:
    """The cheapest row of each format that loses no more, from cheap to dear."""
    lines = []
    for loss in losses:
        best: dict[str, Row] = {}
        for row in rows:
            price, form = cost(row), row["name"].partition("-")[0]
            if (
                price is not None
                and row["lost"] <= loss
                and (form not in best or price < (cost(best[form]) or 0.0))
            ):
                best[form] = row
        order = sorted(best.values(), key=lambda row: cost(row) or 0.0)
        for place, row in enumerate(order, 1):
            lines.append(
                (
                    *(f"{loss:g}", str(place), row["name"], "yes" if row["trained"] else "no"),
                    *(f"{row['bits']:.2f}", _number(cost(row))),
                )
            )
    return table(("loses at most", "rank", "format", "fine-tuned", "bits", unit), lines)


def _decides(rows: Sequence[Row]) -> str:
    """What a row's energy is made of, beside INT8's, and its largest stalls."""
    whole = rows[0]
    lines = []
    for row in rows[1:]:
        if row["trained"] and any(other["name"] == row["name"] for other in rows if other is not row):
            continue  # costs are those of the row without training
        stalls = sorted(row["stalls"].items(), key=lambda item: -item[1])[:2]
        saved = (whole["dram_bytes"] - row["dram_bytes"]) / 1e3
        dram, rest = (
            row["sg13g2"][name] - whole["sg13g2"][name]
            if row["sg13g2"][name] is not None and whole["sg13g2"][name] is not None
            else None
            for name in ("uj", "uj_without_dram")
        )
        lines.append(
            (
                *(row["name"], f"{saved:.0f}"),
                "" if dram is None or rest is None else f"{dram - rest:+.1f}",
                "" if rest is None else f"{rest:+.1f}",
                f"{row['cycles'] - whole['cycles']:+,}",
                ", ".join(f"{cause} {count:,}" for cause, count in stalls),
            )
        )
    columns = ("format", "KB of DRAM saved", "uJ of DRAM", "uJ of the chip", "cycles", "largest stalls")
    return "What decides, against INT8 on SG13G2:\n\n" + table(columns, lines)


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
