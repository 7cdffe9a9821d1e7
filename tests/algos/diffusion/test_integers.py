"""Steps as networks of integers: same weights, tables equal to the time layers, sim equal to the integer reference."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

from algos.diffusion import attach, rollout, tabulate, time_path
from algos.diffusion.integers import at_step, denoised, integer_steps
from algos.frontend import export
from algos.reference import run as reference
from sim import artifact
from sim.errors import InputError
from sim.network import Conv, run
from tests.algos.diffusion.small import SAMPLER, call, clock, labelled, noise, unet


@pytest.fixture(scope="module")
def made():
    """Steps 0 and 2 of a network in W4A8, what it was made of, and its pool."""
    model = unet()
    told = clock()
    tabulate(model, told, call, batch=1)
    quantized = attach(model, told, (4, 8), groups=4)
    quantized.observe(lambda: SAMPLER.run(model, noise(8), labelled(8)), "mse")
    pool = rollout(model, SAMPLER, noise(8), labelled(8))
    return quantized, pool, integer_steps(quantized, pool, (0, 2), label=1)


def test_every_tensor_is_that_of_the_integer_reference(made) -> None:
    _, pool, networks = made
    for net, step in zip(networks, (0, 2), strict=True):
        images = net.input.quantize(pool.latents[step][:2].double().numpy())
        found, expected = run(net, images), reference(net, torch.from_numpy(images))
        assert found.keys() == expected.keys()
        for name, tensor in found.items():
            np.testing.assert_array_equal(tensor, expected[name].numpy(), name)


def test_steps_share_four_bit_weights_in_one_file(made, tmp_path: Path) -> None:
    quantized, _, networks = made
    path = tmp_path / "steps.safetensors"
    artifact.save_steps(networks, path)
    assert artifact.step_count(path) == 2
    for number in range(2):
        read = artifact.load(path, number)
        assert read.metadata["time"] == float(quantized.clock.times[(0, 2)[number]])
    weights = [layer.weight.decode() for layer in networks[0].layers if isinstance(layer, Conv)]
    assert max(int(w.max()) for w in weights) == 7
    assert min(int(w.min()) for w in weights) >= -8
    biases = [[layer.bias for layer in net.layers if isinstance(layer, Conv)] for net in networks]
    assert any(not np.array_equal(a, b) for a, b in zip(*biases, strict=True))


def test_the_prediction_is_near_the_quantized_network_s(made) -> None:
    quantized, pool, networks = made
    for net, step in zip(networks, (0, 2), strict=True):
        latent = pool.latents[step]
        images = net.input.quantize(latent.double().numpy())
        found = denoised(net, run(net, images)[net.layers[-1].name])
        labels = torch.full((len(latent),), 1)
        time = quantized.clock.times[step].long().expand(len(latent))
        with torch.no_grad():
            wanted = quantized.model(latent, timestep=time, class_labels=labels).sample.double().numpy()
        assert np.square(found - wanted).mean() < 0.02 * np.square(wanted).mean()


@pytest.mark.slow
def test_tables_give_the_integers_of_the_time_layers_at_every_step(made) -> None:
    """Bit for bit: the front end runs the layers on one sample, and so did the tables."""
    tabled, pool, _ = made
    model = unet()
    layered = attach(model, clock(), (4, 8), groups=4)
    keep_time_layers_exact(layered)
    layered.enable(True)
    for step in (0, 1, 2, 3):
        networks = [
            export.quantize(at_step(one, step, 1), [pool.latents[step]], name="one").network
            for one in (tabled, layered)
        ]
        images = networks[0].input.quantize(pool.latents[step][:1].double().numpy())
        one, two = (run(net, images) for net in networks)
        for tensor, same in zip(one.values(), two.values(), strict=True):  # without the names of what went
            np.testing.assert_array_equal(tensor, same)


def keep_time_layers_exact(quantized) -> None:
    """Takes the quantizers off the time layers, as a table of float values has none."""
    for name in time_path(quantized.model).layers(quantized.model):
        layer = quantized.model.get_submodule(name)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        layer._forward_pre_hooks.clear()
        del quantized.bits[name], layer.input_quantizer


def test_bad_steps_and_bits(made) -> None:
    quantized, _, _ = made
    with pytest.raises(InputError, match=r"step.*4.*use 0 to 3"):
        at_step(quantized, 4, 1)
    wide = attach(copy.deepcopy(unet()), clock(), (10, 8))
    with pytest.raises(InputError, match=r"bits.*10.*conv_in"):
        at_step(wide, 0, 1)
