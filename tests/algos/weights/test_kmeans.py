"""Masked k-means (MVQ eqs. 1-4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from algos.weights import kmeans
from algos.weights.kmeans import assign, masked_kmeans, masked_sse, repaired, spread, update
from algos.weights.pruning import magnitude_mask
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
    plain = ((vectors[:, None] - codebook) ** 2).sum(2)
    assert torch.equal(assign(vectors, None, codebook), plain.argmin(1))


@pytest.mark.parametrize("masked", [True, False])
def test_of_equal_codewords_the_first_is_taken(masked: bool) -> None:
    vectors, masks = sparse_vectors(200, 16, 4, 16)
    words = torch.randn(20, 16, generator=torch.Generator().manual_seed(1))
    chosen = assign(vectors, masks if masked else None, torch.cat([words, words, words]))
    assert int(chosen.max()) < len(words)
    assert len(set(chosen.tolist())) > 1


def test_blocks_do_not_change_the_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, masks = sparse_vectors(101, 16, 4, 16)
    whole = assign(vectors, masks, vectors[:10])
    error = masked_sse(vectors, masks, vectors[:10], whole)
    monkeypatch.setattr(kmeans, "CHUNK", 70)
    assert torch.equal(assign(vectors, masks, vectors[:10]), whole)
    assert masked_sse(vectors, masks, vectors[:10], whole) == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("masked", [True, False])
def test_no_tensor_is_larger_than_a_block_or_the_input(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above all none of n x k, nor of n x k x d."""
    vectors, masks = sparse_vectors(3000, 8, 2, 8)
    monkeypatch.setattr(kmeans, "CHUNK", 5000)

    class Sizes(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = function(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                Sizes.largest = max(Sizes.largest, out.untyped_storage().nbytes())
            return out

    with Sizes():
        masked_kmeans(vectors, masks.bool() if masked else None, 40, iterations=3, start="k-means++")
    assert vectors.nbytes <= Sizes.largest <= max(vectors.nbytes, 4 * 5000)


@given(seed=st.integers(0, 30), masked=st.booleans(), start=st.sampled_from(["random", "k-means++"]))
def test_objective_never_increases(seed: int, masked: bool, start: kmeans.Start) -> None:
    vectors, masks = sparse_vectors(200, 16, 4, 16, seed)
    result = masked_kmeans(vectors, masks.bool() if masked else None, 12, seed=seed, tolerance=0, start=start)
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
        codebook = np.stack(
            [
                vectors[np.equal(nearest, i)].mean(0) if i in nearest else codebook[i]
                for i in range(len(codebook))
            ]
        )
    return codebook


def test_masks_of_ones_are_plain_kmeans() -> None:
    vectors = torch.randn(80, 4, generator=torch.Generator().manual_seed(3))
    free = masked_kmeans(vectors, None, 5, seed=7, iterations=6, tolerance=0)
    ones = masked_kmeans(vectors, torch.ones_like(vectors).bool(), 5, seed=7, iterations=6, tolerance=0)
    torch.testing.assert_close(free.codebook, ones.codebook)
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


@pytest.mark.parametrize("masked", [False, True])
def test_empty_clusters_are_seeded_on_the_worst_sub_vectors(masked: bool) -> None:
    """Twenty equal points and four far apart: four of five codewords that start on the crowd have no member."""
    far = torch.tensor([[9.0, 0], [0, 8], [-7, 0], [0, -6]])
    vectors = torch.cat([torch.zeros(20, 2), far])
    masks = torch.ones(24, 2).bool() if masked else None
    seed = next(
        s for s in range(99) if torch.randperm(24, generator=torch.Generator().manual_seed(s))[:5].max() < 20
    )
    left = masked_kmeans(vectors, masks, 5, seed=seed, tolerance=0, repair=False)
    assert left.objective[-1] > 50
    found = masked_kmeans(vectors, masks, 5, seed=seed, tolerance=0)
    assert found.objective[-1] == 0
    assert sorted(map(tuple, found.codebook.tolist())) == sorted(map(tuple, [[0.0, 0], *far.tolist()]))
    assert (np.diff(found.objective) <= 0).all()


def test_repair_moves_no_codeword_that_has_members() -> None:
    vectors = torch.tensor([[0.0], [1], [5], [9]])
    codebook = torch.tensor([[0.5], [7], [70], [80]])
    found = repaired(vectors, None, torch.tensor([0, 0, 1, 1]), codebook)
    assert found[:2].tolist() == [[0.5], [7]]
    assert sorted(found[2:].flatten().tolist()) == [5, 9]


def test_spread_start_draws_by_squared_masked_distance() -> None:
    """Of three clusters with one point each apart from a crowd, all are found; by hand for two draws."""
    crowd = torch.zeros(50, 2)
    far = torch.tensor([[100.0, 0], [0, 100.0], [-100.0, 0]])
    found = spread(torch.cat([crowd, far]), None, 4, torch.Generator().manual_seed(0))
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, [[0, 0], *far.tolist()]))
    # w = (3, 0) with mask (1, 0) is at distance 9 of (0, 5), not 34; (0, 4) with mask (0, 1) at 1.
    vectors, masks = torch.tensor([[0.0, 5], [3, 0], [0, 4]]), torch.tensor([[0.0, 1], [1, 0], [0, 1]])
    draws = []
    for seed in range(2000):
        first, second = spread(vectors, masks, 2, torch.Generator().manual_seed(seed)).tolist()
        if first == [0, 5]:
            draws.append(second == [3, 0])
    assert len(draws) > 500
    assert np.mean(draws) == pytest.approx(9 / (9 + 1), abs=0.04)


def test_spread_start_draws_none_twice_where_rounding_hides_distances() -> None:
    """Far from 0, a vector's distance to itself comes out above 0."""
    vectors = 1000 + torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        found = spread(vectors, None, 8, torch.Generator().manual_seed(seed))
        assert len(found.unique(dim=0)) == 8


def test_spread_start_of_equal_vectors() -> None:
    found = spread(torch.ones(10, 3), None, 4, torch.Generator().manual_seed(0))
    assert torch.equal(found, torch.ones(4, 3))


def test_spread_start_finds_separate_clusters_that_a_random_one_misses() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 20 * torch.randn(32, 8, generator=generator)
    vectors = centres[torch.randint(0, 32, (2000,), generator=generator)]
    vectors = vectors + 0.1 * torch.randn(2000, 8, generator=generator)
    found = {
        start: masked_kmeans(vectors, None, 32, start=start).objective[-1]
        for start in ("random", "k-means++")
    }
    assert found["k-means++"] < 0.2 * found["random"]


@pytest.mark.parametrize("start", ["random", "k-means++"])
def test_a_seed_gives_the_same_to_the_bit(start: kmeans.Start) -> None:
    vectors, masks = sparse_vectors(400, 8, 2, 4)
    one, two, other = (masked_kmeans(vectors, masks.bool(), 20, seed=seed, start=start) for seed in (5, 5, 6))
    assert torch.equal(one.codebook, two.codebook)
    assert torch.equal(one.assignments, two.assignments)
    assert not torch.equal(one.codebook, other.codebook)


def test_unknown_start() -> None:
    with pytest.raises(InputError, match="start = 'far': is no start of k-means"):
        masked_kmeans(torch.zeros(100, 4), None, 4, start="far")  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [0, 51])
def test_k_must_leave_something_to_compress(k: int) -> None:
    with pytest.raises(InputError, match=f"k = {k}: the layer has 100 sub-vectors. Fix: use at most 50"):
        masked_kmeans(torch.zeros(100, 4), None, k)
