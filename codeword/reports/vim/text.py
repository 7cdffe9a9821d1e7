"""Vim and DeiT of `codeword.reports.vim.train` on a machine, and the report.

Keeps what they cost with the other figures; without a work folder, the text is of the figures as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from codeword.reports import machines, priced
from codeword.reports.priced import COST_COLUMNS, PRICES, cost_cells
from codeword.reports.registry import Task
from codeword.reports.render import markdown

ERRORS = 1.5
"""Standard errors of an accuracy, from which on a difference counts."""
NAMES = {
    "kmeans": "plain VQ (k-means)",
    "convex": "convex combination",
    "vim-vq": "ViM-VQ",
    "dkm": "DKM",
    "vq4dit": "VQ4DiT",
}
PUBLISHED = {
    ("2 bit", "kmeans"): 33.18,
    ("2 bit", "convex"): 71.42,
    ("2 bit", "vim-vq"): 72.17,
    ("3 bit", "vim-vq"): 74.79,
    ("1 bit", "vim-vq"): 69.93,
}
"""ViM-VQ (ICCV 2025) on Vim-T, ImageNet top-1, float 76.1 %: as others report the paper's tables."""


def run(task: Task) -> None:
    """Writes figures and text."""
    priced.write(task, price, text)


def price(found: dict[str, Any], work: Path) -> None:
    """Adds what the exports cost."""
    for name, export in found["exports"].items():
        export["cost"] = machines.cost(work / f"{name}.safetensors", "vim-vq")


def text(found: dict[str, Any]) -> str:
    """The report."""
    rows = sorted(merged(found["rows"]), key=lambda row: row["setting"], reverse=True)
    seeds = len({row.get("seed", 0) for row in found["rows"]})
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    tested, right = found.get("test_images", 10_000), found["float"]["accuracy"]
    least = ERRORS * (right * (1 - right) / tested) ** 0.5
    return (
        "\n\n".join(
            (
                "# ViM-VQ on a small Vision Mamba",
                "Made by `codeword report vim`: ViM-VQ (ICCV 2025, arXiv 2503.09509), its ablations and what it is "
                f"compared with. {found['model']}. {found['data']}; means over {seeds} seed{'s' * (seeds > 1)} of the "
                "search, with half of what lies between the best and the worst. Float: "
                f"{found['float']['accuracy']:.2%}. All figures are *measured* but the bits, which are *counted*, "
                "codebooks included, and the paper's column, which is what others report of its tables: Vim-T on "
                'ImageNet, float 76.1 %. "Soft" is the accuracy before the sub-vectors that are still open are '
                'truncated to one codeword, "hard" the accuracy after it; "equal" whether both networks give the '
                "same logits, bit for bit. The block error is that of a block's output against what the block adds, "
                "both fed the float stream, mean of the blocks. Seconds are the processor's, on one thread; memory "
                "is the growth of the resident set during the calibration.",
                *_older(found["rows"]),
                markdown.table(
                    (
                        "bits",
                        "method",
                        "index bits a weight",
                        "with codebooks",
                        "soft",
                        "hard",
                        "equal",
                        "still open",
                        "block error",
                        "processor s",
                        "peak memory, MB",
                        "paper",
                    ),
                    map(_line, rows),
                ),
                "## What is seen",
                "\n".join(
                    f"* {line}"
                    for setting in settings
                    for line in _seen(setting, [row for row in rows if row["setting"] == setting], least)
                ),
                f"A difference counts from {100 * least:.1f} points on, {ERRORS} standard errors of an accuracy on "
                f"{tested:,} images.",
                "## On the machine",
                "The shipped networks, of three blocks of 64 channels: ViM-VQ at 2 bits with sub-vectors of outputs, "
                "as the machines read them, in integers throughout (INT8 activations). DeiT is the same search on a "
                "vision transformer. " + PRICES,
                markdown.table(
                    ("network", "bits a weight", "float", "compressed", "in integers", *COST_COLUMNS),
                    (_export(name, export) for name, export in found["exports"].items()),
                ),
                '"Every tensor": one image through the cycle engine, scan, softmax and norms included. The layer '
                "on the RTL is "
                + " and ".join(f"`{machines.VERIFIED[name]}` of {name}" for name in found["exports"])
                + ". All linear layers run there but those whose requantization has a table (SiLU, GELU, softplus), "
                "which the Verilog's storer lacks and refuses.",
            )
        )
        + "\n"
    )


def _older(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Says so where the figures are older than the repaired recipe, whose configuration names its penalty."""
    steps = {row["config"]["steps"] for row in rows if "penalty" not in row.get("config", {"penalty": ""})}
    if not steps:
        return []
    return [
        f"**These figures are of an older recipe**: {max(steps)} steps a block and a penalty of a thirtieth of the "
        "paper's, so that truncation decides and not the ratios. As the method now is (500 steps, the paper's "
        "penalty) it was not run to the end."
    ]


def merged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each setting and method: means over the seeds, and the spread of the accuracy."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["setting"], row["method"]), []).append(row)
    means = ("accuracy", "accuracy_before_truncation", "truncated", "cpu_seconds", "peak_rss_growth_bytes")
    return [
        same[0]
        | {field: mean(row[field] for row in same) for field in means}
        | {
            "soft_equals_hard": all(row["soft_equals_hard"] for row in same),
            "block_error": [error for row in same for error in row["block_error"]],
            "spread": (max(row["accuracy"] for row in same) - min(row["accuracy"] for row in same)) / 2,
        }
        for same in found.values()
    ]


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    paper = PUBLISHED.get((row["setting"], row["method"]))
    errors = row["block_error"]
    return (
        row["setting"].split()[0],
        NAMES[row["method"]],
        f"{row['index_bits_per_weight']:.2f}",
        f"{row['bits_per_weight']:.2f}",
        f"{row['accuracy_before_truncation']:.2%}",
        f"{row['accuracy']:.2%}" + (f" ± {row['spread']:.2%}" if row["spread"] else ""),
        "yes" if row["soft_equals_hard"] else "no",
        f"{row['truncated']:.1%}",
        f"{sum(errors) / len(errors):.4f}",
        f"{row['cpu_seconds']:.1f}",
        f"{row['peak_rss_growth_bytes'] / 1e6:.0f}",
        "" if paper is None else f"{paper:.2f} %",
    )


def _seen(setting: str, rows: Sequence[dict[str, Any]], least: float) -> Iterator[str]:
    """What ViM-VQ gains over each of the others at one rate, in words; `least`: the difference that counts."""
    accuracy = {row["method"]: row["accuracy"] for row in rows}
    ours = accuracy.pop("vim-vq")
    signed = {method: ours - other for method, other in accuracy.items()}
    for verdict, chosen in (
        ("is better than", {m: g for m, g in signed.items() if g >= least}),
        ("is worse than", {m: g for m, g in signed.items() if g <= -least}),
        ("shows no difference from", {m: g for m, g in signed.items() if abs(g) < least}),
    ):
        if chosen:
            others = ", ".join(f"{NAMES[method]} ({100 * gap:+.2f})" for method, gap in chosen.items())
            yield f"{setting}: ViM-VQ {verdict} {others}."


def _export(name: str, export: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        f"{export['bits_per_weight']:.2f}",
        f"{export['accuracy_float']:.2%}",
        f"{export['accuracy']:.2%}",
        f"{export['accuracy_integer']:.2%}",
        *cost_cells(export["cost"]),
    )
