"""reports/accuracy_vs_cost.md and its picture, from the finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from codeword.reports.machines import TECHNOLOGIES, family
from codeword.reports.render import markdown
from codeword.tables import number

Run = dict[str, Any]
PUBLISHED = (
    ("MobileNet-V2, 16x", "SSVQ 65.9 %, MVQ 65.1 %"),
    ("DeiT-Tiny, 21x", "VQ 47 %, SSVQ with fixed signs 47 %, learned 54 %, frozen 62 %"),
    ("DeiT-Tiny, freezing examined every 100, 500, 1,000 updates", "60.9, 61.9, 61.6 %"),
    ("ResNet-18, 22x", "VQ 66.5 %, MVQ 68.8 % (of 69.7 %)"),
)
"""Top-1 on ImageNet: SSVQ (ICCV 2025, as others report it), MVQ (ASPLOS 2025, tables 3 and 4)."""
COST_COLUMNS = (
    "machine",
    "cycles",
    *(f"{what}, {technology}" for technology in TECHNOLOGIES for what in ("energy", "area")),
    "every tensor",
    "a layer on the RTL",
)
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
PRICES = (
    "Cycles and accesses are *counted* by the cycle engine on one image; energies and areas of `mvq40` "
    "follow from the 40 nm *tables* of MVQ with its MAC *assumed* at 0.23 pJ, those of `sg13g2` from our own "
    "RTL at 130 nm, *measured* but for its SRAM, with a clock that is never gated (README, Limits)."
)
"""Where the cost columns come from, for the reports that have them."""
MARKERS = {"float": "*", "vq": "o", "vim-vq": "v", "mvq": "s", "ssvq": "^", "vq4all": "D"}
"""Of a method in the picture, by its family."""


@dataclass(frozen=True)
class Row:
    """A method on a network, over its seeds.

    Attributes:
        accuracies: of the integer networks, by seed.
        cost: of the first seed.
    """

    network: str
    method: str
    bits: float | None
    ratio: float | None
    accuracies: tuple[float, ...]
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
            same[0].get("cost", {}),
        )
        for (network, method), same in found.items()
    ]


def text(found: Sequence[Row], settings: dict[str, Any]) -> str:
    """The report."""
    parts = [
        "# Accuracy against cost",
        "Made by `make compare`. Accuracy is *measured*: integer networks (INT8 activations), all 10,000 "
        "test images of Fashion-MNIST. Bits are *counted*: assignments, masks, signs and codebooks over the "
        "compressed weights; the universal codebook of VQ4ALL is in a ROM and not counted. " + PRICES,
        f"Each method starts from the same float network of its seed and has {settings['epochs']} epochs of "
        f"{settings['images']:,} images; MVQ's start has had an epoch of sparse training more. "
        f"{_exceptions(settings)}Spread is half of what lies between the best and the worst of the seeds.",
        "![Accuracy against energy](accuracy_vs_cost.png)",
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


def cost_cells(cost: dict[str, Any]) -> list[str]:
    """What `machines.cost` found, for COST_COLUMNS."""
    prices = [cost["prices"][technology] for technology in TECHNOLOGIES]
    return [
        cost["accelerator"],
        f"{cost['cycles']:,}",
        *(
            _unit(price[what], unit)
            for price in prices
            for what, unit in (("energy_uj", "uJ"), ("area_mm2", "mm2"))
        ),
        "exact" if cost["bit_exact"] else "DIFFERENT",
        on_rtl(cost),
    ]


def on_rtl(cost: dict[str, Any]) -> str:
    """The layer that `machines.cost` ran on the RTL, in words."""
    model, rtl = cost["verify_cycles"]
    equal = "equal" if cost["verify_mismatches"] == 0 and model == rtl else "DIFFERENT"
    return f"{cost['verified_words']:,} words and {rtl:,} cycles {equal}"


def _unit(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"


def picture(found: Sequence[Row], path: Path) -> None:
    """Accuracy against bits and against energy, with the Pareto front of each network."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    networks, methods = (
        list(dict.fromkeys(names))
        for names in zip(*((row.network, row.method) for row in found), strict=True)
    )
    figure = Figure(figsize=(10, 4.2 * len(networks)), layout="constrained")
    FigureCanvasAgg(figure)
    lines = figure.subplots(len(networks), 2, squeeze=False, sharey="row")
    for line, network in zip(lines, networks, strict=True):
        chosen = [row for row in found if row.network == network]
        for axes, label, places in (
            (line[0], "bits a weight", [row.bits for row in chosen]),
            (
                line[1],
                "energy of one image, uJ, mvq40",
                [row.cost["prices"]["mvq40"]["energy_uj"] if row.cost else None for row in chosen],
            ),
        ):
            points = [
                (place, 100 * row.mean)
                for place, row in zip(places, chosen, strict=True)
                if place is not None
            ]
            for place, row in zip(places, chosen, strict=True):
                if place is not None:
                    axes.errorbar(
                        place,
                        100 * row.mean,
                        100 * row.spread or None,
                        capsize=3,
                        linestyle="none",
                        color=f"C{methods.index(row.method)}",
                        marker=MARKERS[family(row.method)],
                        label=row.method,
                    )
            front = pareto(points)
            axes.step([x for x, _ in front], [y for _, y in front], where="post", color="0.7", zorder=0)
            axes.locator_params(nbins=6)
            axes.set_xlabel(label)
            axes.set_title(network, loc="left")
        line[0].set_ylabel("accuracy, %")
        line[1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def pareto(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those to which no other is both cheaper and better, from cheap to dear."""
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front
