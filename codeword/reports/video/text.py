"""The report of video edits, from what `measure` found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log10
from statistics import mean
from typing import Any

from codeword.reports.registry import Task
from codeword.reports.render import markdown
from codeword.reports.video.cases import COUNT, EDITED, WAYS
from codeword.reports.video.measure import PEAKS, SHOWN
from sim.files import write_whole

PUBLISHED = (
    ("SDEdit", "1.67", "20.52", "1.01x", "0.87x"),
    ("FreeMask", "2.00", "29.92", "1.64x", "5.65x"),
    ("VideoDirector", "", "", "6.00x", "27.97x"),
    ("DFVEdit", "1.12", "31.18", "0.95x", "1.20x"),
)
"""DFVEdit's README on CogVideoX-5B: warp error, masked PSNR, memory and latency over plain generation."""


def run(task: Task) -> None:
    """Writes the text beside the figures."""
    write_whole(task.out.with_suffix(".md"), text(task.figures()))


def text(found: dict[str, Any]) -> str:
    """The whole report."""
    sections = (
        "# Video edits: DFVEdit and FreeMask",
        _beginning(found),
        "## Edits",
        markdown.table(
            (
                "method",
                "reached",
                "kept",
                "PSNR outside",
                "PSNR inside",
                "unsteady",
                "evaluations",
                "seconds",
            ),
            (_line(name, found["rows"]) for name in _ways(found["rows"])),
        ),
        _by_attribute(found["rows"]),
        f"![Frames of three edits](video.png)\n\nEach block: source, known result, {', '.join(SHOWN)}; an edit of "
        "colour, of form and of background.",
        _short(found),
        "## Masks of FreeMask",
        _masks(found),
        _widths(found["widths"]),
        "## Memory and evaluations: DFVEdit against attention injection",
        _memory(found),
        "## Sizes of the papers",
        markdown.table(
            ("model and clip", "PMAC of an edit, 196 evaluations", "paper file"),
            (
                (name, f"{row['pmac']:.1f}", f"{row['paper']:.1f}")
                for name, row in found["hardware"]["table"].items()
            ),
        ),
        _stored(found["hardware"]["store"]),
        "## On machines",
        _machines(found["hardware"]["rows"]),
        "## Delta operands",
        _deltas(found["deltas"]),
        "## Published",
        markdown.table(("method", "E_warp", "M.PSNR", "memory", "latency"), PUBLISHED),
        "DFVEdit's README, CogVideoX-5B, real videos, other metrics and other sizes; nothing above can be set against "
        "it but the direction. Its 20x and 85 % are against VideoDirector: 27.97 / 1.20 and 1 - 0.95 / 6.00.",
    )
    return "\n\n".join(sections) + "\n"


def _beginning(found: dict[str, Any]) -> str:
    return (
        "Made by `codeword report video`. "
        f"{COUNT} edits of *synthetic* clips (`algos/data/shapes.py`): 8 frames of 16x16 pixels, one moving shape; "
        "the target's pair of colour and form is in no training clip. What an edit should give is known: the same "
        "variation of the target scene. Models are the shipped ones, trained for minutes "
        "([README](../algos/zoo/video_shapes/README.md)); guidance is theirs, the rest as the papers have it.\n\n"
        "*Reached*: the classifier sees the new word. *Kept*: share of the other three attributes that it sees "
        "unchanged. *PSNR outside*: against the source, where nothing should change; *inside*: against the known "
        "result. *Unsteady*: root mean square of frame-to-frame change that the known result has not. Torch "
        f"{found['versions']['torch']}, one thread, {found['machine']}; seconds on a machine that others used too."
    )


def _short(found: dict[str, Any]) -> str:
    """What the tables do not show by themselves."""
    fewer = [name for name in _ways(found["rows"]) if len(_of(name, found["rows"])) < COUNT]
    missing = [way.name for way in WAYS if way.name not in _ways(found["rows"])]
    lines = [
        "**Where it falls short.** The models are small and trained for minutes: no method gives a new form reliably, "
        "and colours come as patches. Six edits of a way prove little: whether FreeMask's masks help its edits is not "
        "decided by them, only that its chosen masks lie nearer to the shape (below). Guidance was chosen on three "
        "training scenes with the transformer alone; reinforcement is off, since it spoiled backgrounds there."
    ]
    if fewer or missing:
        lines.append(
            f"Not all edits were run: of {', '.join(fewer) or 'none'} fewer than {COUNT}"
            + (f"; {', '.join(missing)} not at all." if missing else ".")
            + " `codeword report video` runs the rest."
        )
    return " ".join(lines)


def _ways(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Methods that were run, in the order of WAYS."""
    return [way.name for way in WAYS if _of(way.name, rows)]


def _of(name: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["way"] == name]


def _line(name: str, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    own = _of(name, rows)
    averages = {
        field: mean(float(row[field]) for row in own) for field in ("reached", "kept", "unsteady", "seconds")
    }
    decibels = [mean(row[field] for row in own) for field in ("psnr_outside", "psnr_inside")]
    return (
        name,
        f"{sum(row['reached'] for row in own)} of {len(own)}",
        f"{averages['kept']:.0%}",
        *("exact" if value == 99 else f"{value:.1f} dB" for value in decibels),
        f"{averages['unsteady']:.3f}",
        str(own[0]["passes"]),
        f"{averages['seconds']:.1f}",
    )


def _by_attribute(rows: Sequence[dict[str, Any]]) -> str:
    """What was reached, by attribute."""
    lines = []
    for name in _ways(rows):
        cells = []
        for attribute in EDITED:
            own = [row for row in _of(name, rows) if row["attribute"] == attribute]
            cells.append(f"{sum(row['reached'] for row in own)} of {len(own)}")
        lines.append((name, *cells))
    return markdown.table(("reached", *EDITED), lines)


def _masks(found: dict[str, Any]) -> str:
    table = found["codes"]
    by_layer = {name: mean(row) for name, row in zip(table["layers"], table["cost"], strict=True)}
    by_step = [mean(column) for column in zip(*table["cost"], strict=True)]
    layers = markdown.table(
        ("layer", "LMMC"),
        ((f"`{name}`", f"{cost:.3f}") for name, cost in sorted(by_layer.items(), key=lambda x: x[1])),
    )
    chosen, fixed = (mean(row[way] for row in found["masks"]) for way in ("chosen", "fixed"))
    better = sum(row["chosen"] > row["fixed"] for row in found["masks"])
    return (
        f"Mask matching cost 1 - MIoU of the U-Net's layers, mean of {len(by_step)} inversion steps and "
        f"{table['clips']} training clips:\n\n{layers}\n\nBy step, from little noise to much (TMMC): "
        + ", ".join(f"{cost:.3f}" for cost in by_step)
        + f".\n\nOn {len(found['masks'])} held-out clips, 50 steps: MIoU **{chosen:.3f}** of chosen masks (layer of "
        f"least LMMC at the step of least TMMC), **{fixed:.3f}** of fixed ones (all layers of the middle resolution, "
        f"step 10); chosen is better on {better}. "
        + (
            "The two are equal because both masks are the whole frame: this U-Net looks at all words nearly alike, so "
            "that every place is above the threshold. That chosen masks are better is therefore **not reproduced**."
            if all(row["chosen"] == row["fixed"] for row in found["masks"])
            else ""
        )
    )


def _widths(rows: Sequence[dict[str, Any]]) -> str:
    """FreeMask's maps in few bits."""
    lines = []
    for bits in dict.fromkeys(row["bits"] for row in rows):
        some = [row for row in rows if row["bits"] == bits]
        edits = [row for row in some if "bytes" in row]
        error = mean(row["error"] for row in edits)
        lines.append(
            (
                str(bits),
                f"{mean(row['miou'] for row in some if 'miou' in row):.3f}",
                f"{mean(row['bytes'] for row in edits) / 1e6:.1f}",
                f"{10 * log10(4 / error):.1f} dB" if error else "",
                f"{sum(row['reached'] for row in edits)} of {len(edits)}",
            )
        )
    return (
        "Stored maps in fewer bits (`--set bits=8`), levels of the largest probability of each query, whose "
        "float16 scale is counted; PSNR of the edit against that with float16 maps:\n\n"
        + markdown.table(
            ("bits", "MIoU of chosen masks", "MB stored, with pairs over time", "PSNR", "reached"), lines
        )
    )


def _deltas(found: dict[str, Any]) -> str:
    """Whether the second branch is worth streaming as deltas."""
    parts, zero = found["measured"], mean(part["zero"] for part in found["measured"])
    words = ("first", "middle", "last")
    shares = ", ".join(
        f"{part['zero']:.0%} and {part['small']:.0%} in the {word}"
        for part, word in zip(parts, words, strict=True)
    )
    rows = [
        (
            row["model"],
            f"{row['linear']:.0%}",
            f"-{zero * row['linear_pj'] / row['pair_pj']:.1%}",
            f"+{row['subtracted_bytes'] / row['pair_bytes']:.1%}",
            f"+{min(row['sum_bytes'], row['weight_bytes']) / row['pair_bytes']:.1%}",
            f"{(row['added_pj'] - zero * row['linear_pj']) / row['pair_pj']:+.1%}",
        )
        for row in found["costs"]
    ]
    return (
        "Source and target branch see the same noise, so that the target's operands could come as differences "
        "from the source's: W x' = W x + W (x' - x). *Measured* on three edits with the shipped transformer, "
        "INT8 operands of all linear layers, the largest of either branch as scale, weighted by products: "
        f"zero deltas and deltas of 4 bits are {shares} third of the steps. On full sizes, one evaluation of "
        f"both branches on `{found['machine']}`, closed form (`sim/workloads/deltas.py`), with a share of "
        f"{zero:.0%} zeros *assumed* there too:\n\n"
        + markdown.table(
            (
                *("model", "products with weights", "energy, gated products", "DRAM, subtraction"),
                *("DRAM, sums or weights", "energy in all"),
            ),
            rows,
        )
        + "\n\nWhat it gives: zero deltas gate multipliers, which is energy and no time, since the array skips "
        "nothing. What it takes: the source's operands are read again behind every norm and function, and "
        "psums of the source are kept (8 bytes a result), or stay in the array, and then weights come once "
        "for each branch, so that nothing is left of weight sharing; the cheaper one is counted. Maps are "
        "larger than L2, so all of it is off chip. Deltas kept in 4 bits with an escape would save less than "
        "the subtraction reads. Products of two activations get no cheaper. Not counted: the subtractions "
        "themselves, a pass of the vector unit over every operand. So energy falls by a few percent at best (a "
        "gated product costs nothing here), and time and traffic rise a little. More needs an array that takes "
        "fewer cycles for few bits or for zeros."
    )


def _memory(found: dict[str, Any]) -> str:
    rows = []
    for name in PEAKS:
        own, peak = _of(name, found["rows"]), found["peaks"][name]
        rows.append(
            (
                name,
                str(own[0]["passes"]),
                str(own[0]["calls"]),
                f"{peak['stored_bytes'] / 1e6:.1f} MB",
                f"{peak['peak_growth_bytes'] / 1e6:.1f} MB",
                f"{mean(row['seconds'] for row in own):.1f}",
            )
        )
    grown = {name: found["peaks"][name]["peak_growth_bytes"] for name in PEAKS}
    seconds = {name: mean(row["seconds"] for row in _of(name, found["rows"])) for name in PEAKS}
    saved = 1 - grown["DFVEdit"] / max(1, grown["attention injection"])
    return markdown.table(
        ("method", "evaluations", "calls", "attention stored", "peak above the model", "seconds"), rows
    ) + (
        f"\n\nOn the shipped transformer, both in this code, DFVEdit takes {saved:.0%} less memory above the model "
        f"than injection, at {seconds['attention injection'] / seconds['DFVEdit']:.2f} times its speed: it has more "
        "evaluations (196 to 150) and neither stores nor reads maps. The paper says 85 % and 20x, against "
        "VideoDirector; 20x cannot come from evaluations."
    )


def _stored(store: dict[str, float]) -> str:
    return (
        f"FreeMask on Zeroscope at 512x512 stores, in float16 over 50 steps, {store['8']:.0f} GB for 8 frames and "
        f"{store['20']:.0f} GB for 20 (derived in the paper file: 54 and 145, without the two maps over time where "
        "frames come in); DFVEdit stores none, and keeps one value a video token."
    )


def _machines(rows: Sequence[dict[str, Any]]) -> str:
    """Every edit on every machine; the way there and back of FreeMask add up."""
    names = list(dict.fromkeys(row["machine"] for row in rows))
    lines = [
        (
            row["workload"],
            row["machine"],
            str(row["passes"]),
            f"{row['macs'] / 1e15:.4g}",
            f"{row['cycles']:.4g}",
            f"{row['time_s']:.4g}",
            "unknown" if row["energy_j"] is None else f"{row['energy_j']:.4g}",
            f"{row['dram_bytes'] / 1e9:.4g}",
        )
        for row in rows
    ]
    return markdown.table(("edit", "machine", "passes", "PMAC", "cycles", "s", "J", "DRAM, GB"), lines) + (
        f"\n\nClosed form, INT8 maps, {', '.join(f'`{name}`' for name in names)}. *batched*: the four branches of "
        "DFVEdit as one batch, which shares weights; they still come again for every spatial tile, so that it saves "
        f"{_saved(rows)} of the DRAM bytes. *inverting* and *fusing* are FreeMask's way there (50 passes, "
        "maps to DRAM) and back (50 of two clips, maps from DRAM, blended in a pass of their own); their sum is an "
        "edit with attention stored, `zeroscope-edit` the same without storing. *fused*: the blend rides on the "
        "softmax. A way *to* DRAM is costed as one from it. Attention maps that exceed L2 go to DRAM and come back "
        "in every model."
    )


def _saved(rows: Sequence[dict[str, Any]]) -> str:
    """DRAM bytes that one batch of four branches saves, least and most."""
    moved = {(row["workload"], row["machine"]): row["dram_bytes"] for row in rows}
    shares = [
        1 - moved[name.replace("-edit", "-batched-edit"), machine] / moved[name, machine]
        for name, machine in moved
        if (name.replace("-edit", "-batched-edit"), machine) in moved and "batched" not in name
    ]
    return f"{min(shares):.2%} to {max(shares):.2%}"
