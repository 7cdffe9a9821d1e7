"""Plain vector quantization: k-means on dense weights, then the fine-tuning of MVQ without masks.

What the other methods are measured against: case A of MVQ Table 3.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

from algos.methods import mvq
from algos.methods.method import FineTuned, Method, described
from algos.methods.prepared import Prepared, Task
from sim.errors import InputError


@dataclass(frozen=True)
class VqConfig(FineTuned):
    """What to learn."""

    k: int = described("codewords of a layer; one with fewer than 2k sub-vectors gets half of them", 176)
    d: int = described("codeword length", 8)

    transposed: ClassVar[bool] = True
    """Transposed convolutions too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 176")


def _unmasked(config: VqConfig) -> mvq.MvqConfig:
    shared = {one.name: getattr(config, one.name) for one in fields(FineTuned)}
    return mvq.MvqConfig(config.k, config.d, (1, 2), "A", **shared)


def encode(task: Task) -> Prepared:
    """Replaces the weights of all layers of the plan by codebooks and assignments, ready to fine-tune."""
    return mvq.encode(replace(task, config=_unmasked(task.config)))


METHOD = Method(
    "vq",
    "plain k-means on dense weights",
    VqConfig(),
    encode,
    lambda config, targets: mvq.storage(_unmasked(config), targets),
    mvq.recipe,
)
