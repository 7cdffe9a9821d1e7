"""Two additive codebooks a layer, after AQLM (arXiv 2401.06118): greedy alternation, then MVQ's fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algos.methods import mvq
from algos.methods.method import FineTuned, Method, described
from algos.methods.plan import Target
from algos.methods.prepared import LayerReport, Prepared, Task
from algos.recipe import Recipe
from algos.weights.additive import AdditiveWeight, additive_kmeans
from algos.weights.bits import Bits, codebook_bits, record_bits
from algos.weights.codebook import attach
from sim.errors import InputError
from sim.steps import steps


@dataclass(frozen=True)
class AqlmConfig(FineTuned):
    """What to learn."""

    k: int = described(
        "codewords of either codebook of a layer; one with fewer than 2k sub-vectors gets half of them", 32
    )
    d: int = described("codeword length", 8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 32")


def encode(task: Task) -> Prepared:
    """Replaces the weights of all layers of the plan by two codebooks and their assignments, ready to fine-tune."""
    reports = {}
    for name in steps(task.plan.targets, "clustering", len(task.plan.targets)):
        target = task.plan.targets[name]
        vectors = target.vectors()
        found = additive_kmeans(vectors, target.k, seed=task.config.seed)
        attach(target.layer, AdditiveWeight(found.codebooks, found.assignments, target.shape, target.added))
        reports[name] = LayerReport(found.objective[-1], found.objective[-1], target.bits)
    return task.prepared(reports)


def storage(config: AqlmConfig, targets: Sequence[Target]) -> list[Bits]:
    """Of the layers; two indices a sub-vector, two codebooks a layer."""
    found = []
    for one in targets:
        half = record_bits(one.subvectors, one.k, one.d)
        books = Bits(assignments=half.assignments, codebooks=2 * codebook_bits(one.k, one.d))
        found.append(half + books)
    return found


def recipe(config: AqlmConfig, samples: int) -> Recipe:
    """How to fine-tune on so many samples."""
    return config.recipe(mvq.SHORT_FINE_TUNING if samples < mvq.FEW else mvq.FINE_TUNING)


METHOD = Method(
    "aqlm",
    "sums of two codewords, alternated greedily (after arXiv 2401.06118)",
    AqlmConfig(),
    encode,
    storage,
    recipe,
)
