"""The network file with parameters of several steps: each comes back whole, and weights are there once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from sim import artifact, network
from sim.errors import InputError
from sim.network import Conv, DenseWeight, Network, TensorSpec
from tests.docs.network_executor import Executor
from tests.sim.artifact.test_artifact import edit
from tests.sim.network.kinds import every_layer
from tests.sim.network.networks import random_images, small_network


def stepped(net: Network, seed: int) -> Network:
    """The same weights with other biases, multipliers, shifts and zero points."""
    rng = np.random.default_rng(seed)
    layers = []
    for layer in net.layers:
        if isinstance(layer, Conv):
            layer = replace(layer, bias=layer.bias + rng.integers(-99, 99, len(layer.bias), np.int32))
            if layer.requantization:
                m = rng.integers(1, 65535, len(layer.bias)).astype(np.uint16)
                s = rng.integers(16, 30, len(layer.bias)).astype(np.uint8)
                layer = replace(layer, requantization=replace(layer.requantization, multiplier=m, shift=s))
        layers.append(layer)
    source = TensorSpec(net.input.shape, net.input.scale * (1 + seed), net.input.zero_point)
    return replace(net, input=source, layers=tuple(layers), metadata={**net.metadata, "time": seed})


@pytest.fixture
def bank() -> list[Network]:
    first = every_layer(3, universal=False)
    return [first, stepped(first, 1), stepped(first, 2)]


def test_every_step_comes_back_and_the_page_says_the_same(bank: list[Network], tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    artifact.save_steps(bank, path)
    assert artifact.step_count(path) == 3
    outputs = []
    for number, net in enumerate(bank):
        read, images = artifact.load(path, number), random_images(net, 7)
        assert read.input == net.input
        assert read.metadata == net.metadata
        expected, got = network.run(net, images), network.run(read, images)
        said = Executor(path, step=number).run(images)
        for name in expected:
            np.testing.assert_array_equal(expected[name], got[name])
            np.testing.assert_array_equal(said[name], got[name])
        outputs.append(expected[net.layers[-1].name])
    assert not np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[1], outputs[2])


def test_weights_are_there_once(bank: list[Network], tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    artifact.save_steps(bank, path)
    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
    assert any(name.endswith(".multiplier@2") for name in names)
    assert not [name for name in names if "@" in name and ".weight" in name]


def test_one_step_is_the_file_as_ever(bank: list[Network], tmp_path: Path) -> None:
    artifact.save(bank[0], tmp_path / "one.safetensors")
    artifact.save_steps(bank[:1], tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert artifact.step_count(tmp_path / "one.safetensors") == 1


def test_a_step_that_is_not_there(bank: list[Network], tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    artifact.save_steps(bank, path)
    for number in (-1, 3):
        with pytest.raises(InputError, match="steps 0 to 2"):
            artifact.load(path, number)


def test_other_weights_or_layers_are_refused(tmp_path: Path) -> None:
    net = small_network()
    first = net.layers[0]
    assert isinstance(first, Conv)
    weight = DenseWeight(np.roll(first.weight.decode(), 1, 0))
    other = replace(net, layers=(replace(first, weight=weight), *net.layers[1:]))
    with pytest.raises(InputError, match="other than step 0"):
        artifact.save_steps([net, other], tmp_path / "bank.safetensors")
    with pytest.raises(InputError, match="layers other than step 0"):
        artifact.save_steps([net, replace(net, layers=net.layers[:-1])], tmp_path / "bank.safetensors")
    with pytest.raises(InputError, match="no networks"):
        artifact.save_steps([], tmp_path / "bank.safetensors")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"layers": {"nobody": {"zero_point": 1}}}, "is no layer"),
        ({"more": 1}, "is no step"),
        (5, "is no step"),
    ],
)
def test_a_damaged_step(bank: list[Network], tmp_path: Path, entry: object, said: str) -> None:
    path = tmp_path / "bank.safetensors"
    artifact.save_steps(bank, path)

    def damage(fields: dict) -> None:
        fields["steps"][0] = json.loads(json.dumps(entry))

    edit(path, damage)
    with pytest.raises(InputError, match=said):
        artifact.load(path, 1)
