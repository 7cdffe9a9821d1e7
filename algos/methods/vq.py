"""Plain vector quantization: k-means on dense weights, then the fine-tuning of MVQ without masks.

What the other methods are measured against: case A of MVQ Table 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from algos.body import Compressible
from algos.methods import mvq
from algos.methods.method import Data, FineTuned, Method, described
from algos.training import Report
from sim.errors import InputError


@dataclass(frozen=True)
class VqConfig(FineTuned):
    """What to learn."""

    k: int = described("codewords of a layer; one with fewer than 2k sub-vectors gets half of them", 176)
    d: int = described("codeword length", 8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise InputError("k", self.k, "a codebook has at least two codewords", "use 176")


def apply(model: Compressible, data: Data, config: VqConfig, checkpoint: Path | None, report: Report) -> None:
    """Clusters and fine-tunes in place."""
    unmasked = mvq.MvqConfig(
        config.k,
        config.d,
        (1, 2),
        "A",
        epochs=config.epochs,
        rate=config.rate,
        batch=config.batch,
        seed=config.seed,
        precision=config.precision,
    )
    mvq.apply(model, data, unmasked, checkpoint, report)


METHOD = Method("vq", "plain k-means on dense weights", VqConfig(), apply)
