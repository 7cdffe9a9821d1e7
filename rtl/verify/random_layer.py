"""Random small layers that meet every corner of a schedule."""

from __future__ import annotations

from math import comb

import numpy as np

from rtl.geometry import Geometry
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats import stream_format
from sim.network import CodebookWeight, Conv, DenseWeight, Weight
from sim.program import Program, lower, token_ifmap
from sim.schedule import Format, Schedule, fold
from sim.shapes import ConvShape

ATTEMPTS = 1000


def random_program(accelerator: Accelerator, seed: int) -> tuple[Program, np.ndarray]:
    """A program and its token ifmap, int8 [1, C', H', W']; the same for the same seed.

    Raises:
        InputError: a machine that the hardware cannot be.
    """
    Geometry(accelerator)
    rng = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        try:
            return _draw(accelerator, rng)
        except InputError as error:  # factors that do not fit; draw again
            problem = error
    raise problem


def _draw(acc: Accelerator, rng: np.random.Generator) -> tuple[Program, np.ndarray]:
    native = acc.loader != "dense" and rng.random() < 0.7
    channels = int(rng.integers(1, 3 * acc.rows + 2))
    outputs = int(rng.integers(1, 3 * acc.columns + 2))
    kernel, stride = _pair(rng, (1, 1), (4, 4)), _pair(rng, (1, 1), (3, 3))
    padding, size = _pair(rng, (0, 0), kernel), _pair(rng, (1, 1), (8, 8))
    weight = _weight(acc, rng, native, outputs, channels, kernel)
    layer = Conv("layer", "input", weight, np.zeros(weight.shape[0], np.int32), stride, padding)
    residual = "addition" if rng.random() < 0.3 else ""
    shape = ConvShape("layer", channels, weight.shape[0], kernel, stride, padding, size, residual)
    form, codewords = stream_format(weight, acc, shape)
    if rng.random() < 0.5:
        shape = fold(shape, acc, form)
    overlap = bool(rng.random() < 0.7)
    schedule = Schedule(acc, shape, form, codewords, *_factors(acc, rng, form, overlap), overlap,
                        int(rng.integers(1, shape.out_h + 1)))
    program = lower(layer, schedule)
    ifmap = rng.integers(-128, 128, (1, channels, *size)).astype(np.int8)
    ifmap[rng.random(ifmap.shape) < 0.2] = -128
    return program, token_ifmap(ifmap, layer, program, int(rng.integers(-128, 128)))


def _pair(rng: np.random.Generator, low: tuple[int, int], high: tuple[int, int]) -> tuple[int, int]:
    y, x = rng.integers(low, high)
    return int(y), int(x)


def _factors(acc: Accelerator, rng: np.random.Generator, form: Format,
             overlap: bool) -> tuple[int, int, int]:
    """A, B and D that a WRF bank holds."""
    if acc.dataflow == "ws":
        return 1, 1, 1
    bank = acc.wrf_depth // 2 if overlap else acc.wrf_depth
    limit = max(1, bank // acc.split if form == "split" else bank)
    a = int(rng.integers(1, min(4, limit) + 1))
    b = int(rng.integers(1, min(3, limit // a) + 1))
    return a, b, int(rng.integers(1, limit // (a * b) + 1))


def _weight(acc: Accelerator, rng: np.random.Generator, native: bool, outputs: int, channels: int,
            kernel: tuple[int, int]) -> Weight:
    if not native:
        return DenseWeight(_extreme(rng, (outputs, channels, *kernel)))
    d, k = acc.codeword_length, int(rng.integers(2, acc.codebook_entries + 1))
    groups = -(-outputs // d)
    assignments = rng.integers(0, k, (groups, channels, *kernel)).astype(np.uint16)
    codebook = _extreme(rng, (k, d))
    if acc.loader == "codebook":
        return CodebookWeight(codebook, assignments)
    codes = rng.integers(0, comb(acc.group, acc.keep), (*assignments.shape, d // acc.group))
    return CodebookWeight(codebook, assignments, codes.astype(np.uint16), acc.keep, acc.group)


def _extreme(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = rng.integers(-128, 128, shape)
    extremes = rng.choice([-128, -127, -1, 0, 127], shape)
    return np.where(rng.random(shape) < 0.3, extremes, values).astype(np.int8)
