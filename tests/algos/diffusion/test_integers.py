"""Steps as networks of integers: same weights, tables equal to the time layers, sim equal to the integer reference."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

from algos.diffusion import Condition, attach, rollout, tabulate, time_path
from algos.diffusion.integers import at_step, denoised, integer_steps
from algos.frontend import export
from algos.reference import run as reference
from sim import artifact
from sim.errors import InputError
from sim.network import Conv, run
from tests.algos.diffusion.small import SAMPLER, call, clock, dit, labelled, noise, text_unet, unet


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


def steps_of(model, condition, steps, **what):
    """Integers of some steps of a network in W4A8, and its pool."""
    told = clock()
    tabulate(model, told, call, batch=1)
    quantized = attach(model, told, (4, 8), groups=4)
    quantized.observe(lambda: SAMPLER.run(model, noise(8, 2), condition), "mse")
    pool = rollout(model, SAMPLER, noise(8, 2), condition)
    return quantized, pool, integer_steps(quantized, pool, steps, **what)


def test_text_becomes_constants_of_cross_attention(tmp_path: Path) -> None:
    text = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(3))
    every = Condition(text=text.expand(8, 3, 8))
    quantized, pool, networks = steps_of(text_unet(), every, (0, 2), text=text)
    artifact.save_steps(networks, tmp_path / "steps.safetensors")
    latent = pool.latents[2][:2]
    images = networks[1].input.quantize(latent.double().numpy())
    found, expected = run(networks[1], images), reference(networks[1], torch.from_numpy(images))
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor, expected[name].numpy(), name)
    time = quantized.clock.times[2].long().expand(2)
    with torch.no_grad():
        wanted, other = (
            quantized.model(latent, timestep=time, encoder_hidden_states=said.expand(2, 3, 8))
            .sample.double()
            .numpy()
            for said in (text, -text)
        )
    output = denoised(networks[1], found[networks[1].layers[-1].name])
    error = np.square(output - wanted).mean()
    assert error < 0.02 * np.square(wanted).mean()
    assert error < np.square(other - wanted).mean()  # the text is in it


@pytest.mark.slow
def test_a_transformer_with_negative_gates_becomes_integers() -> None:
    """AdaLN's gates stay layers of their own where they are negative: integers that are given keep their signs."""
    quantized, pool, (network,) = steps_of(dit(), labelled(8), (2,), label=1)
    latent = pool.latents[2][:2]
    images = network.input.quantize(latent.double().numpy())
    found, expected = run(network, images), reference(network, torch.from_numpy(images))
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor, expected[name].numpy(), name)
    time = quantized.clock.times[2].long().expand(2)
    with torch.no_grad():
        wanted = (
            quantized.model(latent, timestep=time, class_labels=torch.tensor([1, 1])).sample.double().numpy()
        )
    # Without the variance, and in patches of 2x2: the host puts them together.
    wanted = wanted[:, :2].reshape(2, 2, 4, 2, 4, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 8, 16, 1)
    output = denoised(network, found[network.layers[-1].name])
    assert np.square(output - wanted).mean() < 0.02 * np.square(wanted).mean()


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
