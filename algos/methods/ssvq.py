"""SSVQ: sign-splitting vector quantization (arXiv 2503.08668).

Split the signs off, cluster the magnitudes, then train codebook and signs together: a latent variable a
weight carries its sign, and signs that oscillate freeze one after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from torch import nn

from algos.body import Compressible
from algos.data.fashion_mnist import Images
from algos.methods.method import FineTuned, Method, described, tune
from algos.methods.plan import Target
from algos.methods.prepared import LayerReport, Prepared, Task
from algos.recipe import Recipe
from algos.trainer import Report, silent
from algos.weights.bits import Bits, bits
from algos.weights.codebook import Codebook, attach, attached
from algos.weights.kmeans import masked_kmeans
from algos.weights.signs import Freezing, SignedWeight
from sim.errors import InputError
from sim.steps import steps

FINE_TUNING = Recipe(epochs=10, rate=1e-3, optimizer="adamw", decay=0.0)
"""AdamW, 10 epochs, no distillation as the paper; the rate is assumed."""


@dataclass(frozen=True)
class SsvqConfig(FineTuned):
    """What to learn.

    Attributes:
        freezing: None lets learned signs move to the end; not on the command line.
    """

    k: int = described("codewords of a layer; one with fewer than 2k sub-vectors gets half of them", 16)
    d: int = described("codeword length", 8)
    alpha: float = described("latent = alpha * weight; the smaller, the sooner a sign flips", 1.0)
    learn_signs: bool = described('train the signs, or keep those of the float weights ("fixed sign")', True)
    freezing: Freezing | None = field(default_factory=Freezing)

    transposed: ClassVar[bool] = True
    """Transposed convolutions too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 16")
        if not 0 < self.d <= 16:
            raise InputError("d", self.d, "codewords with signs have d of 1 to 16", "use 8")
        if self.alpha <= 0:
            raise InputError("alpha", self.alpha, "turns or loses the signs", "use 1.0")


def encode(task: Task) -> Prepared:
    """Replaces the weights of all layers by codebooks of magnitudes, assignments and signs, ready to fine-tune."""
    targets = task.plan.targets
    return task.prepared(
        {name: _encoded(targets[name], task.config) for name in steps(targets, "clustering", len(targets))}
    )


def storage(config: SsvqConfig, targets: Sequence[Target]) -> list[Bits]:
    """Of the layers."""
    return [bits(one.subvectors, one.k, one.d, signs=True) for one in targets]


def _encoded(target: Target, config: SsvqConfig) -> LayerReport:
    vectors = target.vectors()
    result = masked_kmeans(vectors.abs(), None, target.k, seed=config.seed)
    signed = SignedWeight(
        Codebook(result.codebook, low=0),
        result.assignments,
        config.alpha * vectors,
        target.shape,
        config.freezing if config.learn_signs else None,
        target.added,
    )
    signed.latent.requires_grad_(config.learn_signs)
    attach(target.layer, signed)
    return LayerReport(result.objective[-1], result.objective[-1], target.bits)


def cluster(model: Compressible, config: SsvqConfig) -> Mapping[str, LayerReport]:
    """Clusters the body of a shipped network, in place; the other layers stay dense.

    Raises:
        InputError: d does not divide the output channels of a layer, a weight is not finite, or
            the model is compressed already.
    """
    return METHOD.start(model, config).reports


def signed_weights(model: nn.Module) -> list[SignedWeight]:
    """Of the compressed layers, in order."""
    weights = (attached(layer) for layer in model.modules())
    return [weight for weight in weights if isinstance(weight, SignedWeight)]


def frozen_share(model: nn.Module) -> float:
    """Share of all signs that are frozen."""
    freezers = [weight.freezer for weight in signed_weights(model) if weight.freezer is not None]
    signs = sum(freezer.frozen.numel() for freezer in freezers)
    return sum(int(freezer.frozen.sum()) for freezer in freezers) / max(1, signs)


def fine_tune(
    model: Compressible,
    images: Images,
    recipe: Recipe = FINE_TUNING,
    checkpoint: Path | None = None,
    report: Report = silent,
) -> Compressible:
    """Trains codebooks, their scales, signs, norms and dense layers, in place; assignments stay."""
    tune(model, images, recipe, checkpoint, report)
    return model


METHOD = Method(
    "ssvq",
    "k-means on magnitudes, learned signs (arXiv 2503.08668)",
    SsvqConfig(),
    encode,
    storage,
    lambda config, samples: config.recipe(FINE_TUNING),
)
