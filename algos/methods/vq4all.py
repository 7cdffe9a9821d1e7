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
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.body import Trainable, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.frontend.export import require_calibration
from algos.methods.method import PRECISION_HELP, Data, Method, described
from algos.norms import gains_kept_positive
from algos.precision import Precision, computing, resolved
from algos.training import Report, augment, normalize, save_atomically, silent, training_layout
from algos.weights.codebook import attach, attached
from algos.weights.universal import FrozenCodebook, UniversalWeight, sample_codebook
from sim.errors import InputError
from sim.network import Network
from sim.steps import steps


@dataclass(frozen=True)
class Vq4allConfig:
    """The codebook and how networks are built from it; the defaults are assumed, not published."""

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
    layers: Mapping[str, nn.Module],
    blocks: Sequence[str],
    codebooks: FrozenCodebook | Mapping[str, FrozenCodebook],
    images: Images,
    config: Vq4allConfig,
    checkpoint: Path | None = None,
    report: Report = silent,
) -> None:
    """Builds a network from frozen codewords, in place; an interrupted run resumes after its last epoch.

    Args:
        model: the float network, the teacher of what it becomes; pixels -> logits.
        layers: its convolutions and linear layers to code, by name.
        blocks: names of the modules whose outputs are distilled.
        codebooks: the universal one, or one for each layer.
        checkpoint: written after every epoch, and read first where it exists.

    Raises:
        InputError: a weight is not finite, d does not divide the output channels of a layer, fewer images
            than a batch, a checkpoint of another construction, or a loss that is not finite.
    """
    if len(images) < config.batch:
        raise InputError(
            "images",
            len(images),
            f"fewer than a batch of {config.batch}",
            "give more images or a smaller batch",
        )
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    if isinstance(codebooks, FrozenCodebook):
        codebooks = dict.fromkeys(layers, codebooks)
    for name, layer in layers.items():
        codebook = codebooks[name]
        candidates = min(config.candidates, len(codebook.integers))
        attach(layer, UniversalWeight(codebook, layer.weight.detach(), candidates))
    _Construction(model, teacher, blocks, images, config, report).run(checkpoint)


def universal_weights(model: nn.Module) -> list[UniversalWeight]:
    """Of all its coded layers."""
    parts = [attached(layer) for layer in model.modules()]
    return [part for part in parts if isinstance(part, UniversalWeight)]


def confirmed(model: nn.Module) -> float:
    """The share of its sub-vectors that are confirmed."""
    flags = [weight.soft.confirmed for weight in universal_weights(model)]
    return sum(int(f.sum()) for f in flags) / sum(map(len, flags))


class _Construction:
    """Progressive network construction: its state and its steps."""

    def __init__(
        self,
        model: nn.Module,
        teacher: nn.Module,
        blocks: Sequence[str],
        images: Images,
        config: Vq4allConfig,
        report: Report,
    ) -> None:
        self.layout = training_layout(model)
        model.to(memory_format=self.layout)
        teacher.to(memory_format=self.layout)
        self.model, self.images, self.config, self.report = model, images, config, report
        self.weights = universal_weights(model)
        self.student_outputs, self.teacher_outputs = _Outputs(model, blocks), _Outputs(teacher, blocks)
        self.teacher = teacher
        self.precision = resolved(config.precision)
        logits = [weight.soft.logits for weight in self.weights]
        chosen = set(map(id, logits))
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
        self.optimizer = torch.optim.RMSprop(
            [{"params": logits, "lr": config.assignment_rate}, {"params": others, "lr": config.rate}],
            alpha=0.9,
        )
        self.keep_gains_positive = gains_kept_positive(model)
        self.generator = torch.Generator().manual_seed(config.seed)

    def run(self, checkpoint: Path | None) -> None:
        config, model = self.config, self.model
        per_epoch = len(self.images) // config.batch
        done = self._resume(checkpoint) if checkpoint and checkpoint.exists() else 0
        for epoch in range(done, config.epochs):
            start, losses = time.perf_counter(), 0.0
            model.train()
            order = torch.randperm(len(self.images), generator=self.generator)
            batches = order[: per_epoch * config.batch].split(config.batch)
            told = steps(batches, f"epoch {epoch + 1} of {config.epochs}", per_epoch)
            for number, chosen in enumerate(told):
                pixels, labels = self.images.pixels[chosen], self.images.labels[chosen]
                losses += self.step(normalize(augment(pixels, self.generator), self.layout), labels)
                self.confirm((epoch * per_epoch + number + 1) / (config.epochs * per_epoch))
            if not math.isfinite(losses):
                raise InputError("loss", losses, f"diverged in epoch {epoch + 1}", "lower the rates")
            if checkpoint:
                save_atomically(self._state(epoch + 1), checkpoint)
            self.report(epoch + 1, losses / per_epoch, time.perf_counter() - start)
        self.student_outputs.release()
        model.eval()

    def step(self, x: Tensor, labels: Tensor) -> float:
        """One update of logits and float parameters under task, distillation and ratio loss."""
        self.optimizer.zero_grad()
        with computing(self.precision):
            with torch.no_grad():
                self.teacher(x)
            task = F.cross_entropy(self.model(x), labels)
        pairs = zip(self.student_outputs.found, self.teacher_outputs.found, strict=True)
        distillation = torch.stack([_relative_error(a.float(), b.float()) for a, b in pairs]).mean()
        ratios = torch.stack([weight.soft.quadratic_penalty() for weight in self.weights]).mean()
        loss = task + distillation + ratios
        loss.backward()
        self.optimizer.step()
        self.keep_gains_positive()
        return float(loss.detach())

    def confirm(self, progress: float) -> None:
        """Confirms what is decided, and what the schedule demands after this share of the steps."""
        for weight in self.weights:
            weight.soft.confirm(self.config.threshold)
            weight.soft.confirm_top(self.config.forced_fraction(progress))

    def _identity(self) -> dict[str, object]:
        """What a checkpoint must agree with."""
        digest = hashlib.sha256()
        for weight in self.weights:
            digest.update(weight.codebook.integers.numpy().tobytes())
        return {**asdict(self.config), "codebooks": digest.hexdigest()}

    def _state(self, epoch: int) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": epoch,
            "precision": self.precision,
            "identity": self._identity(),
        }

    def _resume(self, checkpoint: Path) -> int:
        state = torch.load(checkpoint, weights_only=True)
        if state["identity"] != self._identity():
            raise InputError(
                "checkpoint",
                str(checkpoint),
                "is of another configuration or codebook",
                "delete it or use its configuration",
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.precision = state["precision"]
        return int(state["epoch"])


def _relative_error(found: Tensor, expected: Tensor) -> Tensor:
    """Squared error over the mean square of what is expected."""
    return F.mse_loss(found, expected) / expected.square().mean().clamp(min=1e-12)


class _Outputs:
    """The outputs of some modules in the last forward pass of a model."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self.found: list[Tensor] = [torch.empty(0)] * len(names)
        self.handles = [
            model.get_submodule(name).register_forward_hook(self._keep(place))
            for place, name in enumerate(names)
        ]

    def _keep(self, place: int) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            self.found[place] = output

        return keep

    def release(self) -> None:
        for handle in self.handles:
            handle.remove()


def blocks(model: Trainable) -> list[str]:
    """Names of the modules whose outputs are distilled."""
    return [f"blocks.{number}" for number in range(len(model.blocks))]


def apply(
    model: Trainable,
    data: Data,
    config: Vq4allConfig,
    checkpoint: Path | None,
    report: Report,
    codebook: FrozenCodebook | None = None,
) -> None:
    """Constructs a network in place, from a codebook of its own weights where none is given."""
    layers = layers_to_compress(model)
    shared = codebook or universal_codebook([layers], config)
    construct(model, layers, blocks(model), shared, data.training, config, checkpoint, report)


METHOD = Method("vq4all", "one universal codebook, for a ROM (arXiv 2412.06875)", Vq4allConfig(), apply)


def from_rom(codebook: FrozenCodebook) -> Method[Vq4allConfig]:
    """The method with the codebook of an existing ROM."""
    return replace(METHOD, apply=partial(apply, codebook=codebook))


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
