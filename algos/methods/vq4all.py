"""VQ4ALL: many networks from one universal codebook (arXiv 2412.06875).

Bottom-up: draw a codebook from the kernel density of the weights of several networks and freeze it in a
ROM; then build each network from it. A sub-vector is a soft mixture of its nearest codewords, whose ratios
learn under task, distillation and ratio loss; step by step one codeword is confirmed (progressive network
construction), until all are.

Not published, and chosen here: sub-vectors are divided by a scale of their output channel, which the
requantization takes over; the student's blocks see the student's own activations, and their squared errors
count relative to the outputs; a schedule forces what no threshold confirms.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.body import Trainable, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.frontend.export import require_calibration
from algos.methods.blocks import Outputs
from algos.methods.method import PRECISION_HELP, Data, Method, described, tune
from algos.methods.plan import Layer, Target, whole
from algos.methods.prepared import LayerReport, Prepared, Task
from algos.precision import Precision
from algos.recipe import Recipe
from algos.trainer import Report, silent
from algos.weights.bits import Bits, codebook_bits, record_bits
from algos.weights.codebook import attach, attached
from algos.weights.grouping import ungroup
from algos.weights.universal import FrozenCodebook, UniversalWeight, sample_codebook
from sim.errors import InputError
from sim.network import Network


@dataclass(frozen=True)
class Vq4allConfig:
    """The codebook and how networks are built from it; the defaults are assumed, not published."""

    fits_k: ClassVar[bool] = False
    """The codebook is of all layers, however small one is."""

    k: int = described("codewords of the universal codebook; log2(k) / d bits a weight", 4096)
    d: int = described("codeword length", 8)
    bandwidth: float = described(
        "of the kernel density estimate; sub-vectors have a standard deviation of 1", 0.01
    )
    candidates: int = described("codewords that a sub-vector mixes at first; all of a smaller codebook", 16)
    threshold: float = described("a ratio above it confirms its codeword", 0.99)
    forced: tuple[float, float] = described(
        "shares of the steps between which the confirmed fraction is forced from 0 to 1, the most certain "
        "first; the steps after them tune scales, norms and dense layers alone",
        (0.5, 0.9),
    )
    assignment_rate: float = described("learning rate of the logits, by RMSprop", 5e-2)
    rate: float = described("learning rate of everything else", 1e-4)
    epochs: int = described("over the training images, 1 or more", 1)
    batch: int = described("images of an update", 128)
    seed: int = described("of the codebook and of the order of the images", 0)
    precision: Precision = described(PRECISION_HELP, "auto")

    def __post_init__(self) -> None:
        if not 2 <= self.k <= 65536:
            raise InputError("k", self.k, "codewords have indices of 1 to 16 bits", "use 2..65536")
        if not 0 < self.threshold < 1:
            raise InputError("threshold", self.threshold, "is no ratio between 0 and 1", "use 0.99")
        if not 0 <= self.forced[0] < self.forced[1] < 1:
            raise InputError("forced", self.forced, "are no ascending shares of the steps", "use (0.5, 0.9)")
        if self.epochs < 1:
            raise InputError("epochs", self.epochs, "not positive", "give 1 or more")

    def forced_fraction(self, progress: float) -> float:
        """What fraction of the sub-vectors is confirmed at least, after this share of the steps."""
        first, last = self.forced
        return min(1.0, max(0.0, (progress - first) / (last - first)))


def universal_codebook(networks: Sequence[Mapping[str, nn.Module]], config: Vq4allConfig) -> FrozenCodebook:
    """The codebook of several networks, each given by the layers that it will code."""
    weights = [[layer.weight for layer in layers.values()] for layers in networks]
    return sample_codebook(weights, config.k, config.d, bandwidth=config.bandwidth, seed=config.seed)


def construct(
    model: nn.Module,
    layers: Mapping[str, Layer],
    names: Sequence[str],
    codebooks: FrozenCodebook | Mapping[str, FrozenCodebook],
    images: Images,
    config: Vq4allConfig,
    checkpoint: Path | None = None,
    report: Report = silent,
) -> None:
    """Builds a network for grey pictures from frozen codewords, in place; an interrupted run resumes.

    Args:
        model: the float network, the teacher of what it becomes; pixels -> logits.
        layers: its convolutions and linear layers to code, by name.
        names: of the modules whose outputs are distilled.
        codebooks: the universal one, or one for each layer.
        checkpoint: written after every epoch, and read first where it exists.

    Raises:
        InputError: a weight is not finite, d does not divide the output channels of a layer, fewer images
            than a batch, a checkpoint of another construction, or a loss that is not finite.
    """
    task = Task(model, whole(layers, config, storage), config, blocks=tuple(names))
    prepared = encode(task, codebooks)
    tune(model, images, recipe(config, len(images)), checkpoint, report, prepared)
    prepared.finish()


def encode(
    task: Task, codebooks: FrozenCodebook | Mapping[str, FrozenCodebook] | None = None
) -> Construction:
    """Makes every planned weight a mixture of its nearest codewords.

    Args:
        codebooks: the universal one, or one for each layer; None for one of this module's own weights.
    """
    targets, config = task.plan.targets, task.config
    if codebooks is None:
        weights = [ungroup(one.vectors(), one.shape) for one in targets.values()]
        codebooks = sample_codebook(
            [weights], config.k, config.d, bandwidth=config.bandwidth, seed=config.seed
        )
    teacher = copy.deepcopy(task.module).eval().requires_grad_(False)
    reports = {}
    for name, target in targets.items():
        codebook = codebooks if isinstance(codebooks, FrozenCodebook) else codebooks[name]
        if target.d != codebook.d:
            raise InputError(
                "d", target.d, f"is not the codebook's {codebook.d}, in {target.name}", "give that"
            )
        candidates = min(config.candidates, len(codebook.integers))
        weight = ungroup(target.vectors(), target.shape)
        part = UniversalWeight(codebook, weight, candidates, target.added)
        with torch.no_grad():
            error = float((part(weight) - target.layer.weight).square().sum())
        attach(target.layer, part)
        reports[name] = LayerReport(error, error, target.bits)
    return Construction(task, reports, teacher)


def storage(config: Vq4allConfig, targets: Sequence[Target]) -> list[Bits]:
    """Of the layers; the universal codebook is in the first's."""
    found = [record_bits(one.subvectors, one.k, one.d) for one in targets]
    found[0] += Bits(universal=codebook_bits(config.k, config.d))
    return found


def recipe(config: Vq4allConfig, samples: int) -> Recipe:
    """How to construct, on however many samples."""
    return Recipe(
        config.epochs,
        config.rate,
        "rmsprop",
        config.batch,
        warm_up=0,
        decay=0,
        seed=config.seed,
        precision=config.precision,
        schedule="constant",
        rates={"ratios": config.assignment_rate},
    )


def universal_weights(model: nn.Module) -> list[UniversalWeight]:
    """Of all its coded layers."""
    parts = [attached(layer) for layer in model.modules()]
    return [part for part in parts if isinstance(part, UniversalWeight)]


def confirmed(model: nn.Module) -> float:
    """The share of its sub-vectors that are confirmed."""
    flags = [weight.soft.confirmed for weight in universal_weights(model)]
    return sum(int(f.sum()) for f in flags) / sum(map(len, flags))


class Construction(Prepared):
    """Progressive network construction: distillation and ratio loss, and the schedule of confirmation."""

    def __init__(self, task: Task, reports: Mapping[str, LayerReport], teacher: nn.Module) -> None:
        super().__init__(task.module, task.plan, task.config, reports, task.updates)
        self.teacher, self.parts = teacher, universal_weights(task.module)
        self.theirs, self.ours = Outputs(teacher, task.blocks), Outputs(task.module, task.blocks)
        self.inputs: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.handle = task.module.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.inputs = args, kwargs

    def to(self, device: torch.device) -> None:
        self.teacher.to(device)

    def loss(self) -> Tensor:
        """Relative squared error of the blocks' outputs, and the penalty on open ratios."""
        args, kwargs = self.inputs
        with torch.no_grad():
            self.teacher(*args, **kwargs)
        pairs = [(self.ours.found[name], self.theirs.found[name]) for name in self.ours.found]
        distillation = torch.stack([_relative_error(a.float(), b.float()) for a, b in pairs]).mean()
        ratios = torch.stack([part.soft.quadratic_penalty() for part in self.parts]).mean()
        return distillation + ratios

    def after_step(self) -> None:
        """Confirms what is decided, and what the schedule demands after this share of the updates.

        Raises:
            InputError: nobody said how many updates there will be.
        """
        super().after_step()
        if self.updates is None:
            problem = "the confirmation of codewords needs to know how many the training makes"
            raise InputError("updates", None, problem, "give prepare(updates=...)")
        forced = self.config.forced_fraction(self.done / self.updates)
        for part in self.parts:
            part.soft.confirm(self.config.threshold)
            part.soft.confirm_top(forced)

    def finish(self) -> nn.Module:
        for part in self.parts:
            part.soft.confirm_top(1)
        self.handle.remove()
        self.ours.release()
        self.theirs.release()
        return super().finish()

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(part.codebook.integers.cpu().numpy().tobytes())
        return super().identity() | {"codebooks": digest.hexdigest()}


def _relative_error(found: Tensor, expected: Tensor) -> Tensor:
    """Squared error over the mean square of what is expected."""
    return F.mse_loss(found, expected) / expected.square().mean().clamp(min=1e-12)


METHOD = Method(
    "vq4all", "one universal codebook, for a ROM (arXiv 2412.06875)", Vq4allConfig(), encode, storage, recipe
)


def from_rom(codebook: FrozenCodebook) -> Method[Vq4allConfig]:
    """The method with the codebook of an existing ROM."""
    return replace(METHOD, encode=partial(encode, codebooks=codebook))


def compress_together(
    models: Mapping[str, Trainable],
    data: Data,
    config: Vq4allConfig,
    *,
    work: Path | None = None,
    report: Callable[[str, int, float, float], None] = lambda name, epoch, loss, seconds: None,
) -> dict[str, Network]:
    """Float networks to integer networks that share one codebook; the models are changed in place.

    Args:
        models: by name.
        work: folder of the checkpoints NAME.pt.
        report: called after every epoch with the name of the network, epoch, mean loss and seconds.

    Raises:
        InputError: as `construct` and `universal_codebook`; no calibration images.
    """
    require_calibration(data.calibration)
    method = from_rom(universal_codebook([layers_to_compress(model) for model in models.values()], config))
    return {
        name: method.compress(
            model,
            data,
            config,
            name=name,
            checkpoint=work / f"{name}.pt" if work else None,
            report=partial(report, name),
        )
        for name, model in models.items()
    }
