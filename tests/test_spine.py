"""The shipped network through every step: three implementations, one result."""

from __future__ import annotations

import numpy as np
import pytest

from algos import reference, zoo
from sim import accelerator
from sim.estimate import estimate
from sim.systolic.engine import simulate

IMAGES = 8


@pytest.mark.parametrize("preset", ["ws-16", "ews-16", "ews-cm-16", "ews-cms-16", "ews-cms-64", "ws-cms-16"])
def test_resnet20_equals_the_pytorch_reference_tensor_by_tensor(preset):
    network = zoo.load_network()
    pixels = zoo.load_images()[1].pixels[:IMAGES]
    machine = accelerator.preset(preset)
    run = simulate(network, machine, (pixels.numpy().astype(np.int16) - 128).astype(np.int8))
    assert run.bit_exact
    expected = reference.run(network, pixels.long() - 128)
    assert set(expected) == set(run.tensors)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(run.tensors[name], tensor.numpy(), err_msg=name)
    closed = [layer.counts for layer in estimate(network, machine).layers]
    assert list(run.layers) == closed
    assert sum(layer.macs for layer in run.layers) == network.macs
