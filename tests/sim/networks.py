"""Small networks for tests."""

from __future__ import annotations

import numpy as np

from sim.encoding import mask_table
from sim.network import (
    Add,
    AveragePool,
    CodebookWeight,
    Conv,
    DenseWeight,
    Network,
    Requantization,
    TensorSpec,
)


def requantization(channels: int, shift: int, low: int = -128) -> Requantization:
    return Requantization(np.full(channels, 1000, np.uint16), np.full(channels, shift, np.uint8),
                          low=low)


def masked_weight(
    rng: np.random.Generator, codebook: np.ndarray, outputs: int, channels: int, keep: int,
    group: int, kernel: int = 3,
) -> CodebookWeight:
    k, d = codebook.shape
    places = (outputs // d, channels, kernel, kernel)
    codes = rng.integers(0, len(mask_table(keep, group)), (*places, d // group)).astype(np.uint16)
    assignments = rng.integers(0, k, places).astype(np.uint16)
    return CodebookWeight(codebook, assignments, codes, keep, group)


def small_network(d: int = 4, keep: int = 2, size: int = 6, seed: int = 0) -> Network:
    """Stem, a residual block of two masked layers that share a codebook, pool, classifier.

    d channels throughout, N:M = keep:d, k = 5.
    """
    rng = np.random.default_rng(seed)
    codebook = rng.integers(-128, 128, (5, d)).astype(np.int8)
    dense = {
        name: DenseWeight(rng.integers(-128, 128, shape).astype(np.int8))
        for name, shape in {"stem": (d, 1, 3, 3), "fc": (3, d, 1, 1)}.items()
    }

    def bias(channels: int) -> np.ndarray:
        return rng.integers(-1000, 1000, channels).astype(np.int32)

    def block(name: str, source: str, low: int) -> Conv:
        weight = masked_weight(rng, codebook, d, d, keep, d)
        return Conv(name, source, weight, bias(d), padding=(1, 1),
                    requantization=requantization(d, 18, low))

    return Network("small", TensorSpec((1, size, size), scale=1 / 128), (
        Conv("stem", "input", dense["stem"], bias(d), padding=(1, 1),
             requantization=requantization(d, 17, 0)),
        block("a", "stem", 0),
        block("b", "a", -128),
        Add("join", ("b", "stem"), (500, 700), 10, low=0),
        AveragePool("pool", "join", 65536 // size**2, 16),
        Conv("fc", "pool", dense["fc"], bias(3)),
    ), metadata={"source": "test"})
