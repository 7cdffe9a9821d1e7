"""The networks of `codeword.reports.vq4all.train` on their machines.

Keeps what they cost with the other figures; without a work folder, the text is of the figures as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codeword.reports import machines, priced
from codeword.reports.priced import COST_COLUMNS, PRICES, cost_cells
from codeword.reports.registry import Task
from codeword.reports.render import markdown

WAYS = {"universal": "vq4all", "own": "vq"}
"""Where a network's codewords come from, and the method whose machine runs it."""


def run(task: Task) -> None:
    """Writes figures and text."""
    priced.write(task, price, text)


def price(found: dict[str, Any], work: Path) -> None:
    """Adds what the networks cost, built either way."""
    for name, ways in found["networks"].items():
        for way, method in WAYS.items():
            ways[way]["cost"] = machines.cost(work / f"{name}-{way}.safetensors", method)


def text(found: dict[str, Any]) -> str:
    """The report."""
    config, recipe = found["config"], found["float_recipe"]
    gaps = (
        ways["universal"]["accuracy_integer"] - ways["own"]["accuracy_integer"]
        for ways in found["networks"].values()
    )
    return (
        "\n\n".join(
            (
                "# One codebook for three networks",
                "Made by `codeword report vq4all`. VQ4ALL (arXiv 2412.06875) draws one codebook from the weights of "
                "all networks; a ROM of the chip holds it. Here it meets codebooks of their own, one a layer: the "
                "same construction uses them, and with their indices they take at most the bits of the indices into "
                "the universal one. Accuracies are *measured*, bits *counted*. " + PRICES,
                f"{found['data']}, one seed. ResNet-8 and ResNet-14 are trained here, {recipe['epochs']} epochs; "
                f"ResNet-20 is the shipped one. Universal: k = {config['k']:,}, d = {config['d']}. Epochs of each "
                f"construction: {config['epochs']}. Stem and classifier stay dense INT8, outside the ratios.",
                markdown.table(
                    (
                        "network",
                        "codebook",
                        "codewords",
                        "bits a weight",
                        "ratio",
                        "ratio with codebook",
                        "float",
                        "compressed",
                        "in integers",
                    ),
                    _accuracies(found),
                ),
                '"Ratio" leaves the ROM out, "ratio with codebook" charges the network with the whole of it. '
                f"The three networks together: {found['compression_ratio_of_all']:.1f}x beside the ROM of "
                f"{found['rom_bytes']:,} bytes, {found['compression_ratio_of_all_with_rom']:.1f}x with the ROM "
                f"counted once. Some layer uses {found['codewords_used_by_all']:.1%} of its codewords.",
                f"In integers, universal less own codebooks: {', '.join(f'{100 * gap:+.2f}' for gap in gaps)} "
                "points. One seed does not tell a few tenths of a point from chance. The paper claims more than 16x "
                "with high accuracy, for other networks on ImageNet.",
                "## On the machines",
                markdown.table(
                    ("network", "codebook", *COST_COLUMNS),
                    (
                        (name, way, *cost_cells(ways[way]["cost"]))
                        for name, ways in found["networks"].items()
                        for way in WAYS
                    ),
                ),
                '"Every tensor": one image through the cycle engine. The layer on the RTL: '
                f"`{machines.VERIFIED['resnet']}`.",
            )
        )
        + "\n"
    )


def _accuracies(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, ways in found["networks"].items():
        for way in WAYS:
            made = ways[way]
            codewords = str(made["codewords"]) if way == "own" else f"{made['codewords_used']:.1%} of all"
            yield (
                name,
                way,
                codewords,
                f"{made['bits_per_weight']:.3f}",
                f"{made['compression_ratio']:.1f}x",
                f"{made['compression_ratio_with_rom']:.1f}x",
                f"{ways['accuracy_float']:.2%}",
                f"{made['accuracy_float_activations']:.2%}",
                f"{made['accuracy_integer']:.2%}",
            )
