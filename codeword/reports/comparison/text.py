"""What the runs of `codeword.reports.comparison.train` cost on their machines, the text and its picture.

Keeps the finished runs of the work folder with their cost; without one, reads them from the file as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from codeword.reports import machines
from codeword.reports.comparison.picture import Point, picture
from codeword.reports.priced import COST_COLUMNS, PRICES, cost_cells
from codeword.reports.registry import Task
from codeword.reports.render import markdown
from codeword.tables import number
from sim.errors import InputError
from sim.files import write_json, write_whole

Run = dict[str, Any]
NETWORKS = ("resnet8", "resnet20", "deit", "vim")
"""In the order of the report."""
PUBLISHED = (
    ("MobileNet-V2, 16x", "SSVQ 65.9 %, MVQ 65.1 %"),
    ("DeiT-Tiny, 21x", "VQ 47 %, SSVQ with fixed signs 47 %, learned 54 %, frozen 62 %"),
    ("DeiT-Tiny, freezing examined every 100, 500, 1,000 updates", "60.9, 61.9, 61.6 %"),
    ("ResNet-18, 22x", "VQ 66.5 %, MVQ 68.8 % (of 69.7 %)"),
)
"""Top-1 on ImageNet: SSVQ (ICCV 2025, as others report it), MVQ (ASPLOS 2025, tables 3 and 4)."""
CLAIMS = (
    ("masked over plain VQ", "mvq-1.5", "vq-1.5"),
    ("the same at 2 bits", "mvq-2", "vq-2"),
    ("signs apart over plain VQ", "ssvq-1.5", "vq-1.5"),
    ("the same at 2 bits", "ssvq-2", "vq-2"),
    ("learned over fixed signs", "ssvq-1.5", "ssvq-1.5 fixed signs"),
    ("freezing over none", "ssvq-1.5", "ssvq-1.5 no freezing"),
    ("freezing by majority over average", "ssvq-1.5", "ssvq-1.5 average"),
    ("examined every 25 over every 5", "ssvq-1.5", "ssvq-1.5 every 5"),
    ("every 25 over every 50", "ssvq-1.5", "ssvq-1.5 every 50"),
)
"""What the papers say gains, the method that should be better, and the other."""


def run(task: Task) -> None:
    """Writes runs, text and picture."""
    if task.priced:
        write_json(task.out, collect(task.work))
    runs = task.figures()
    found = rows(runs)
    picture(points(found), task.out.with_suffix(".png"))
    write_whole(task.out.with_suffix(".md"), text(found, settings(runs)))


def collect(work: Path) -> list[Run]:
    """The finished runs, those of the first seed with their cost.

    Raises:
        InputError: none is finished.
    """
    runs = []
    for path in sorted(work.glob("*.json")):
        run = json.loads(path.read_text())
        network = path.with_suffix(".safetensors")
        if run["seed"] == 0 and "cost" not in run:
            run["cost"] = machines.cost(network, run["method"])
            write_json(path, run)
        runs.append(run)
    if not runs:
        raise InputError(
            "--work", str(work), "holds no finished run", "run codeword report comparison --stage train first"
        )
    return sorted(runs, key=lambda run: (NETWORKS.index(run["network"]), _place(run["method"]), run["seed"]))


def settings(runs: list[Run]) -> dict[str, Any]:
    """What the runs say of their trainings: epochs and images, ViM-VQ's images, updates between freezings."""

    def first(method: str) -> Run:
        return next((run for run in runs if machines.family(run["method"]) == method), {})

    trained = next(run for run in runs if machines.family(run["method"]) not in ("float", "vim-vq"))
    freezing = first("ssvq").get("config", {}).get("freezing") or {}
    return {
        "older": _older(runs),
        "epochs": trained["epochs"],
        "images": trained["images"],
        "unlabelled": first("vim-vq").get("images"),
        "interval": freezing.get("interval"),
    }


def _place(method: str) -> tuple[int, str]:
    return list(machines.FAMILIES).index(machines.family(method)), method


@dataclass(frozen=True)
class Row:
    """A method on a network, over its seeds.

    Attributes:
        accuracies: of the integer networks, by seed.
        starts: of the sparse networks that the method starts from, in float, by seed; elsewhere none.
        cost: of the first seed.
    """

    network: str
    method: str
    bits: float | None
    ratio: float | None
    accuracies: tuple[float, ...]
    starts: tuple[float, ...]
    cost: dict[str, Any]

    @property
    def mean(self) -> float:
        return mean(self.accuracies)

    @property
    def spread(self) -> float:
        """Half of what lies between the best and the worst seed."""
        return (max(self.accuracies) - min(self.accuracies)) / 2


def rows(runs: Iterable[Run]) -> list[Row]:
    """One for each network and method, in the order of the runs."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run["network"], run["method"]), []).append(run)
    return [
        Row(
            network,
            method,
            same[0].get("bits_per_weight"),
            same[0].get("compression_ratio"),
            tuple(run["accuracy_integer"] for run in same),
            tuple(run["accuracy_start"] for run in same if "accuracy_start" in run),
            same[0].get("cost", {}),
        )
        for (network, method), same in found.items()
    ]


def points(found: Iterable[Row]) -> list[Point]:
    """What the picture shows of each row."""
    return [
        Point(
            row.network,
            row.method,
            tuple(100 * accuracy for accuracy in row.accuracies),
            row.bits,
            row.cost["prices"]["mvq40"]["energy_uj"] if row.cost else None,
        )
        for row in found
    ]


def text(found: Sequence[Row], settings: dict[str, Any]) -> str:
    """The report."""
    parts = [
        "# Accuracy against cost",
        "Made by `codeword report comparison`. Accuracy is *measured*: integer networks (INT8 activations), all 10,000 "
        "test images of Fashion-MNIST. Bits are *counted*: assignments, masks, signs and codebooks over the "
        "compressed weights; the universal codebook of VQ4ALL is in a ROM and not counted. " + PRICES,
        f"Each method starts from the same float network of its seed and has {settings['epochs']} epochs of "
        f"{settings['images']:,} images; MVQ's start has had an epoch of sparse training more. "
        f"{settings.get('older', '')}{_starts(found)}{_exceptions(settings)}"
        "Spread is half of what lies between the best and the worst of the seeds.",
        "![Accuracy against energy](accuracy_vs_cost.png)",
        "A colour stands for a family of methods, a shape for its variant, in every panel. Marks "
        "are means; bars reach from the worst to the best seed, and are missing where there is one. Methods of "
        "equal cost stand side by side. The grey step is the front: nothing is both cheaper and better. Energy is "
        "on a logarithmic axis.",
        *(
            _table(network, [row for row in found if row.network == network])
            for network in dict.fromkeys(row.network for row in found)
        ),
        *(
            _differences(network, found)
            for network in dict.fromkeys(row.network for row in found)
            if any(len(row.accuracies) > 1 for row in found if row.network == network)
        ),
        "## What the papers say\n\n" + "\n".join(f"* {where}: {what}" for where, what in PUBLISHED),
        "Beside this: [ViM-VQ and what it is compared with at 1 to 3 bits](vim_vq.md), [one codebook for "
        "three networks](vq4all_resnets.md), [MobileNetV2 and EfficientNet-Lite0 on "
        "ImageNet](imagenet_agreement.md).",
    ]
    return "\n\n".join(parts) + "\n"


def _exceptions(settings: dict[str, Any]) -> str:
    said = []
    if settings.get("unlabelled"):
        said.append(f"ViM-VQ has no epochs: it sees {settings['unlabelled']} images without labels. ")
    if settings.get("interval"):
        said.append(f"Freezing examines signs every {settings['interval']} updates, or as the name says. ")
    return "".join(said)


def _differences(network: str, found: Sequence[Row]) -> str:
    """What each claim of the papers comes to, seed by seed: from one float network, with the same batches."""
    known = {row.method: row for row in found if row.network == network}
    lines = []
    for claim, better, other in CLAIMS:
        if better in known and other in known:
            gains = [
                100 * (a - b) for a, b in zip(known[better].accuracies, known[other].accuracies, strict=True)
            ]
            seen = (
                "seen in every seed"
                if min(gains) > 0
                else "the opposite in every seed"
                if max(gains) < 0
                else "not seen"
            )
            lines.append(
                (
                    claim,
                    better,
                    other,
                    ", ".join(f"{gain:+.2f}" for gain in gains),
                    f"{mean(gains):+.2f}",
                    seen,
                )
            )
    return f"## What gains on {network}, points of accuracy by seed\n\n" + markdown.table(
        ("claim", "method", "over", "seeds", "mean", ""), lines
    )


def _table(network: str, found: Sequence[Row]) -> str:
    columns = ("method", "bits a weight", "ratio", "accuracy", "spread", "seeds", *COST_COLUMNS)
    return f"## {network}\n\n" + markdown.table(columns, map(_line, found))


def _older(runs: Sequence[Run]) -> str:
    """Says so where the signs were frozen with a threshold that one oscillation reaches."""
    found = {
        run["network"]: None
        for run in runs
        if machines.family(run["method"]) == "ssvq"
        and (rule := run.get("config", {}).get("freezing"))
        and rule["end"] <= rule["momentum"]
    }
    if not found:
        return ""
    return (
        f"**SSVQ's figures on {' and '.join(found)} are of an older freezing**, whose last threshold is that of one "
        "oscillation; now it is 2.5 times that. "
    )


def _starts(found: Sequence[Row]) -> str:
    """Accuracies of the sparse networks, where the runs tell them: what pruning loses, apart from codewords."""
    told = {row.network: f"{mean(row.starts):.2%} on {row.network}" for row in found if row.starts}
    return f"That sparse start, in float, has {', '.join(told.values())}. " if told else ""


def _line(row: Row) -> tuple[str, ...]:
    storage = ("", "") if row.bits is None else (number(row.bits), f"{row.ratio:.1f}x")
    several = len(row.accuracies) > 1
    return (
        row.method,
        *storage,
        f"{row.mean:.2%}",
        f"± {row.spread:.2%}" if several else "",
        str(len(row.accuracies)),
        *(cost_cells(row.cost) if row.cost else [""] * len(COST_COLUMNS)),
    )
