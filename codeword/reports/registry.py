"""The reports by name; a new one is a folder beside this file and an entry here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from codeword import outputs
from sim.errors import InputError, nearest
from sim.steps import step

TEXT = "text"
TRAIN = "train"


@dataclass(frozen=True)
class Task:
    """What a stage reads and writes.

    Attributes:
        work: folder of checkpoints and networks; a training that was interrupted goes on from there.
        out: the figures as JSON; text and picture lie beside it. Reports without figures: the text.
        data: folder of the Fashion-MNIST IDX files; None for that of Debian's package.
        priced: whether the networks in `work` are run on their machines; else what they cost is read from
            `out`.
        images: of the test set at most, where a report takes fewer than it would; None: as many as it wants.
    """

    work: Path
    out: Path
    data: Path | None = None
    priced: bool = False
    images: int | None = None

    def at_most(self, wanted: int) -> int:
        """Images where a report wants so many."""
        return wanted if self.images is None else min(wanted, self.images)

    def figures(self) -> Any:
        """What `out` holds.

        Raises:
            InputError: it is not there.
        """
        if not self.out.exists():
            raise InputError("--out", str(self.out), "no such file", "run the stage that makes it first")
        try:
            return json.loads(self.out.read_text())
        except ValueError as error:
            raise InputError(
                "--out", str(self.out), f"is no JSON: {error}", "run the stage that makes it again"
            ) from None


@dataclass(frozen=True)
class Stage:
    """A module of the report's folder, whose `run` takes a `Task`.

    Attributes:
        name: of the module.
        takes: how long, on one core.
    """

    name: str
    takes: str


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        name: of its folder.
        shows: what, in a line.
        out: default of `Task.out`.
        stages: in order.
        others: stages that only run when they are asked for.
        fewer: it takes a smaller number of images, and says of each row how many it is of.
    """

    name: str
    shows: str
    out: Path
    stages: tuple[Stage, ...]
    others: tuple[Stage, ...] = ()
    fewer: bool = False

    @property
    def work(self) -> Path:
        """Default of `Task.work`."""
        return Path("runs") / self.name

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "shows": self.shows,
            "stages": {stage.name: stage.takes for stage in self.stages},
            "on_demand": {stage.name: stage.takes for stage in self.others},
            "work": str(self.work),
            "out": str(self.out),
        }


class CheckFailed(Exception):
    """A report is written, and does not hold what it must."""


_SECONDS = Stage(TEXT, "seconds")
_PRICED = Stage(TEXT, "seconds; minutes after a training, whose networks run on their machines first")
_OUT = Path("reports")

REPORTS = {
    report.name: report
    for report in (
        Report(
            "comparison",
            "accuracy against cost: VQ, MVQ, SSVQ, VQ4ALL and ViM-VQ on four networks",
            _OUT / "accuracy_vs_cost.json",
            (Stage(TRAIN, "four hours"), _PRICED),
        ),
        Report(
            "mvq_accuracy",
            "MVQ Table 3 on ResNet-20",
            _OUT / "mvq_resnet20.json",
            (Stage(TRAIN, "two hours"),),
        ),
        Report(
            "vim",
            "ViM-VQ beside its ablations, DKM and VQ4DiT on a small Vim",
            _OUT / "vim_vq.json",
            (Stage(TRAIN, "four minutes of search, and the accuracies of 17 networks"), _PRICED),
        ),
        Report(
            "vq4all",
            "one codebook for three ResNets against codebooks of their own",
            _OUT / "vq4all_resnets.json",
            (Stage(TRAIN, "11 minutes"), _PRICED),
        ),
        Report(
            "spikes",
            "ResNet-20 and MobileNetV2 in weighted spikes: accuracy, operations, other codings, energy beside INT8",
            _OUT / "spikes.json",
            (
                Stage("measure", "an hour; goes on where it was"),
                Stage("deep", "ten minutes; goes on where it was; downloads weights inside a package of pip"),
                Stage("machines", "a minute"),
                _SECONDS,
            ),
            fewer=True,
        ),
        Report(
            "formats",
            "ten weight formats on ResNet-20 and a small Llama: accuracy, bits, cycles, energy, area, and what decides",
            _OUT / "formats.json",
            (Stage("measure", "25 minutes; goes on where it was"), _SECONDS),
        ),
        Report(
            "compensation",
            "RTN, GPTQ, GPTAQ, ResComp and W* on language models, beside the papers' figures",
            _OUT / "compensation.json",
            (
                Stage(
                    "measure", "half an hour; goes on where it was; downloads SmolLM2 inside a package of pip"
                ),
                _SECONDS,
            ),
        ),
        Report(
            "language",
            "language models on the machines: seconds, energy and off-chip traffic a token",
            _OUT / "language.json",
            (Stage("measure", "a minute"), _SECONDS),
            others=(
                Stage(
                    "values",
                    "ten minutes: SmolLM2 in the engine, block after block; goes on where it was; downloads it",
                ),
            ),
        ),
        Report(
            "diffusion",
            "a U-Net in few bits: pictures beside the float network's, its pieces, and Stable Diffusion on machines",
            _OUT / "diffusion.json",
            (
                Stage("measure", "ten minutes of an idle core; goes on where it was"),
                Stage(
                    "hardware", "ten minutes: steps of integers in the engine, three networks on the machines"
                ),
                _SECONDS,
            ),
        ),
        Report(
            "facepad",
            "faces and synthetic attacks: a teacher that sees motion, students that do not, and their cost",
            _OUT / "facepad.json",
            (
                Stage(TRAIN, "a quarter of an hour; downloads pictures and videos inside packages of pip"),
                Stage("real", "half a minute"),
                Stage("integers", "four minutes"),
                Stage("cost", "two minutes"),
                _SECONDS,
            ),
        ),
        Report(
            "imagenet",
            "MobileNetV2 and EfficientNet-Lite0 compressed without fine-tuning",
            _OUT / "imagenet_agreement.json",
            (Stage(TRAIN, "minutes; downloads weights and pictures inside packages of pip"), _PRICED),
        ),
        Report(
            "mvq_hardware",
            "the published hardware figures of MVQ, SSVQ and VQ4ALL beside ours",
            _OUT / "mvq_reproduction.json",
            (Stage(TEXT, "a minute"),),
            others=(
                Stage("sensitivity", "three minutes: each variant of the machine anew"),
                Stage("search", "a minute: prints the energies that fit best"),
                Stage("synthesized_areas", "seconds: area ratios on the cell libraries"),
            ),
        ),
        Report(
            "technologies",
            "one machine in four technologies, with the origin of every coefficient",
            _OUT / "technologies.md",
            (_SECONDS,),
        ),
        Report(
            "scaling",
            "how the time of the engine and of the closed form grows",
            _OUT / "scaling.json",
            (Stage("measure", "minutes"),),
        ),
        Report(
            "search",
            "NSGA-II and random search beside a space of 5,184 designs that was tried whole",
            _OUT / "search.json",
            (Stage("measure", "ten minutes; goes on where it was"), _SECONDS),
        ),
        Report(
            "imports",
            "what the importers take of torchvision, timm, transformers, onnx and others",
            Path("docs") / "imports.json",
            (
                Stage("survey", "an hour for a thousand networks, of the packages that are installed"),
                _SECONDS,
            ),
        ),
        Report(
            "video",
            "DFVEdit and FreeMask beside attention injection and SDEdit on made clips, and their edits on machines",
            _OUT / "video.json",
            (Stage("measure", "half an hour; goes on where it was"), _SECONDS),
        ),
        Report(
            "zoo",
            "modules of torchvision, timm, transformers and diffusers in INT8 and VQ, on the engine and the RTL",
            _OUT / "zoo.json",
            (
                Stage("measure", "an hour, of the packages that are installed"),
                Stage("hardware", "minutes a kind of layer that no module before showed"),
                _SECONDS,
            ),
        ),
    )
}


def named(name: str) -> Report:
    """
    Raises:
        InputError: no such report.
    """
    if name not in REPORTS:
        raise InputError("report", name, "unknown", nearest(name, REPORTS))
    return REPORTS[name]


def make(
    name: str,
    *,
    stages: Sequence[str] = (),
    work: Path | None = None,
    out: Path | None = None,
    data: Path | None = None,
    images: int | None = None,
) -> Path:
    """Runs a report's stages.

    Args:
        stages: by name; by default all but those that must be asked for.
        work, out: in place of the report's own. A text alone reads no work folder that is not given.
        images: of the test set at most.

    Returns:
        `Task.out`.

    Raises:
        InputError: no such report or stage, a report without fewer images, or what a stage raises.
        CheckFailed: the report does not hold what it must.
    """
    report = named(name)
    takes = {stage.name: stage.takes for stage in (*report.stages, *report.others)}
    for stage in stages:
        if stage not in takes:
            raise InputError("--stage", stage, f"is none of {name}", nearest(stage, takes))
    if images is not None and not (report.fewer and images > 0):
        fix = "leave --images out" if images > 0 else "use 1 at least"
        raise InputError("--images", images, f"{name} takes no such number of images", fix)
    if out is not None:
        outputs.file(out, [report.out.suffix], "--out")
    chosen = stages or [stage.name for stage in report.stages]
    priced = work is not None or TRAIN in chosen
    task = Task(work or report.work, out or report.out, data, priced, images)
    task.out.parent.mkdir(parents=True, exist_ok=True)
    for stage in chosen:
        run = import_module(f"codeword.reports.{name}.{stage}").run
        try:
            with step(f"{name}: {stage}, {takes[stage]}"):
                run(task)
        except (LookupError, TypeError) as error:
            if out is None or list(chosen) != [TEXT]:
                raise
            problem = f"holds other figures than {name} writes: {error!r}"
            raise InputError("--out", str(out), problem, "run the stage that makes it again") from error
    return task.out
