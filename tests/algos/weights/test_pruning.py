"""N:M masks, SR-STE and ASP."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from algos.models.resnet import ResNet
from algos.training import Recipe, fit
from algos.weights.grouping import group
from algos.weights.pruning import Method, densify, magnitude_mask, sparsify, weight_mask
from sim.errors import InputError
from tests.algos.small_models import images, resnet8


@given(n=st.integers(1, 4), m=st.sampled_from([4, 8]), seed=st.integers(0, 100))
def test_keeps_the_n_largest_of_every_m(n: int, m: int, seed: int) -> None:
    vectors = torch.randn(20, 16, generator=torch.Generator().manual_seed(seed))
    mask = magnitude_mask(vectors, n, m)
    for values, kept in zip(vectors.reshape(-1, m).abs(), mask.reshape(-1, m), strict=True):
        assert int(kept.sum()) == n
        assert n == m or values[kept].min() >= values[~kept].max()


def test_ties_still_keep_n() -> None:
    assert magnitude_mask(torch.zeros(3, 16), 4, 16).sum(1).tolist() == [4, 4, 4]


@pytest.mark.parametrize(("n", "m"), [(0, 4), (5, 4), (2, 5)])
def test_bad_pattern(n: int, m: int) -> None:
    with pytest.raises(InputError, match=f"N:M = '{n}:{m}'"):
        magnitude_mask(torch.zeros(2, 8), n, m)


def test_sr_ste_gradient_is_straight_through_plus_decay_of_pruned_weights() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 16, 3, bias=False)
    weight = layer.weight.detach().clone()
    mask = weight_mask(weight, 16, 4, 16)
    sparsify([layer], 16, 4, 16)
    assert torch.equal(layer.weight, weight * mask)
    upstream = torch.randn_like(weight)
    (layer.weight * upstream).sum().backward()
    expected = upstream + 2e-4 * torch.where(mask, 0.0, weight)
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, expected)


def test_sr_ste_revives_a_pruned_weight_that_grows() -> None:
    layer = nn.Conv2d(1, 4, 1, bias=False)
    layer.weight.data = torch.tensor([4.0, 3.0, 2.0, 1.0]).reshape(4, 1, 1, 1)
    sparsify([layer], 4, 2, 4)
    assert layer.weight.flatten().tolist() == [4, 3, 0, 0]
    layer.parametrizations.weight.original.data[3] = -5.0
    assert layer.weight.flatten().tolist() == [4, 0, 0, -5]


def test_asp_prunes_once_and_trains_what_is_left() -> None:
    layer = nn.Conv2d(1, 4, 1, bias=False)
    layer.weight.data = torch.tensor([4.0, 3.0, 2.0, 1.0]).reshape(4, 1, 1, 1)
    sparsify([layer], 4, 2, 4, "asp")
    layer.weight.flatten().dot(torch.tensor([1.0, 2, 3, 4])).backward()
    original = layer.parametrizations.weight.original
    assert original.grad.flatten().tolist() == [1, 2, 0, 0]
    original.data[3] = -5.0
    original.data[0] = 0.5
    assert layer.weight.flatten().tolist() == [0.5, 3, 0, 0]


@pytest.mark.parametrize("method", ["sr-ste", "asp"])
def test_sparse_training_goes_on_from_its_checkpoint(method: Method, tmp_path: Path) -> None:
    def model() -> ResNet:
        found = resnet8(8)
        sparsify(list(found.body().values()), 8, 2, 8, method)
        return found

    recipe = Recipe(epochs=2, rate=0.5, batch=16)
    whole = fit(model(), images(32), recipe)

    def interrupt() -> None:
        if history_path.exists():
            raise KeyboardInterrupt

    history_path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(model(), images(32), recipe, history_path, after_step=interrupt)
    resumed = fit(model(), images(32), recipe, history_path)
    for one, two in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_unknown_sparse_training() -> None:
    with pytest.raises(InputError, match="method = 'once': is no sparse training"):
        sparsify([], 4, 2, 4, "once")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["sr-ste", "asp"])
def test_densify_leaves_the_masked_weight(method: Method) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 16, 3, bias=False)
    sparsify([layer], 16, 4, 16, method)
    masked = layer.weight.detach().clone()
    densify([layer])
    assert torch.equal(layer.weight, masked)
    assert list(layer.state_dict()) == ["weight"]
    assert (group(layer.weight.detach(), 16) != 0).sum(1).unique().tolist() == [4]
