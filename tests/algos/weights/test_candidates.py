"""Nearest codewords against a search that sorts every distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.weights import candidates
from algos.weights.candidates import nearest
from sim.errors import InputError


def brute_force(vectors: np.ndarray, codebook: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 distances of all pairs, sorted by distance and then by index."""
    indices, distances = [], []
    for vector in vectors.astype(np.float64):
        away = np.sqrt(((codebook.astype(np.float64) - vector) ** 2).sum(1))
        order = np.lexsort((np.arange(len(away)), away))[:n]
        indices.append(order)
        distances.append(away[order])
    return np.array(indices), np.array(distances)


@pytest.mark.parametrize(
    ("rows", "k", "d", "n", "chunk"),
    [
        (50, 16, 4, 4, 1),
        (50, 16, 4, 4, 100),
        (50, 16, 4, 4, 1 << 20),
        (7, 300, 8, 17, 2000),
        (9, 5, 2, 5, 10),
        (3, 40, 1, 1, 40),
    ],
)
def test_chunks_equal_the_whole_search(rows, k, d, n, chunk, monkeypatch) -> None:
    """Small integers: all sums are exact, and many distances are equal."""
    monkeypatch.setattr(candidates, "CHUNK", chunk)
    rng = np.random.default_rng(rows * k)
    vectors = rng.integers(-3, 4, (rows, d)).astype(np.float32)
    codebook = rng.integers(-3, 4, (k, d)).astype(np.float32)
    found = nearest(torch.from_numpy(vectors), torch.from_numpy(codebook), n)
    indices, distances = brute_force(vectors, codebook, n)
    assert found.indices.dtype == torch.int64
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)


def test_real_values_and_duplicates() -> None:
    generator = torch.Generator().manual_seed(1)
    codebook = torch.randn(64, 8, generator=generator)
    codebook[40] = codebook[3]
    vectors = torch.cat([torch.randn(100, 8, generator=generator), codebook[3:4]])
    found = nearest(vectors, codebook, 6)
    indices, distances = brute_force(vectors.numpy(), codebook.numpy(), 6)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, atol=1e-6)
    assert found.indices[-1, :2].tolist() == [3, 40]
    assert found.distances[-1, :2].tolist() == [0, 0]
    assert (found.distances.diff(dim=1) >= 0).all()


def test_n_fits_the_codebook() -> None:
    for n in (0, 5):
        with pytest.raises(InputError, match=rf"candidates = {n}: the codebook has 4 codewords"):
            nearest(torch.zeros(3, 2), torch.zeros(4, 2), n)
