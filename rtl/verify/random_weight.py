"""Random weights in the format of a machine, extremes and tails of codebooks included."""

from __future__ import annotations

from math import comb

import numpy as np

from sim.accelerator import Accelerator
from sim.network import CodebookWeight, DenseWeight, Weight


def random_weight(
    acc: Accelerator,
    rng: np.random.Generator,
    native: bool,
    outputs: int,
    channels: int,
    kernel: tuple[int, int],
    rom: np.ndarray,
) -> Weight:
    """A weight of `outputs` channels, rounded up to whole codewords where it has any.

    Args:
        native: the machine's own format, otherwise dense.
        channels: of one group.
        rom: int8 [k, d], the codebook that all layers of a machine with a ROM share.
    """
    if not native:
        return DenseWeight(_extreme(rng, (outputs, channels, *kernel)))
    d = acc.codeword_length
    codebook = rom
    if acc.loader != "rom":
        codebook = _extreme(rng, (int(rng.integers(2, acc.codebook_entries + 1)), d))
    groups = -(-outputs // d)
    assignments = rng.integers(0, len(codebook), (groups, channels, *kernel)).astype(np.uint16)
    if acc.loader == "rom":
        return CodebookWeight(codebook, assignments, universal=True)
    if acc.loader == "codebook":
        return CodebookWeight(codebook, assignments)
    if acc.loader == "signed":
        signs = rng.integers(0, 1 << d, assignments.shape).astype(np.uint16)
        magnitudes = np.abs(codebook.astype(np.int16)).clip(0, 127).astype(np.int8)
        return CodebookWeight(magnitudes, assignments, signs=signs)
    codes = rng.integers(0, comb(acc.group, acc.keep), (*assignments.shape, d // acc.group))
    return CodebookWeight(codebook, assignments, codes.astype(np.uint16), acc.keep, acc.group)


def random_codebook(acc: Accelerator, rng: np.random.Generator) -> np.ndarray:
    """int8 [k, d] for a ROM; none of its entries [0, d] for a machine without one."""
    if acc.loader != "rom":
        return np.zeros((0, acc.codeword_length), np.int8)
    return _extreme(rng, (min(acc.codebook_entries, 4096), acc.codeword_length))


def _extreme(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = rng.integers(-128, 128, shape)
    extremes = rng.choice([-128, -127, -1, 0, 127], shape)
    return np.where(rng.random(shape) < 0.3, extremes, values).astype(np.int8)
