"""Sums of two codewords: alternation never loses, integers are those of the weight, and no sum leaves INT8."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from algos.methods.registry import METHODS
from algos.weights.additive import AdditiveWeight, additive_kmeans
from algos.weights.bits import network_bits
from algos.weights.kmeans import masked_kmeans


def vectors(count: int = 300, d: int = 4) -> torch.Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(0))


def test_alternation_never_raises_the_error() -> None:
    found = additive_kmeans(vectors(), 8)
    assert len(found.objective) > 2
    assert all(b <= a * (1 + 1e-6) for a, b in zip(found.objective, found.objective[1:], strict=False))
    first, second = (book[found.assignments[:, n]] for n, book in enumerate(found.codebooks))
    error = float((vectors() - first - second).square().sum())
    assert abs(error - found.objective[-1]) < 1e-3 * error


def test_two_small_codebooks_beat_one_of_as_many_words() -> None:
    additive = additive_kmeans(vectors(), 16)
    single = masked_kmeans(vectors(), None, 32)
    assert additive.objective[-1] < single.objective[-1]


def test_no_sum_leaves_int8_also_after_training() -> None:
    found = additive_kmeans(vectors(), 8)
    weight = AdditiveWeight(found.codebooks, found.assignments, torch.Size((4, 300)))
    for step in range(3):
        with torch.no_grad():
            weight.codebooks += (
                0.5 * step * torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(step))
            )
        stored = weight.stored()  # refuses other sums
        real = stored.decode()[:, :, 0, 0] * weight.scales()[:, None]
        assert np.allclose(real, weight(torch.zeros(4, 300)).detach().numpy(), atol=1e-5)
        books = stored.codebooks.astype(int)
        assert (
            max(abs((books.max(1)).sum(0)).max(), abs((books.min(1)).sum(0)).max()) >= 124
        )  # the range is used


def test_codebooks_learn() -> None:
    found = additive_kmeans(vectors(), 8)
    weight = AdditiveWeight(found.codebooks, found.assignments, torch.Size((4, 300)))
    weight(torch.zeros(4, 300)).square().sum().backward()
    assert weight.codebooks.grad is not None
    used = torch.unique(found.assignments[:, 1])
    assert (weight.codebooks.grad[1, used].abs().sum(1) > 0).all()


def test_as_a_method() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4)).eval()
    batch = torch.rand(32, 8)
    prepared = METHODS["aqlm"].prepare(module, batches=[batch], k=6, d=4)
    assert list(prepared.weights()) == ["2"]
    network = prepared.convert([batch], allow=["*"])
    assert [type(layer.weight).__name__ for layer in network.layers if hasattr(layer, "weight")].count(
        "AqlmWeight"
    ) == 1
    assert network_bits(network) == prepared.plan.bits
    assert prepared.plan.bits.per_weight == (96 * 6 + 2 * 6 * 4 * 8) / 384
