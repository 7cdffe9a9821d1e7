"""Calibration: it learns, it resumes to the same tensors, and what each piece says it does."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from algos.diffusion import (
    Quantized,
    Training,
    assigned,
    attach,
    calibrate,
    rollout,
    sensitivities,
    storage_cost,
)
from algos.diffusion.quantizers import RoundedWeight, WeightQuantizer
from sim.errors import InputError
from tests.algos.diffusion.small import SAMPLER, clock, labelled, noise, unet

TRAINING = Training(steps=30, batch=8, refresh=12, window=5, freeze=0, rate_scales=5e-3, rate_weights=2e-3)


def prepared(kind: type[WeightQuantizer] = WeightQuantizer) -> Quantized:
    model = unet()
    quantized = attach(model, clock(), (3, 8), groups=4, kind=kind)
    quantized.observe(lambda: SAMPLER.run(model, noise(4), labelled(4)), "mse")
    return quantized


def learn(
    quantized: Quantized, training: Training = TRAINING, path: Path | None = None, report=lambda state: None
):
    return calibrate(quantized, unet(), SAMPLER, noise(6), labelled(6), training, path, report)


@torch.no_grad()
def error(quantized: Quantized) -> float:
    """Of the prediction, on latents of the float network from other noise."""
    pool = rollout(unet(), SAMPLER, noise(8, seed=1), labelled(8))
    latent, times, condition = pool.batch(torch.arange(len(pool)))
    wanted, found = (SAMPLER.predict(one, latent, times, condition) for one in (unet(), quantized.model))
    return float((found - wanted).square().mean())


@pytest.mark.parametrize("kind", [WeightQuantizer, RoundedWeight])
def test_predictions_come_nearer_to_those_of_the_float_network(kind) -> None:
    quantized = prepared(kind)
    if kind is RoundedWeight:
        for one in quantized.weights().values():
            one.hard = True
    before = error(quantized)
    for one in quantized.weights().values():
        one.hard = False
    state = learn(quantized, replace(TRAINING, rounding=(3e-2, 0.1)))
    assert state.step == 30
    assert len(state.losses) == 6
    assert error(quantized) < before * 0.9


class Killed(Exception):
    pass


def test_killed_and_resumed_it_gives_the_same_tensors(tmp_path: Path) -> None:
    training = replace(TRAINING, freeze=1e-2)
    straight, path = prepared(), tmp_path / "state.pt"
    learned = learn(straight, training)
    assert learned.frozen

    def kill(state) -> None:
        if state.step == 20:  # the file is of 15
            raise Killed

    with pytest.raises(Killed):
        learn(prepared(), training, path, kill)
    resumed = prepared()
    assert learn(resumed, training, path) == learned
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    with pytest.raises(InputError, match="another calibration"):
        learn(prepared(), replace(training, seed=1), path)


def test_frozen_layers_stay() -> None:
    quantized, kept = prepared(), {}

    def watch(state) -> None:
        for name in state.frozen:
            weight = quantized.model.get_submodule(name).parametrizations.weight.original.clone()
            assert torch.equal(kept.setdefault(name, weight), weight)

    state = learn(quantized, replace(TRAINING, freeze=1e-2), report=watch)
    assert state.frozen
    assert set(kept) == set(state.frozen)


def test_serial_latents_are_those_of_the_quantized_network() -> None:
    """Not the float network's, which a pool of `float` has; both begin at the same noise."""
    quantized = prepared()
    serial = rollout(quantized.model, SAMPLER, noise(4), labelled(4))
    parallel = rollout(unet(), SAMPLER, noise(4), labelled(4))
    assert torch.equal(serial.latents[0], parallel.latents[0])
    assert not torch.equal(serial.latents[1], parallel.latents[1])


@pytest.mark.parametrize("change", [{"pool": "float"}, {"shuffled": False}, {"distillation": 0.0}])
def test_each_choice_learns_something_else(change) -> None:
    short = replace(TRAINING, steps=8)
    one, two = prepared(), prepared()
    learn(one, short)
    learn(two, replace(short, **change))
    assert not torch.equal(
        one.model.conv_in.input_quantizer.log_scale, two.model.conv_in.input_quantizer.log_scale
    )


def test_sensitivities_are_of_one_layer_each() -> None:
    quantized = prepared()
    pool = rollout(unet(), SAMPLER, noise(6), labelled(6))
    found = sensitivities(quantized, SAMPLER, pool, 12)
    assert set(found) == set(quantized.bits)
    alone = copy.deepcopy(quantized)
    alone.enable(False)
    alone.enable(True, "conv_in")
    latent, times, condition = pool.batch(pool.spread(12))
    with torch.no_grad():
        wanted = unet()(latent, times, class_labels=condition.labels).sample
        given = alone.model(latent, timestep=times, class_labels=condition.labels).sample
    expected = float((given - wanted).square().mean() / wanted.square().mean())
    assert found["conv_in"] == pytest.approx(expected, rel=1e-4)


def test_bits_go_where_they_take_most_error_for_their_cost() -> None:
    errors = {(4, 8): {"a": 8.0, "b": 3.0, "c": 1.0}, (8, 8): {"a": 0.1, "b": 0.1, "c": 0.1}}
    price = {"a": 100, "b": 10, "c": 1}

    def cost(name, bits) -> float:
        return price[name] * bits[0]

    least = 4 * 111
    assert assigned(errors, cost, least) == dict.fromkeys("abc", (4, 8))
    assert assigned(errors, cost, least + 4) == {"a": (4, 8), "b": (4, 8), "c": (8, 8)}
    assert assigned(errors, cost, least + 44) == {"a": (4, 8), "b": (8, 8), "c": (8, 8)}
    assert assigned(errors, cost, 2 * least) == dict.fromkeys("abc", (8, 8))
    with pytest.raises(InputError, match=r"budget.*the least is 444"):
        assigned(errors, cost, least - 1)


def test_storage_is_what_the_budget_is_in_by_default() -> None:
    quantized = prepared()
    cost = storage_cost(quantized)
    assert sum(cost(name, bits) for name, bits in quantized.bits.items()) == quantized.storage()


def test_bad_training() -> None:
    with pytest.raises(InputError, match=r"batch.*0"):
        Training(batch=0)
