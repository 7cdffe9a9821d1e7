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

from algos.body import Compressible, Layer, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.methods.method import Data, FineTuned, Method, described
from algos.norms import gains_kept_positive
from algos.training import Recipe, Report, fit, silent
from algos.weights.bits import Bits, codebook_bits, record_bits
from algos.weights.codebook import Codebook, MaskedWeight, attach, tie
from algos.weights.grouping import group
from algos.weights.kmeans import masked_kmeans
from algos.weights.pruning import weight_mask
from sim.errors import InputError
from sim.steps import steps

Case = Literal["A", "B", "C", "D"]
CASES = get_args(Case)

FINE_TUNING = Recipe(epochs=5, rate=2e-3, optimizer="adamw", decay=0.0)
"""For all 60,000 images."""

SHORT_FINE_TUNING = Recipe(epochs=2, rate=3e-4, optimizer="adamw", decay=0.0)
"""For a few thousand images: at the full rate, so few steps would lose accuracy."""

FEW = 10_000
"""Fewer training images than these are a few thousand."""


@dataclass(frozen=True)
class MvqConfig(FineTuned):
    """What to learn: MVQ itself, and the other cases of its Table 3.

    A: dense weights, common k-means, dense reconstruction. B: the same on sparse weights. C: sparse weights,
    common k-means, sparse reconstruction. D: masked k-means, sparse reconstruction, which is MVQ.
    """

    k: int = described("codewords of a codebook; for fewer than 2k sub-vectors half as many as these", 64)
    d: int = described("codeword length", 16)
    pattern: tuple[int, int] = described(
        "N:M, kept of every M weights: 4:16 for ResNets, 1:2 with d = 8 for light networks (MVQ sec. 6.2); "
        "in case A it only says which elements `masked_sse` counts",
        (4, 16),
    )
    case: Case = described("of MVQ Table 3: A, B, C or D, which is MVQ", "D")
    cross_layer: bool = described("one codebook for all layers (MVQ Fig. 13) in place of one each", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 64")
        if self.case not in CASES:
            raise InputError("case", self.case, "not a case of MVQ Table 3", "use A, B, C or D")
        n, m = self.pattern
        if self.masked and (self.d % m or not 0 < n <= m):
            raise InputError(
                "N:M", f"{n}:{m}", f"does not fit d = {self.d}", "choose M that divides d and N <= M"
            )

    @property
    def masked(self) -> bool:
        """Whether the reconstruction is sparse."""
        return self.case in ("C", "D")

    @property
    def stored_pattern(self) -> tuple[int, int]:
        """N:M of the stored masks, (0, 0) without."""
        return self.pattern if self.masked else (0, 0)


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
        for name in steps(layers, "clustering", len(layers))
        for report in _cluster_together({name: layers[name]}, {name: pruned[name]}, config).values()
    }


def _pruned(weight: Tensor, config: MvqConfig) -> tuple[Tensor, Tensor]:
    """Sub-vectors to cluster, float [n, d], and which elements N:M pruning keeps, bool [n, d]."""
    vectors, (n, m) = group(weight, config.d), config.pattern
    # M may span several sub-vectors in the cases without a stored mask.
    kept = group(weight_mask(weight, max(config.d, m), n, m).float(), config.d).bool()
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
        weights.append(
            MaskedWeight(codebook, assignments, masks, layers[name].weight.shape, config.stored_pattern)
        )
        attach(layers[name], weights[-1])
        storage += record_bits(len(vectors), k, config.d, *config.stored_pattern)
        reports[name] = LayerReport(float(error.sum()), float(error[mask].sum()), storage)
        first, storage = first + len(vectors), Bits()
    tie(weights)
    return reports


def fine_tune(
    model: Compressible,
    images: Images,
    recipe: Recipe = FINE_TUNING,
    checkpoint: Path | None = None,
    report: Report = silent,
) -> Compressible:
    """Trains codebooks and their scales (MVQ eq. 6, LSQ), norms and dense layers, in place.

    Assignments and masks stay.
    """
    fit(model, images, recipe, checkpoint, report, gains_kept_positive(model))
    return model


def apply(
    model: Compressible, data: Data, config: MvqConfig, checkpoint: Path | None, report: Report
) -> None:
    """Clusters and fine-tunes in place."""
    cluster(model, config)
    if config.epochs:
        usual = SHORT_FINE_TUNING if len(data.training) < FEW else FINE_TUNING
        fine_tune(model, data.training, config.recipe(usual), checkpoint, report)


METHOD = Method(
    "mvq", "masked k-means on N:M-sparse weights (arXiv 2412.10261)", MvqConfig(), apply, starts_sparse=True
)
