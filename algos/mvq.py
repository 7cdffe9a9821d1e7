"""MVQ: masked vector quantization (arXiv 2412.10261).

Prune N:M, cluster only what survives, quantize the codebook to INT8, fine-tune codebook and scale
with masked gradients while assignments and masks stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn

from algos.bits import Bits, bits
from algos.codebook import CodebookWeightParametrization, attach, attached
from algos.data.fashion_mnist import Images
from algos.export import export
from algos.grouping import group
from algos.kmeans import masked_kmeans
from algos.models.resnet import ResNet
from algos.norms import absorb_gain_signs, gains_kept_positive
from algos.pruning import weight_mask
from algos.training import Recipe, fit
from sim.errors import InputError
from sim.network import Network

Case = Literal["A", "B", "C", "D"]
CASES = get_args(Case)

FINE_TUNING = Recipe(epochs=5, rate=2e-3, optimizer="adamw", decay=0.0)
"""For all 60,000 images."""

SHORT_FINE_TUNING = Recipe(epochs=2, rate=3e-4, optimizer="adamw", decay=0.0)
"""For a few thousand images: at the full rate, so few steps would lose accuracy."""


@dataclass(frozen=True)
class MvqConfig:
    """What to learn.

    Attributes:
        k: codewords of a layer; a layer with fewer than 2k sub-vectors gets half of them.
        d: codeword length.
        n, m: kept and all elements of the N:M pattern.
        case: of the paper's Table 3: A dense weights, common k-means, dense reconstruction;
            B the same on sparse weights; C sparse weights, common k-means, sparse
            reconstruction; D masked k-means, sparse reconstruction: MVQ.
    """

    k: int = 64
    d: int = 16
    n: int = 4
    m: int = 16
    case: Case = "D"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 64")
        if self.case not in CASES:
            raise InputError("case", self.case, "not a case of MVQ Table 3", "use A, B, C or D")
        if self.masked and (self.d % self.m or not 0 < self.n <= self.m):
            raise InputError("N:M", f"{self.n}:{self.m}", f"does not fit d = {self.d}",
                             "choose M that divides d and N <= M")

    @property
    def masked(self) -> bool:
        """Whether the reconstruction is sparse."""
        return self.case in ("C", "D")

    @property
    def pattern(self) -> tuple[int, int]:
        """N:M of the stored masks, (0, 0) without."""
        return (self.n, self.m) if self.masked else (0, 0)


@dataclass(frozen=True)
class LayerReport:
    """Clustering of one layer: squared errors before fine-tuning (MVQ Table 3) and storage.

    `masked_sse` sums over the elements that N:M pruning keeps, `total_sse` over all.
    """

    total_sse: float
    masked_sse: float
    bits: Bits


def cluster_layer(layer: nn.Conv2d, config: MvqConfig) -> LayerReport:
    """Replaces a layer's weight by codebook, assignments and mask, ready to fine-tune."""
    weight = layer.weight.detach()
    vectors = group(weight, config.d)
    # M may span several sub-vectors in the cases without a stored mask.
    kept = group(weight_mask(weight, max(config.d, config.m), config.n, config.m).float(), config.d).bool()
    target = vectors if config.case == "A" else vectors * kept
    k = min(config.k, len(vectors) // 2)
    result = masked_kmeans(target, kept if config.case == "D" else None, k, seed=config.seed)
    masks = kept.to(vectors.dtype) if config.masked else torch.ones_like(vectors)
    error = (target - result.codebook[result.assignments] * masks) ** 2
    attach(layer, CodebookWeightParametrization(
        result.codebook, result.assignments, masks, weight.shape, config.pattern))
    storage = bits(len(vectors), k, config.d, *config.pattern)
    return LayerReport(float(error.sum()), float(error[kept].sum()), storage)


def compress(
    model: ResNet, calibration: Images, config: MvqConfig, *, name: str = "mvq",
    training: Images | None = None, recipe: Recipe = FINE_TUNING,
    report: Callable[[int, float, float], None] = lambda epoch, loss, seconds: None,
) -> Network:
    """Float (or sparse) model to integer network; the model is changed in place.

    Args:
        calibration: images that set the activation scales.
        training: images to fine-tune on; none skips the fine-tuning.
        report: called after every epoch with its number, mean loss and seconds.

    Raises:
        InputError: d does not divide the output channels of a layer, a weight is NaN, no
            calibration images.
    """
    if not len(calibration):
        raise InputError("calibration", 0, "no images", "give a few hundred training images")
    cluster(model, config)
    if training is not None:
        fine_tune(model, training, recipe, report=report)
    return export(model, calibration, name=name)


def cluster(model: ResNet, config: MvqConfig) -> dict[str, LayerReport]:
    """Clusters every convolution behind the stem; stem and classifier stay dense.

    Raises:
        InputError: d does not divide the output channels of a layer, a weight is not finite, or
            the model is compressed already.
    """
    for name, layer in model.body().items():
        if attached(layer) is not None:
            raise InputError(f"{name}.weight", "codebook", "is compressed already",
                             "start from the float or the sparse model")
        if not torch.isfinite(layer.weight).all():
            raise InputError(f"{name}.weight", float("nan"), "holds NaN or infinity",
                             "repair the checkpoint before compressing it")
    absorb_gain_signs(model)
    return {name: cluster_layer(layer, config) for name, layer in model.body().items()}


def fine_tune(
    model: ResNet, images: Images, recipe: Recipe = FINE_TUNING, checkpoint: Path | None = None,
    report: Callable[[int, float, float], None] = lambda epoch, loss, seconds: None,
) -> ResNet:
    """Trains codebooks and their scales (MVQ eq. 6, LSQ), norms and dense layers, in place.

    Assignments and masks stay.
    """
    fit(model, images, recipe, checkpoint, report, gains_kept_positive(model))
    return model
