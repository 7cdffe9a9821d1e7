"""SSVQ: sign-splitting vector quantization (arXiv 2503.08668).

Split the signs off, cluster the magnitudes, then train codebook and signs together: a latent variable a
weight carries its sign, and signs that oscillate freeze one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from algos.body import Compressible, Layer, Trainable, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.frontend.lowering import require_calibration
from algos.norms import gains_kept_positive
from algos.training import Recipe, Report, fit, silent
from algos.weights.bits import Bits, bits
from algos.weights.codebook import Codebook, attach, attached
from algos.weights.grouping import group
from algos.weights.kmeans import masked_kmeans
from algos.weights.signs import Freezing, SignedWeight
from sim.errors import InputError
from sim.network import Network

FINE_TUNING = Recipe(epochs=10, rate=1e-3, optimizer="adamw", decay=0.0)
"""AdamW, 10 epochs, no distillation as the paper; the rate is assumed."""


@dataclass(frozen=True)
class SsvqConfig:
    """What to learn.

    Attributes:
        k: codewords of a layer; a layer with fewer than 2k sub-vectors gets half of them.
        d: codeword length.
        alpha: latent = alpha * weight; the smaller, the sooner a sign flips.
        learn_signs: False keeps the signs of the float weights (the paper's "fixed sign").
        freezing: None lets learned signs move to the end.
    """

    k: int = 16
    d: int = 8
    alpha: float = 1.0
    learn_signs: bool = True
    freezing: Freezing | None = field(default_factory=Freezing)
    seed: int = 0

    def __post_init__(self) -> None:
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
    return {name: cluster_layer(layer, config) for name, layer in layers_to_compress(model).items()}


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
    model: Trainable,
    images: Images,
    recipe: Recipe = FINE_TUNING,
    checkpoint: Path | None = None,
    report: Report = silent,
) -> Trainable:
    """Trains codebooks, their scales, signs, norms and dense layers, in place; assignments stay."""
    weights, positive = signed_weights(model), gains_kept_positive(model)
    total = recipe.steps(len(images))

    def after_step() -> None:
        positive()
        for weight in weights:
            weight.after_step(total)

    fit(model, images, recipe, checkpoint, report, after_step)
    return model


def compress(
    model: Trainable,
    calibration: Images,
    config: SsvqConfig,
    *,
    name: str = "ssvq",
    training: Images | None = None,
    recipe: Recipe = FINE_TUNING,
    report: Report = silent,
) -> Network:
    """Float model to integer network; the model is changed in place.

    Args:
        calibration: images that set the activation scales.
        training: images to fine-tune on; none skips the fine-tuning.
        report: called after every epoch with its number, mean loss and seconds.

    Raises:
        InputError: d does not divide the output channels of a layer, a weight is NaN, no
            calibration images.
    """
    require_calibration(calibration)
    cluster(model, config)
    if training is not None:
        fine_tune(model, training, recipe, report=report)
    return export(model, calibration, name=name)
