"""Networks of spikes against the network of integers that they came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from algos.spikes import Neuron, convert, run
from algos.spikes.neuron import decoded
from codeword import inputs
from sim.errors import InputError
from sim.network import Network
from sim.network import run as run_integers


@pytest.fixture(scope="module")
def net() -> Network:
    return inputs.shipped("resnet20-fashion")


@pytest.fixture(scope="module")
def images(net) -> np.ndarray:
    smooth = np.random.default_rng(0).normal(size=(4, 1, 7, 7)).repeat(4, 2).repeat(4, 3)
    return (60 * smooth - 60).clip(-128, 127).astype(np.int8)


def test_values_of_every_layer_are_those_of_the_integers(net, images):
    """12 digits say more than INT8 does: what is left is the integers' own rounding, and that of the thresholds."""
    spiking = convert(net)
    said = run(spiking, images, steps=12, keep=True)
    integers = run_integers(net, images)
    correlations = []
    for layer in spiking.layers[:-1]:
        value = decoded(said.digits[layer.name]).numpy()
        wanted = integers[layer.name] / 128
        assert np.quantile(np.abs(value - wanted), 0.99) < 0.1, layer.name
        correlations.append(np.corrcoef(value.ravel(), wanted.ravel())[0, 1])
    assert min(correlations) > 0.98, correlations
    last = integers[net.layers[-1].name].reshape(len(images), -1)
    assert np.corrcoef(said.outputs.numpy().ravel(), last.ravel())[0, 1] > 0.98


def test_what_is_counted(net, images):
    """Additions weight by weight, for one small layer; latency by the depth of the network."""
    spiking = convert(net)
    said = run(spiking, images[:1], steps=4, neuron=Neuron(silent=2), keep=True)
    assert said.latency == 4 + 2 * 19
    layer = next(one for one in spiking.layers if one.name == "block3.conv1")
    (synapses,) = layer.synapses
    spikes = said.digits[synapses.source][:, 0].abs().sum(0).numpy()
    outputs, _, height, width = synapses.weights.shape
    counted = 0
    for y in range(0, spikes.shape[1] + 2 - height + 1, synapses.stride[0]):
        for x in range(0, spikes.shape[2] + 2 - width + 1, synapses.stride[1]):
            counted += spikes[:, max(y - 1, 0) : y + height - 1, max(x - 1, 0) : x + width - 1].sum()
    activity = next(one for one in said.activities if one.name == layer.name)
    assert activity.additions == counted * outputs
    assert activity.spikes == said.digits[layer.name].abs().sum()
    assert activity.updates == activity.neurons * 6
    less = run(spiking, images[:1], steps=4, neuron=Neuron(silent=2))
    assert less.digits == {}
    assert less.activities == said.activities
    assert torch.equal(less.outputs, said.outputs)


def test_a_layer_without_spikes_is_named(net):
    first, second, *rest = net.layers
    signed = replace(second, requantization=replace(second.requantization, low=-5))
    with pytest.raises(InputError, match=r"block0\.conv1"):
        convert(replace(net, layers=(first, signed, *rest)))


def test_mistakes_are_named(net, images):
    spiking = convert(net)
    with pytest.raises(InputError, match="steps"):
        run(spiking, images, steps=0)
    with pytest.raises(InputError, match="images"):
        run(spiking, images.astype(np.float32))
