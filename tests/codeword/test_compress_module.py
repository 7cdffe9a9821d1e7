"""`codeword.compress` of a module that nobody here wrote, on batches of its owner's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import codeword
from algos.recipe import Recipe
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, Network, run


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16)),
        *(nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2)),
    )


@pytest.fixture
def loader() -> DataLoader[Any]:
    """Bright and dark pictures."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    pictures = torch.randn(64, 3, 12, 12, generator=generator) + 2 * labels[:, None, None, None]
    return DataLoader(TensorDataset(pictures, labels), batch_size=16, shuffle=True, generator=generator)


def right(network: Network, loader: DataLoader[Any]) -> float:
    """Share of the pictures that the integers classify."""
    pictures, labels = loader.dataset.tensors  # type: ignore[attr-defined]
    spec = network.input
    q = (pictures / spec.scale + spec.zero_point).round().clamp(-128, 127).to(torch.int8).numpy()
    output = run(network, q)[network.layers[-1].name]
    return float((output.reshape(64, 2).argmax(1) == labels.numpy()).mean())


def coded(network: Network) -> list[str]:
    return [
        one.name for one in network.layers if isinstance(one, Conv) and isinstance(one.weight, CodebookWeight)
    ]


RECIPE = Recipe(epochs=6, rate=1e-2, optimizer="adamw", schedule="cosine")


def own(prepared: Any) -> None:
    """A loop of one's own, without a loader."""
    optimizer = torch.optim.AdamW(prepared.parameters(others=1e-3))
    for _ in range(3):
        optimizer.zero_grad()
        prepared.module(torch.rand(8, 3, 12, 12)).square().mean().backward()
        optimizer.step()
        prepared.after_step()


@pytest.mark.parametrize(
    ("train", "options"),
    [(RECIPE, {}), (own, {}), (None, {"epochs": 0}), (None, {"epochs": 1, "batch": 16, "exclude": "8"})],
)
def test_a_module_becomes_integers_and_stays_as_it_is(
    train: Any, options: dict[str, Any], loader: DataLoader[Any]
) -> None:
    module, plans, epochs = net(), [], []
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    network = codeword.compress(
        module,
        loader,
        k=8,
        d=16,
        train=train,
        show=plans.append,
        report=lambda epoch, loss, seconds: epochs.append(epoch),
        **options,
    )
    assert coded(network) == list(plans[0].targets) == (["3"] if "exclude" in options else ["3", "8"])
    assert len(epochs) == (RECIPE.epochs if train is RECIPE else options.get("epochs", 0))
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    if train is RECIPE:
        assert right(network, loader) > 0.95


def test_own_loss(loader: DataLoader[Any]) -> None:
    """Squared error on one-hot targets."""
    network = codeword.compress(
        net(),
        loader,
        method="ssvq",
        k=8,
        d=8,
        train=RECIPE,
        loss=lambda output, target: F.mse_loss(output, F.one_hot(target, 2).float()),
        show=lambda plan: None,
    )
    assert right(network, loader) > 0.95
    weight = network["3"].weight
    assert isinstance(weight, CodebookWeight)
    assert weight.signs is not None
    assert np.abs(weight.decode()).max() <= 128


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda loader: codeword.compress(net()), "loader = None: a module needs samples"),
        (lambda loader: codeword.compress(net(), loader, include="conv*"), "layers = 'conv"),
        (lambda loader: codeword.compress(net(), loader, method="mvk"), "method = 'mvk'"),
        (lambda loader: codeword.compress(net(), loader, alpha=2), "alpha = 2: is no option of mvq"),
    ],
)
def test_bad_input(call: Callable[[Any], Any], said: str, loader: DataLoader[Any]) -> None:
    with pytest.raises(InputError, match=said):
        call(loader)
