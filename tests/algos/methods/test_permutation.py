"""Permuted channels: the network stays, and its sub-vectors are easier to cluster."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from algos.methods.permutation import best_order, permute
from algos.methods.registry import METHODS
from algos.weights.grouping import group
from algos.weights.kmeans import masked_kmeans
from sim.errors import InputError


class Net(nn.Module):
    """Two convolutions in a row, one that is read twice, one before a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.norm = nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.two, self.three = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 4)
        for tensor in (self.norm.weight, self.norm.bias, self.norm.running_mean):
            nn.init.normal_(tensor)
        self.one.weight.data *= torch.randn(16).exp()[:, None, None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.two(nn.functional.silu(self.norm(self.one(self.stem(x)))))
        return self.head((x + self.three(x)).mean((2, 3)))


def test_the_network_computes_the_same() -> None:
    module, x = Net().eval(), torch.randn(4, 3, 6, 6)
    before, weights = module(x), module.one.weight.detach().clone()
    targets = METHODS["vq"].plan(module, k=8, d=4, batches=[x]).targets
    assert permute(module, x[:1], targets.values()) == ["one"]
    torch.testing.assert_close(module(x), before)
    assert not torch.equal(module.one.weight, weights)
    assert sorted(module.one.weight.flatten(1).sum(1).tolist()) == pytest.approx(
        sorted(weights.flatten(1).sum(1).tolist()), abs=1e-5
    )


def test_structure_that_an_order_hides_is_found() -> None:
    """Sub-vectors around a few codewords, their channels shuffled."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(4, 4)) * [4, 2, 1, 0.5]
    vectors = words[rng.integers(4, size=(6, 50))] + 0.05 * rng.normal(size=(6, 50, 4))
    weight = torch.from_numpy(vectors.transpose(0, 2, 1).reshape(24, 50).astype(np.float32))
    shuffled = weight[torch.from_numpy(rng.permutation(24))]

    def error(of: torch.Tensor) -> float:
        return float(masked_kmeans(group(of, 4), None, 8, seed=0).objective[-1])

    order = best_order(shuffled, 4)
    assert sorted(order) == list(range(24))
    assert error(shuffled[torch.from_numpy(order)]) < 0.8 * error(shuffled)


def test_an_option_of_every_method() -> None:
    module, x = Net(), torch.randn(8, 3, 6, 6)
    plain = METHODS["vq"].prepare(Net(), batches=[x], k=8, d=4, epochs=0)
    better = METHODS["vq"].prepare(module, batches=[x], k=8, d=4, epochs=0, permute=True)
    assert better.reports["one"].total_sse < plain.reports["one"].total_sse
    with pytest.raises(InputError, match="needs to see who reads"):
        METHODS["vq"].prepare(Net(), k=8, d=4, permute=True)
