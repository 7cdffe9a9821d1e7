"""The codings to compare with: each says the values of a layer, the better the more steps it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from algos.spikes import SpikingLayer, SpikingNetwork
from algos.spikes.convert import Synapses
from algos.spikes.others import CODINGS, run_coded
from sim.errors import InputError
from sim.network import TensorSpec


class Source:
    """What of a network of integers the codings read."""

    input = TensorSpec((3, 5, 5), 1 / 255, -128)


def small() -> SpikingNetwork:
    random = torch.Generator().manual_seed(0)

    def weights(*shape: int) -> torch.Tensor:
        return torch.randint(-20, 40, shape, generator=random)

    hidden = SpikingLayer(
        "hidden",
        (Synapses("input", weights(4, 3, 3, 3), padding=(1, 1)),),
        weights(4),
        torch.tensor([800, 900, 700, 650]),
    )
    last = SpikingLayer("last", (Synapses("hidden", weights(2, 4, 1, 1)),), weights(2), None, pooled=True)
    return SpikingNetwork("small", (hidden, last), Source())


def floats(images: np.ndarray) -> torch.Tensor:
    """The network without spikes."""
    hidden, last = small().layers
    x = torch.from_numpy(images.astype(np.float64) + 128) / 256
    y = torch.nn.functional.conv2d(
        x, hidden.synapses[0].weights.double(), hidden.bias.double() / 2, padding=1
    )
    y = (y / hidden.threshold.reshape(-1, 1, 1)).clamp(0, 1)
    return torch.einsum("bchw,oc->bo", y, last.synapses[0].weights[:, :, 0, 0].double()) + last.bias / 2


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(-128, 127, (6, 3, 5, 5)).astype(np.int8)


@pytest.mark.parametrize(("coding", "few", "many"), [("rate", 8, 512), ("phase", 8, 64), ("first", 4, 256)])
def test_more_steps_say_more(images, coding, few, many):
    wanted = floats(images)
    errors = [
        ((run_coded(small(), images, coding, steps).outputs - wanted).norm() / wanted.norm()).item()
        for steps in (few, many)
    ]
    assert errors[1] < 0.03
    assert errors[1] < errors[0]


def test_latencies_and_spikes(images):
    assert run_coded(small(), images, "rate", 16).latency == 16
    assert run_coded(small(), images, "first", 16).latency == 32
    first = run_coded(small(), images, "first", 16)
    assert first.neurons == 100
    assert first.spikes <= first.neurons * len(images)


@pytest.mark.parametrize(
    ("coding", "steps", "named"), [("morse", 8, "coding"), ("phase", 12, "periods"), ("rate", 0, "steps")]
)
def test_mistakes_are_named(images, coding, steps, named):
    with pytest.raises(InputError, match=named):
        run_coded(small(), images, coding, steps)
    assert set(CODINGS) == {"rate", "phase", "first"}


def test_values_below_0_are_refused(images):
    net = small()
    signed = replace(net, layers=(replace(net.layers[0], signed=True), net.layers[1]))
    with pytest.raises(InputError, match=r"coding = 'rate': has no sign, and hidden says"):
        run_coded(signed, images, "rate", 8)
