"""The page and the picture of the diffusion report, from the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codeword.reports.diffusion.hardware import ON_RTL
from codeword.reports.diffusion.settings import SEEDS, SETTINGS, Setting
from codeword.reports.diffusion.words import WORDS
from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole

Row = dict[str, Any]
GRID = tuple(
    one
    for one in SETTINGS
    if one.bits == (4, 8) and one.seed == 0 and one.pictures < 1000 and not one.name.startswith("all -")
)
"""Settings in the picture, below the float network."""
COLUMNS = (
    "setting",
    "bits a weight",
    "PSNR, dB",
    "SSIM",
    "feature distance",
    "Frechet",
    "same class, %",
    "frozen",
)


def run(task: Task) -> None:
    """Writes the page, and the picture where the pictures are."""
    found = task.figures()
    write_whole(task.out.with_suffix(".md"), page(found))
    if (task.work / f"{GRID[0].file}.npy").exists():
        draw(task.work, task.out.with_suffix(".png"))


def page(found: Row) -> str:
    """The whole text."""
    rows = found["rows"]
    pairs = {
        name: [one for one in rows if one["name"] == name and one["pictures"] > 1000]
        for name in ("naive", "all")
    }
    return WORDS.format(
        **found["float"],
        seeds=len(SEEDS),
        ablations=table(COLUMNS, [_cells(one) for one in rows if one["pictures"] < 1000 and _w4a8(one)]),
        widths=table(
            ("bits", *COLUMNS),
            [(_bits(one), *_cells(one)) for one in rows if one["pictures"] < 1000 and not _w4a8(one)],
        ),
        pairs=table(
            ("seed", *COLUMNS), [(str(one["seed"]), *_cells(one)) for part in pairs.values() for one in part]
        ),
        gain=_gain(pairs),
        idle=_idle(rows),
        integers=_integers(found["integers"]) if "integers" in found else "Not measured here.",
        energy=_energy(found.get("by_energy", {"absent": ["hardware"]})),
        shapes=_shapes(found),
        evaluations=found.get("evaluations", 0),
    )


def _w4a8(row: Row) -> bool:
    return tuple(row["bits"]) == (4, 8)


def _bits(row: Row) -> str:
    return "W{}A{}".format(*row["bits"])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['bits_a_weight']:.2f}",
        f"{row['psnr']:.2f}",
        f"{row['ssim']:.4f}",
        f"{row['distance']:.4f}",
        f"{row['frechet']:.4f}",
        f"{100 * row['same_class']:.1f}",
        f"{row['frozen']} of {row['layers']}" if row["losses"] else "",
    )


def _gain(pairs: dict[str, list[Row]]) -> str:
    """How much nearer the final pair's better half is, seed by seed."""
    lines = []
    for what, words in (
        ("mse", "mean squared error"),
        ("distance", "feature distance"),
        ("frechet", "Frechet distance"),
    ):
        gains = [
            100 * (1 - one[what] / zero[what]) for zero, one in zip(pairs["naive"], pairs["all"], strict=True)
        ]
        if gains:
            each = ", ".join(f"{gain:.1f}" for gain in gains)
            lines.append(f"- {words}: {np.mean(gains):.1f} % less than naive ({each})")
    return "\n".join(lines)


def _idle(rows: list[Row]) -> str:
    """Pieces without which the pictures are as near or nearer."""
    small = {one["name"]: one for one in rows if one["pictures"] < 1000 and _w4a8(one)}
    whole = small["all"]["distance"]
    found = [
        name.removeprefix("all - ")
        for name, one in small.items()
        if " - " in name and one["distance"] <= whole
    ]
    said = "Without any one of the pieces the feature distance is larger."
    if found:
        names = " or ".join(found)
        said = f"The feature distance is no larger without {names}: here, on one seed, that does not help."
    less = 100 * (1 - small["all - mixed"]["distance"] / small["naive"]["distance"])
    return f"{said} At 4 bits a weight as *naive*, *all - mixed* has {less:.1f} % less of it."


def _integers(found: Row) -> str:
    rows = [
        (
            str(one["step"]),
            f"{one['time']:g}",
            f"{one['equal']} of {one['tensors']}",
            _yes(one["bit_exact"]),
            f"{one['cycles']:,}",
        )
        for one in found["rows"]
    ]
    lines = [
        table(("step", "time", "tensors equal to the reference", "engine exact", "cycles, ews-16"), rows),
        "",
    ]
    saved = found["file"] - found["one_step"]
    lines.append(
        f"The file of {len(rows)} steps takes {found['file']:,} bytes, that of one {found['one_step']:,}: "
        f"{saved // (len(rows) - 1):,} bytes a further step, with {found['weights']:,} weights once."
    )
    fits = found["weights"] <= found["l2_weights"]
    lines.append(
        f"On `ews-64` one evaluation takes {found['cycles']:,} cycles and {found['dram']:,} bytes of DRAM. Its weights "
        + (
            f"fit in L2 ({found['l2_weights']:,} bytes for weights): evaluations behind the first one need "
            f"{found['dram'] - found['weights']:,} bytes."
            if fits
            else f"do not fit in L2 ({found['l2_weights']:,} bytes for weights)."
        )
    )
    ran = found["rtl"]
    parts = [
        f"{what} {ran[what]['words']:,} words, {ran[what]['mismatches']} different, "
        f"{ran[what]['cycles'][1]:,} cycles, the engine {ran[what]['cycles'][0]:,}"
        for what in ON_RTL
    ]
    times = " and ".join(f"{time:g}" for time in ran["times"])
    lines.append(f"RTL of `ews-8`, times {times} one after the other: {'; '.join(parts)}.")
    return "\n".join(lines)


def _energy(found: Row) -> str:
    if "absent" in found:
        return f"Not measured here: this version has no {' and '.join(found['absent'])}."
    low, high = found["microjoules"]
    before, after = found["errors"]
    return (
        f"All {found['layers']} layers take {low:,.1f} uJ an evaluation at 4 bits and {high:,.1f} uJ at 8 "
        f"({' and '.join(found['machines'])}). Half way between, {found['eight']} layers get 8 bits; the sum of the "
        f"sensitivities falls from {before:.3g} to {after:.3g}."
    )


def _shapes(found: Row) -> str:
    rows = [
        (
            one["network"],
            one["accelerator"] + (", mixed" if one["mixed"] else ""),
            f"{100 * one['eight']:.0f}",
            f"{one['cycles'] / 1e9:,.1f}",
            f"{one['seconds']:,.1f}",
            "unknown" if one["joules"] is None else f"{one['joules']:,.1f}",
            f"{one['dram'] / 2**30:,.1f}",
            f"{100 * one['time']['macs']:.3f}",
            f"{100 * one['time']['cycles']:.2f}",
            f"{100 * one['time']['dram']:.2f}",
        )
        for one in found.get("shapes", [])
    ]
    columns = (
        "network",
        "machine",
        "weights in INT8, %",
        "10^9 cycles",
        "s",
        "J",
        "DRAM, GiB",
        "time MACs, %",
        "time cycles, %",
        "time DRAM, %",
    )
    return table(columns, rows)


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def draw(work: Path, path: Path) -> None:
    """A row of pictures for each setting, all from the same noise."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows: list[tuple[str, np.ndarray]] = [("float", np.load(next(work.glob("float-*.npy"))))]
    rows += [
        (_label(one), np.load(work / f"{one.file}.npy"))
        for one in GRID
        if (work / f"{one.file}.npy").exists()
    ]
    count = 10
    figure, axes = plt.subplots(len(rows), count, figsize=(count * 0.75 + 2.4, len(rows) * 0.78))
    for line, (name, pictures) in zip(axes, rows, strict=True):
        for place, picture in zip(line, pictures[:count], strict=True):
            place.imshow(picture[0], cmap="gray", vmin=-1, vmax=1)
            place.set_xticks([])
            place.set_yticks([])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(left=0.26, right=0.99, top=0.99, bottom=0.01, wspace=0.04, hspace=0.06)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _label(setting: Setting) -> str:
    return setting.name.replace("serial + ", "serial +\n")
