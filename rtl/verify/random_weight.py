"""Random weights in the format of a machine, extremes and tails of codebooks included."""

from __future__ import annotations

import numpy as np

from sim.accelerator import Accelerator
from sim.network import WEIGHTS, DenseWeight, Weight


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
    shape = (outputs, channels, *kernel)
    if not native:
        return DenseWeight(_extreme(rng, shape))
    form, d = acc.weights, acc.codeword_length
    codebook = rom
    if not form.universal:
        codebook = _extreme(rng, (int(rng.integers(2, acc.codebook_entries + 1)), d))
    fields = form.draw(
        (-(-outputs // d) * d, *shape[1:]),
        len(codebook),
        acc,
        lambda limit, size: rng.integers(0, limit, size).astype(np.uint16),
        lambda size: codebook,
    )
    return WEIGHTS[form.weight](**fields)  # type: ignore[arg-type]


def random_codebook(acc: Accelerator, rng: np.random.Generator) -> np.ndarray:
    """int8 [k, d] for a ROM; none of its entries [0, d] for a machine without one."""
    if not acc.weights.universal:
        return np.zeros((0, acc.codeword_length), np.int8)
    return _extreme(rng, (min(acc.codebook_entries, 4096), acc.codeword_length))


def _extreme(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = rng.integers(-128, 128, shape)
    extremes = rng.choice([-128, -127, -1, 0, 127], shape)
    return np.where(rng.random(shape) < 0.3, extremes, values).astype(np.int8)
