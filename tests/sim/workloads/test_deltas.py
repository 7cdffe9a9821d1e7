"""Deltas of two branches: the same products, and bytes that are counted by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.shapes import ConvShape, PassShape
from sim.workloads import Workload
from sim.workloads.deltas import deltas

LAYER = ConvShape("a", 8, 16, size=(10, 1))
PRODUCT = ConvShape("b", 16, 40, size=(10, 1), groups=4, dynamic=True)


@given(st.integers(0, 2**16))
def test_sums_of_deltas_are_the_sums(seed: int) -> None:
    random = np.random.default_rng(seed)
    weights, one, two = (random.integers(-128, 128, shape) for shape in ((16, 8), (8, 10), (8, 10)))
    assert np.array_equal(weights @ two, weights @ one + weights @ (two - one))


def test_bytes_by_hand() -> None:
    softmax = PassShape("s", "softmax", 400, 1, 400)
    found = deltas(Workload("w", (LAYER, PRODUCT, softmax), 128))
    assert found.linear == 8 * 16 * 10
    assert found.macs == 2 * (8 * 16 * 10 + 16 * 10 * 10)
    assert (found.whole_bytes, found.subtracted_bytes) == (2 * (80 + 160), 80)
    assert (found.sum_bytes, found.weight_bytes) == (8 * 160, 128)
    assert found.added_bytes == 80 + 128  # weights twice are cheaper than sums here


def test_few_tokens_keep_their_sums() -> None:
    found = deltas(Workload("w", (ConvShape("a", 64, 4, size=(2, 1)),), 256))
    assert found.added_bytes == 128 + 64
    assert found.saved_bytes(4) == 64  # half of what the subtraction reads
