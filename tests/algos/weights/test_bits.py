"""Bits per weight and compression ratio (MVQ eq. 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from algos.weights.bits import Bits, bits, network_bits
from sim.network import CodebookWeight, Conv, Network, TensorSpec
from tests.sim.network.networks import requantization, small_network

ASSIGNMENTS = np.zeros((1, 4, 3, 3), np.uint16)
PLACES = 2 * 36  # of two layers


def coded(weight: Callable[[int], CodebookWeight]) -> Network:
    """Two 3x3 layers of 4 -> 4 channels, d = 4."""
    layers = tuple(
        Conv(
            name,
            source,
            weight(i),
            np.zeros(4, np.int32),
            padding=(1, 1),
            requantization=requantization(4, 16),
        )
        for i, (name, source) in enumerate((("a", "input"), ("b", "a")))
    )
    return Network("coded", TensorSpec((4, 6, 6), 1.0), layers)


def test_main_setting_of_the_paper() -> None:
    """k = 512, d = 16, 4:16: a 20-bit record, 1.25 bits per weight (MVQ sec. 5)."""
    storage = bits(1000, 512, 16, 4, 16)
    assert (storage.assignments + storage.masks) / 1000 == 20
    assert (storage.assignments + storage.masks) / storage.weights == 1.25
    assert storage.codebooks == 512 * 16 * 8 == 8 * 1024 * 8


@pytest.mark.parametrize(
    ("k", "d", "n", "m", "expected"),
    [
        (1024, 8, 0, 0, 1.25),
        (256, 16, 3, 16, 1.125),
        (256, 16, 2, 16, 0.9375),
        (512, 8, 1, 2, 1.625),
        (512, 8, 2, 4, 1.875),
    ],
)
def test_settings_of_the_paper(k: int, d: int, n: int, m: int, expected: float) -> None:
    storage = bits(64, k, d, n, m)
    assert (storage.assignments + storage.masks) / storage.weights == expected


def test_ratio_counts_the_codebook() -> None:
    storage = bits(100, 4, 8)
    assert storage.per_weight == (100 * 2 + 4 * 8 * 8) / 800
    assert storage.ratio == pytest.approx(32 * 800 / (100 * 2 + 4 * 8 * 8))


def test_sum() -> None:
    both = bits(100, 4, 8) + bits(50, 64, 16, 4, 16)
    assert (both.weights, both.assignments, both.masks, both.codebooks) == (
        100 * 8 + 50 * 16,
        100 * 2 + 50 * 6,
        50 * 11,
        4 * 64 + 64 * 128,
    )


def test_network_counts_its_compressed_layers_only_and_a_shared_codebook_once() -> None:
    network = small_network(d=4, keep=2)  # two masked 3x3 layers of 4 -> 4 channels, one codebook of k = 5
    one = bits(4 * 9, 5, 4, 2, 4)
    assert network_bits(network) == one + replace(one, codebooks=0)


def test_each_codebook_of_its_own_counts() -> None:
    network = coded(lambda i: CodebookWeight(np.full((8, 4), i, np.int8), ASSIGNMENTS))
    assert network_bits(network) == Bits(4 * PLACES, 3 * PLACES, codebooks=2 * 8 * 4 * 8)


def test_signs_take_a_bit_a_weight() -> None:
    """k = 16, d = 8: a 12-bit record, 1.5 bits a weight, 21.33 times less than float32 (SSVQ sec. 4)."""
    storage = bits(1000, 16, 8, signs=True)
    assert (storage.assignments + storage.signs) / 1000 == 12
    assert 32 * storage.weights / (storage.assignments + storage.signs) == pytest.approx(21.33, abs=0.01)
    assert storage.codebooks == 128 * 8
    magnitudes = np.ones((8, 4), np.int8)
    network = coded(lambda i: CodebookWeight(magnitudes, ASSIGNMENTS, signs=np.full_like(ASSIGNMENTS, 5)))
    assert network_bits(network) == Bits(4 * PLACES, 3 * PLACES, codebooks=256, signs=4 * PLACES)


def test_universal_codebook_counts_once_and_in_a_rom_not_at_all() -> None:
    codebook = np.ones((8, 4), np.int8)
    storage = network_bits(coded(lambda i: CodebookWeight(codebook, ASSIGNMENTS, universal=True)))
    assert storage == Bits(4 * PLACES, 3 * PLACES, universal=256)
    assert storage.per_weight == 3 / 4 + 256 / (4 * PLACES)
    assert storage.in_rom.per_weight == 3 / 4
    assert storage.in_rom.ratio == pytest.approx(32 / 0.75)
