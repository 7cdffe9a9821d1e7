"""MVQ: masked vector quantization (arXiv 2412.10261).

Prune N:M, cluster only what survives, quantize the codebook to INT8, fine-tune codebook and scale
with masked gradients while assignments and masks stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from algos.body import Compressible
from algos.data.fashion_mnist import Images
from algos.methods.method import FineTuned, Method, described, tune
from algos.methods.plan import Target
from algos.methods.prepared import LayerReport, Prepared, Task
from algos.recipe import Recipe
from algos.trainer import Report, silent
from algos.weights.bits import Bits, codebook_bits, record_bits
from algos.weights.codebook import Codebook, MaskedWeight, attach, tie
from algos.weights.grouping import group, ungroup
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

    transposed: ClassVar[bool] = True
    """Transposed convolutions too."""

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


def encode(task: Task) -> Prepared:
    """Replaces the weights of all layers of the plan by codebooks, assignments and masks, ready to fine-tune.

    Raises:
        InputError: a weight is not finite, or there are more codewords than half of the sub-vectors.
    """
    targets, config = task.plan.targets, task.config
    pruned = {name: _pruned(target, config) for name, target in targets.items()}
    if config.cross_layer:
        return task.prepared(_together(targets, pruned, config))
    return task.prepared(
        {
            name: report
            for name in steps(targets, "clustering", len(targets))
            for report in _together({name: targets[name]}, {name: pruned[name]}, config).values()
        }
    )


def storage(config: MvqConfig, targets: Sequence[Target]) -> list[Bits]:
    """Of the layers; one codebook each, or one for all."""
    found = [record_bits(one.subvectors, one.k, one.d, *config.stored_pattern) for one in targets]
    if config.cross_layer:
        k = _shared_k(config, sum(one.subvectors for one in targets))
        found = [record_bits(one.subvectors, k, one.d, *config.stored_pattern) for one in targets]
        found[0] += Bits(codebooks=codebook_bits(k, config.d))
        return found
    return [one + Bits(codebooks=codebook_bits(t.k, t.d)) for one, t in zip(found, targets, strict=True)]


def _shared_k(config: MvqConfig, subvectors: int) -> int:
    return min(config.k, subvectors // 2)


def _pruned(target: Target, config: MvqConfig) -> tuple[Tensor, Tensor]:
    """Sub-vectors to cluster, float [n, d], and which elements N:M pruning keeps, bool [n, d]."""
    vectors, (n, m) = target.vectors(), config.pattern
    if config.masked and target.d % m:
        raise InputError(
            "N:M", f"{n}:{m}", f"does not fit d = {target.d} of {target.name}", "choose a d that M divides"
        )
    # M may span several sub-vectors in the cases without a stored mask.
    weight = ungroup(vectors, target.shape)
    kept = group(weight_mask(weight, max(target.d, m), n, m).float(), target.d).bool()
    return vectors if config.case == "A" else vectors * kept, kept


def _together(
    targets: Mapping[str, Target], pruned: Mapping[str, tuple[Tensor, Tensor]], config: MvqConfig
) -> dict[str, LayerReport]:
    """Replaces the weights of layers by one codebook, assignments and masks."""
    vectors, kept = (torch.cat(parts) for parts in zip(*pruned.values(), strict=True))
    k = next(iter(targets.values())).k if len(targets) == 1 else _shared_k(config, len(vectors))
    result = masked_kmeans(vectors, kept if config.case == "D" else None, k, seed=config.seed)
    codebook, reports, weights, first = Codebook(result.codebook), {}, [], 0
    for name, (target, mask) in pruned.items():
        assignments = result.assignments[first : first + len(target)]
        masks = mask.to(target.dtype) if config.masked else torch.ones_like(target)
        error = (target - result.codebook[assignments] * masks) ** 2
        one = targets[name]
        weights.append(
            MaskedWeight(codebook, assignments, masks, one.shape, config.stored_pattern, one.added)
        )
        attach(one.layer, weights[-1])
        reports[name] = LayerReport(float(error.sum()), float(error[mask].sum()), one.bits)
        first += len(target)
    tie(weights)
    return reports


def cluster(model: Compressible, config: MvqConfig) -> Mapping[str, LayerReport]:
    """Clusters the body of a shipped network, in place; the other layers stay dense.

    Raises:
        InputError: d does not divide the output channels of a layer, a weight is not finite, or
            the model is compressed already.
    """
    return METHOD.start(model, config).reports


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
    tune(model, images, recipe, checkpoint, report)
    return model


def recipe(config: MvqConfig, samples: int) -> Recipe:
    """How to fine-tune on so many samples."""
    return config.recipe(SHORT_FINE_TUNING if samples < FEW else FINE_TUNING)


METHOD = Method(
    "mvq",
    "masked k-means on N:M-sparse weights (arXiv 2412.10261)",
    MvqConfig(),
    encode,
    storage,
    recipe,
    starts_sparse=True,
)
