"""MVQ: masked vector quantization (arXiv 2412.10261).

Prune N:M, cluster only what survives, quantize the codebook to INT8, fine-tune codebook and scale
with masked gradients while assignments and masks stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from algos.body import Compressible, Layer, Trainable, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.frontend.lowering import require_calibration
from algos.norms import gains_kept_positive
from algos.training import Recipe, Report, fit, silent
from algos.weights.bits import Bits, codebook_bits, record_bits
from algos.weights.codebook import Codebook, MaskedWeight, attach, tie
from algos.weights.grouping import group
from algos.weights.kmeans import masked_kmeans
from algos.weights.pruning import weight_mask
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
        k: codewords of a codebook; for fewer than 2k sub-vectors it has half as many codewords as these.
        d: codeword length.
        n, m: kept and all elements of the N:M pattern: 4:16 for ResNets, 1:2 with d = 8 for light
            networks (MVQ sec. 6.2); in case A they only say which elements `masked_sse` counts.
        case: of the paper's Table 3: A dense weights, common k-means, dense reconstruction;
            B the same on sparse weights; C sparse weights, common k-means, sparse
            reconstruction; D masked k-means, sparse reconstruction: MVQ.
        cross_layer: one codebook for all layers (MVQ Fig. 13) in place of one each.
    """

    k: int = 64
    d: int = 16
    n: int = 4
    m: int = 16
    case: Case = "D"
    cross_layer: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 64")
        if self.case not in CASES:
            raise InputError("case", self.case, "not a case of MVQ Table 3", "use A, B, C or D")
        if self.masked and (self.d % self.m or not 0 < self.n <= self.m):
            raise InputError(
                "N:M",
                f"{self.n}:{self.m}",
                f"does not fit d = {self.d}",
                "choose M that divides d and N <= M",
            )

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

    `masked_sse` sums over the elements that N:M pruning keeps, `total_sse` over all. A codebook of all
    layers is in the bits of the first.
    """

    total_sse: float
    masked_sse: float
    bits: Bits


def cluster(model: Compressible, config: MvqConfig) -> dict[str, LayerReport]:
    """Clusters every layer of the body, in place; the other layers stay dense.

    Raises:
        InputError: d does not divide the output channels of a layer, a weight is not finite, or
            the model is compressed already.
    """
    layers = layers_to_compress(model)
    pruned = {name: _pruned(layer.weight.detach(), config) for name, layer in layers.items()}
    if config.cross_layer:
        return _cluster_together(layers, pruned, config)
    return {
        name: report
        for name in layers
        for report in _cluster_together({name: layers[name]}, {name: pruned[name]}, config).values()
    }


def _pruned(weight: Tensor, config: MvqConfig) -> tuple[Tensor, Tensor]:
    """Sub-vectors to cluster, float [n, d], and which elements N:M pruning keeps, bool [n, d]."""
    vectors = group(weight, config.d)
    # M may span several sub-vectors in the cases without a stored mask.
    kept = group(weight_mask(weight, max(config.d, config.m), config.n, config.m).float(), config.d).bool()
    return vectors if config.case == "A" else vectors * kept, kept


def _cluster_together(
    layers: Mapping[str, Layer], pruned: dict[str, tuple[Tensor, Tensor]], config: MvqConfig
) -> dict[str, LayerReport]:
    """Replaces the weights of layers by one codebook, assignments and masks, ready to fine-tune."""
    target, kept = (torch.cat(parts) for parts in zip(*pruned.values(), strict=True))
    k = min(config.k, len(target) // 2)
    result = masked_kmeans(target, kept if config.case == "D" else None, k, seed=config.seed)
    codebook, storage = Codebook(result.codebook), Bits(codebooks=codebook_bits(k, config.d))
    reports, weights, first = {}, [], 0
    for name, (vectors, mask) in pruned.items():
        assignments = result.assignments[first : first + len(vectors)]
        masks = mask.to(vectors.dtype) if config.masked else torch.ones_like(vectors)
        error = (vectors - result.codebook[assignments] * masks) ** 2
        weights.append(MaskedWeight(codebook, assignments, masks, layers[name].weight.shape, config.pattern))
        attach(layers[name], weights[-1])
        storage += record_bits(len(vectors), k, config.d, *config.pattern)
        reports[name] = LayerReport(float(error.sum()), float(error[mask].sum()), storage)
        first, storage = first + len(vectors), Bits()
    tie(weights)
    return reports


def fine_tune(
    model: Trainable,
    images: Images,
    recipe: Recipe = FINE_TUNING,
    checkpoint: Path | None = None,
    report: Report = silent,
) -> Trainable:
    """Trains codebooks and their scales (MVQ eq. 6, LSQ), norms and dense layers, in place.

    Assignments and masks stay.
    """
    fit(model, images, recipe, checkpoint, report, gains_kept_positive(model))
    return model


def compress(
    model: Trainable,
    calibration: Images,
    config: MvqConfig,
    *,
    name: str = "mvq",
    training: Images | None = None,
    recipe: Recipe = FINE_TUNING,
    report: Report = silent,
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
    require_calibration(calibration)
    cluster(model, config)
    if training is not None:
        fine_tune(model, training, recipe, report=report)
    return export(model, calibration, name=name)
