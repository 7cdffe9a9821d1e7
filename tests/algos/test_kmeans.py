"""Masked k-means (MVQ eqs. 1-4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from algos import kmeans
from algos.kmeans import assign, masked_kmeans, masked_sse, update
from algos.pruning import magnitude_mask
from sim.errors import InputError


def sparse_vectors(rows: int, d: int, n: int, m: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    vectors = torch.randn(rows, d, generator=torch.Generator().manual_seed(seed))
    masks = magnitude_mask(vectors, n, m)
    return vectors * masks, masks.float()


def test_masked_update_of_the_paper() -> None:
    """MVQ Figs. 4 and 5."""
    vectors = torch.tensor([[0.7, 0.7, 0, 0], [0, 0.5, 0.5, 0.5]])
    masks = torch.tensor([[1.0, 1, 0, 0], [0, 1, 1, 1]])
    new = update(vectors, masks, torch.tensor([0, 0]), torch.zeros(1, 4))
    torch.testing.assert_close(new, torch.tensor([[0.7, 0.6, 0.5, 0.5]]))


def test_elements_without_a_member_and_empty_clusters_keep_their_value() -> None:
    old = torch.tensor([[9.0, 8.0], [7.0, 6.0]])
    new = update(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([0]), old)
    assert new.tolist() == [[3.0, 8.0], [7.0, 6.0]]


@given(seed=st.integers(0, 50), n=st.integers(1, 4), k=st.integers(1, 9))
def test_two_gemms_find_the_nearest_masked_codeword(seed: int, n: int, k: int) -> None:
    vectors, masks = (t.double() for t in sparse_vectors(60, 8, n, 4, seed))
    codebook = torch.randn(k, 8, generator=torch.Generator().manual_seed(seed + 1)).double()
    broadcast = ((vectors[:, None] - codebook * masks[:, None]) ** 2).sum(2)
    assert torch.equal(assign(vectors, masks, codebook), broadcast.argmin(1))


def test_blocks_do_not_change_the_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, masks = sparse_vectors(101, 16, 4, 16)
    whole = assign(vectors, masks, vectors[:10])
    monkeypatch.setattr(kmeans, "CHUNK", 70)
    assert torch.equal(assign(vectors, masks, vectors[:10]), whole)


@given(seed=st.integers(0, 30), masked=st.booleans())
def test_objective_never_increases(seed: int, masked: bool) -> None:
    vectors, masks = sparse_vectors(200, 16, 4, 16, seed)
    result = masked_kmeans(vectors, masks.bool() if masked else None, 12, seed=seed, tolerance=0)
    steps = np.diff(result.objective)
    assert len(steps) > 1
    assert (steps <= 1e-4 * result.objective[0]).all()
    assert result.objective[-1] < result.objective[0]


def test_objective_is_the_error_of_what_is_returned() -> None:
    vectors, masks = sparse_vectors(200, 16, 4, 16)
    result = masked_kmeans(vectors, masks.bool(), 12)
    rebuilt = result.codebook[result.assignments] * masks
    assert result.objective[-1] == pytest.approx(float(((vectors - rebuilt) ** 2).sum()), rel=1e-5)
    # Sparse reconstruction has no error where weights were pruned: total SSE = masked SSE.
    error = (vectors - rebuilt) ** 2
    assert float(error.sum()) == float((error * masks).sum())


def plain_kmeans(vectors: np.ndarray, codebook: np.ndarray, iterations: int) -> np.ndarray:
    """Lloyd's algorithm, one vector at a time."""
    for _ in range(iterations):
        nearest = [int(((codebook - v) ** 2).sum(1).argmin()) for v in vectors]
        codebook = np.stack([
            vectors[np.equal(nearest, i)].mean(0) if i in nearest else codebook[i]
            for i in range(len(codebook))])
    return codebook


def test_masks_of_ones_are_plain_kmeans() -> None:
    vectors = torch.randn(80, 4, generator=torch.Generator().manual_seed(3))
    free = masked_kmeans(vectors, None, 5, seed=7, iterations=6, tolerance=0)
    ones = masked_kmeans(vectors, torch.ones_like(vectors).bool(), 5, seed=7, iterations=6,
                         tolerance=0)
    assert torch.equal(free.codebook, ones.codebook)
    assert torch.equal(free.assignments, ones.assignments)
    first = torch.randperm(80, generator=torch.Generator().manual_seed(7))[:5]
    expected = plain_kmeans(vectors.numpy(), vectors[first].numpy(), len(free.objective) - 1)
    np.testing.assert_allclose(free.codebook, expected, atol=1e-5)


def test_masked_kmeans_beats_common_kmeans_on_sparse_vectors() -> None:
    vectors, masks = sparse_vectors(800, 16, 4, 16)
    masked = masked_kmeans(vectors, masks.bool(), 32)
    common = masked_kmeans(vectors, None, 32)
    dense = masked_sse(vectors, torch.ones_like(masks), common.codebook, common.assignments)
    sparse = masked_sse(vectors, masks, common.codebook, common.assignments)
    assert masked.objective[-1] < 0.8 * min(dense, sparse)


def test_stops_when_few_assignments_change() -> None:
    vectors, masks = sparse_vectors(400, 8, 2, 4)
    loose = masked_kmeans(vectors, masks.bool(), 8, tolerance=0.2)
    tight = masked_kmeans(vectors, masks.bool(), 8, tolerance=1e-3)
    assert len(loose.objective) < len(tight.objective) < 101


@pytest.mark.parametrize("k", [0, 51])
def test_k_must_leave_something_to_compress(k: int) -> None:
    with pytest.raises(InputError, match=f"k = {k}: the layer has 100 sub-vectors. Fix: use at most 50"):
        masked_kmeans(torch.zeros(100, 4), None, k)
