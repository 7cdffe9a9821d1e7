"""The networks that ship with the package."""

from __future__ import annotations

import pytest
import torch

from algos import reference, zoo
from algos.frontend.export import export
from algos.training import accuracy
from algos.weights.bits import network_bits
from sim.network import CodebookWeight, Conv

FILES = (
    "float.safetensors",
    "sparse.safetensors",
    "mvq.safetensors",
    "network.safetensors",
    "images.npz",
    "README.md",
)


@pytest.mark.parametrize("name", FILES)
def test_files_are_small(name: str) -> None:
    assert 0 < (zoo.FOLDER / name).stat().st_size < 5e6


def test_images() -> None:
    training, test = zoo.load_images()
    assert training.pixels.shape == (3000, 1, 28, 28)
    assert test.pixels.shape == (2000, 1, 28, 28)
    for part in (training, test):
        assert part.pixels.dtype == torch.uint8
        assert part.labels.unique().tolist() == list(range(10))


def test_accuracies() -> None:
    test = zoo.load_images()[1].first(500)
    dense, network = accuracy(zoo.load_float(), test), reference.accuracy(zoo.load_network(), test)
    assert dense > 0.93
    assert network > dense - 0.02
    assert abs(accuracy(zoo.load_mvq(), test) - network) < 0.01


def test_network_is_compressed_fifteen_times() -> None:
    network = zoo.load_network()
    assert network_bits(network).ratio > 15
    compressed = [
        layer
        for layer in network.layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
    ]
    assert len(compressed) == 20


def test_network_is_the_export_of_the_model() -> None:
    """All but the activation scales, which came from other images, follows from the checkpoint."""
    network = zoo.load_network()
    again = export(zoo.load_mvq(), zoo.load_images()[0].first(64), name="again")
    for one, two in zip(network.layers, again.layers, strict=True):
        if isinstance(one, Conv):
            assert isinstance(two, Conv)
            assert (one.weight.decode() == two.weight.decode()).all(), one.name
    images = zoo.load_images()[1].first(200).pixels
    same = reference.predict(network, images) == reference.predict(again, images)
    assert same.double().mean() > 0.97


def test_sparse_model_keeps_4_of_16() -> None:
    for name, layer in zoo.load_sparse().body().items():
        groups = layer.weight.detach().reshape(len(layer.weight) // 16, 16, -1)
        assert (groups != 0).sum(1).max() <= 4, name
