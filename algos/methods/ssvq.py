"""SSVQ: sign-splitting vector quantization (arXiv 2503.08668).

Split the signs off, cluster the magnitudes, then train codebook and signs together: a latent variable a
weight carries its sign, and signs that oscillate freeze one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from algos.body import Compressible, Layer, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.methods.method import Data, FineTuned, Method, described
from algos.norms import gains_kept_positive
from algos.training import Recipe, Report, fit, silent
from algos.weights.bits import Bits, bits
from algos.weights.codebook import Codebook, attach, attached
from algos.weights.grouping import group
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 16")
        if not 0 < self.d <= 16:
            raise InputError("d", self.d, "codewords with signs have d of 1 to 16", "use 8")
        if self.alpha <= 0:
            raise InputError("alpha", self.alpha, "turns or loses the signs", "use 1.0")


@dataclass(frozen=True)
class LayerReport:
    """Squared error of a layer's weight before fine-tuning, and its storage."""

    sse: float
    bits: Bits


def cluster_layer(layer: Layer, config: SsvqConfig) -> LayerReport:
    """Replaces a layer's weight by codebook, assignments and signs, ready to fine-tune."""
    weight = layer.weight.detach()
    vectors = group(weight, config.d)
    k = min(config.k, len(vectors) // 2)
    result = masked_kmeans(vectors.abs(), None, k, seed=config.seed)
    signed = SignedWeight(
        Codebook(result.codebook, low=0),
        result.assignments,
        config.alpha * vectors,
        weight.shape,
        config.freezing if config.learn_signs else None,
    )
    signed.latent.requires_grad_(config.learn_signs)
    attach(layer, signed)
    return LayerReport(result.objective[-1], bits(len(vectors), k, config.d, signs=True))


def cluster(model: Compressible, config: SsvqConfig) -> dict[str, LayerReport]:
    """Clusters every layer of the body, in place; the other layers stay dense.

    Raises:
        InputError: d does not divide the output channels of a layer, a weight is not finite, or
            the model is compressed already.
    """
    layers = layers_to_compress(model)
    told = steps(layers.items(), "clustering", len(layers))
    return {name: cluster_layer(layer, config) for name, layer in told}


def signed_weights(model: Compressible) -> list[SignedWeight]:
    """Of the compressed layers, in order."""
    weights = (attached(layer) for layer in model.body().values())
    return [weight for weight in weights if isinstance(weight, SignedWeight)]


def frozen_share(model: Compressible) -> float:
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
    weights, positive = signed_weights(model), gains_kept_positive(model)
    total = recipe.steps(len(images))

    def after_step() -> None:
        positive()
        for weight in weights:
            weight.after_step(total)

    fit(model, images, recipe, checkpoint, report, after_step)
    return model


def apply(
    model: Compressible, data: Data, config: SsvqConfig, checkpoint: Path | None, report: Report
) -> None:
    """Clusters and fine-tunes in place."""
    cluster(model, config)
    if config.epochs:
        fine_tune(model, data.training, config.recipe(FINE_TUNING), checkpoint, report)


METHOD = Method("ssvq", "k-means on magnitudes, learned signs (arXiv 2503.08668)", SsvqConfig(), apply)
