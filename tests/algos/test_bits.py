"""Bits per weight and compression ratio (MVQ eq. 7)."""

from __future__ import annotations

import pytest

from algos.bits import bits, network_bits
from tests.sim.networks import small_network


def test_main_setting_of_the_paper() -> None:
    """k = 512, d = 16, 4:16: a 20-bit record, 1.25 bits per weight (MVQ sec. 5)."""
    storage = bits(1000, 512, 16, 4, 16)
    assert (storage.assignments + storage.masks) / 1000 == 20
    assert (storage.assignments + storage.masks) / storage.weights == 1.25
    assert storage.codebooks == 512 * 16 * 8 == 8 * 1024 * 8


@pytest.mark.parametrize(("k", "d", "n", "m", "expected"), [
    (1024, 8, 0, 0, 1.25), (256, 16, 3, 16, 1.125), (256, 16, 2, 16, 0.9375), (512, 8, 1, 2, 1.625),
    (512, 8, 2, 4, 1.875),
])
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
        100 * 8 + 50 * 16, 100 * 2 + 50 * 6, 50 * 11, 4 * 64 + 64 * 128)


def test_network_counts_its_compressed_layers_only() -> None:
    network = small_network(d=4, keep=2)  # two masked 3x3 layers of 4 -> 4 channels, k = 5
    layer = bits(4 * 9, 5, 4, 2, 4)
    assert network_bits(network) == layer + layer
