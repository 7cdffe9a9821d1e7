"""A max pool in the storer of the convolution before it, on the RTL: values, words in memory and cycles."""

from __future__ import annotations

import numpy as np
import pytest

from rtl import compiler
from rtl.control.counters import COUNTERS
from rtl.verify import verify_network
from rtl.verify.random_network import _plans, _requantization
from rtl.verify.random_weight import random_codebook, random_weight
from sim.accelerator import load
from sim.errors import InputError
from sim.network import Conv, Network, Pool, TensorSpec
from sim.shapes import rides
from sim.systolic.schedule import Schedule


def pooled(acc, seed):
    """A convolution, a max pool that its storer takes along y, a convolution behind; and how they run, all drawn."""
    rng = np.random.default_rng(seed)
    rom = random_codebook(acc, rng)
    while True:
        channels, (height, width) = int(rng.integers(1, 2 * acc.rows)), rng.integers(1, 11, 2).tolist()
        outputs = int(rng.integers(1, 3 * acc.columns))
        kernel = tuple(rng.integers(1, 4, 2).tolist())
        layers = []
        for name, source, inputs in (("a", "input", channels), ("b", "pool", outputs)):
            weight = random_weight(acc, rng, acc.coded and rng.random() < 0.5, outputs, inputs, kernel, rom)
            made = _requantization(rng, weight.shape[0], inputs * kernel[0] * kernel[1])
            bias = rng.integers(-4096, 4096, weight.shape[0]).astype(np.int32)
            layers.append(Conv(name, source, weight, bias, (1, 1), (kernel[0] // 2, kernel[1] // 2), made))
            outputs = weight.shape[0]
        stride, over = int(rng.integers(1, 4)), int(rng.integers(0, 2))
        padding = int(rng.integers(0, (stride + over) // 2 + 1))
        zero = layers[0].zero_point
        low, high = sorted(rng.integers(-128, 128, 2).tolist())
        try:
            pool = Pool(
                "pool", "a", "max", (stride + over, 2), (stride, 2), (padding, 0), 1, 1, zero, low, high
            )
            network = Network(
                "pooled", TensorSpec((channels, height, width), zero_point=7), (layers[0], pool, layers[1])
            )
            if not rides(network.shapes, 1):
                continue
            plans = _plans(acc, network, rng)
            compiler.compile(network, acc, plans=plans)
        except InputError:
            continue
        if isinstance(plans[0], Schedule) and plans[0].shape.pool:
            return network, plans, rng.integers(-128, 128, (1, channels, height, width)).astype(np.int8)


def check(name, seed):
    acc = load(name)
    network, plans, image = pooled(acc, seed)
    result = verify_network(acc, network, image, "icarus", plans=plans)
    assert (result.mismatches, result.warnings) == (0, ())
    assert result.words_compared > 0
    assert result.cycles_rtl == result.cycles_model
    assert result.counters_rtl == {of: result.counters_model[of] for of in COUNTERS}


@pytest.mark.parametrize(("name", "seed"), [("ews-4", 1), ("ews-cms-4", 16)])
def test_pools_run_on_the_rtl(name, seed):
    """Tiles that begin within a window that shares a row with the next one, output groups outside."""
    check(name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 124))
@pytest.mark.parametrize("name", ["ews-4", "ews-cms-4", "ws-4"])
def test_random_pools_run_on_the_rtl(name, seed):
    check(name, seed)
