"""The networks of `codeword.reports.imagenet.train` on their machines.

Keeps what they cost with the other figures; without a work folder, the text is of the figures as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeword.reports import machines, priced
from codeword.reports.priced import COST_COLUMNS, PRICES, cost_cells
from codeword.reports.registry import Task
from codeword.reports.render import markdown


def run(task: Task) -> None:
    """Writes figures and text."""
    priced.write(task, price, text)


def price(found: dict[str, Any], work: Path) -> None:
    """Adds what the networks cost."""
    for row in found["rows"]:
        row["cost"] = machines.cost(work / row["file"], row["method"])


def text(found: dict[str, Any]) -> str:
    """The report."""
    count, rows = found["pictures"], found["rows"]
    surviving = "; ".join(
        f"{row['network']}, {row['method']}, {row['bits_per_weight']:.2f} bits"
        for row in rows
        if "k" in row and 2 * row["integers"]["agree"] >= count
    )
    float_right = ", ".join(f"{name} {right}" for name, right in found["float_right"].items())
    layers = ", ".join(f"`{machines.verified_layer(name)}` of {name}" for name in found["float_right"])
    return (
        "\n\n".join(
            (
                "# Compressed ImageNet networks beside the float ones",
                f"Made by `codeword report imagenet`: {' and '.join(found['float_right'])} with published weights, "
                "1x1 convolutions compressed, the others and the classifier dense INT8, **no fine-tuning and no "
                f"sparse training**. There are {count} labelled pictures: too few for an accuracy. The same {count} "
                f"set the activation scales. Of them the float networks get right: {float_right}.",
                '"Agree": pictures whose first class is the float network\'s. "SQNR": of the '
                f"{count} x 1,000 logits against the float network's, up to one factor, *measured*; 0 dB means that "
                "nothing is left of them. Bits are *counted*, codebooks included.",
                markdown.table(
                    (
                        "network",
                        "method",
                        "k, d",
                        "bits a weight",
                        "ratio",
                        "agree",
                        "right",
                        "SQNR, dB",
                        "integers: agree",
                        "right",
                        "SQNR, dB",
                    ),
                    map(_line, rows),
                ),
                "At least half of the first classes survive, in integers and without fine-tuning, in "
                f"{surviving or 'no compressed network'}.",
                "MVQ 1:2 sets half of the weights to 0 that were never trained for it, which the paper does before "
                "it clusters; its rows show what that step is worth, not what MVQ reaches. The published accuracies "
                "at 16x (SSVQ 65.9 %, MVQ 65.1 % on MobileNetV2) come after fine-tuning on ImageNet.",
                "## On the machines",
                PRICES
                + " *Unknown*: some part has no price, such as a sparse tile of 1:2 on SG13G2; `codeword "
                "estimate` says which.",
                markdown.table(
                    ("network", "method", "k, d", *COST_COLUMNS),
                    (
                        (row["network"], row["method"], _codebook(row), *cost_cells(row["cost"]))
                        for row in rows
                    ),
                ),
                '"Every tensor": one random picture of 224x224 through the cycle engine. The layer on the RTL: '
                f"{layers}.",
            )
        )
        + "\n"
    )


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    storage = (
        (f"{row['bits_per_weight']:.2f}", f"{row['compression_ratio']:.1f}x") if "k" in row else ("8", "4.0x")
    )
    measured = [
        cell
        for where in ("float_activations", "integers")
        for cell in (str(row[where]["agree"]), str(row[where]["right"]), _db(row[where]["sqnr_db"]))
    ]
    return (row["network"], row["method"], _codebook(row), *storage, *measured)


def _codebook(row: Mapping[str, Any]) -> str:
    return f"{row['k']}, {row['d']}" if "k" in row else ""


def _db(value: float) -> str:
    """Beyond the digits of float32 nothing differs."""
    return f"{value:.1f}" if value < 150 else "no noise"
