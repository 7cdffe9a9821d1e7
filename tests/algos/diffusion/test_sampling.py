"""Samplers: schedulers by name, guidance, and pictures that do not depend on quantizers that are off."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from algos.diffusion import SCHEDULERS, Condition, Sampler, attach, rollout
from sim.errors import InputError
from tests.algos.diffusion.small import CLASSES, SAMPLER, clock, labelled, noise, unet


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_is_deterministic_and_quantizers_that_are_off_change_nothing(name: str) -> None:
    sampler, model = Sampler(name, 4), unet()
    wanted = sampler.run(model, noise(4), labelled(4))
    quantized = attach(copy.deepcopy(model), clock(sampler), (4, 8), groups=4)
    assert torch.equal(sampler.run(quantized.model, noise(4), labelled(4)), wanted)
    quantized.observe(lambda: sampler.run(quantized.model, noise(4), labelled(4)), "mse")
    assert not torch.equal(sampler.run(quantized.model, noise(4), labelled(4)), wanted)


def test_a_flow_goes_along_the_velocity() -> None:
    """Euler's method by hand: x - sum of v (sigma - next sigma), of a network whose velocity is constant."""

    class Constant(nn.Module):
        def forward(self, x, timestep, **_):
            return type("Out", (), {"sample": torch.full_like(x, 0.25)})()

    drawn = Sampler("flow-matching", 5).run(Constant(), noise(2), Condition())
    torch.testing.assert_close(drawn, noise(2) - 0.25)  # sigma goes from 1 to 0


def test_guidance_is_the_line_through_both_predictions() -> None:
    model, x, time = unet(), noise(2), torch.tensor(500)
    with_it, none = labelled(2), torch.full((2,), CLASSES - 1)
    with torch.no_grad():
        found = Sampler("ddim", 4, 3.0).predict(model, x, time, with_it)
        given, without = (model(x, time, class_labels=y).sample for y in (with_it.labels, none))
    torch.testing.assert_close(found, 3 * given - 2 * without, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"condition.*without"):
        Sampler("ddim", 4, 3.0).predict(model, x, time, Condition(with_it.labels))


def test_a_pool_has_each_time_step_equally_often_and_keeps_the_trajectory() -> None:
    model, seen = unet(), []
    pool = rollout(model, SAMPLER, noise(6), labelled(6), batch=4)
    assert pool.latents.shape == (4, 6, 1, 8, 8)
    SAMPLER.run(model, noise(4), labelled(4), lambda step, x, _: seen.append(x))
    assert torch.equal(pool.latents[:, :4], torch.stack(seen))
    assert torch.equal(pool.latents[0], noise(6))
    latent, times, condition = pool.batch(torch.arange(len(pool)))
    assert times.long().bincount().tolist()[::250] == [6, 6, 6, 6]
    assert torch.equal(latent[6:12], pool.latents[1])
    assert torch.equal(condition.labels, labelled(6).labels.repeat(4))
    spread = pool.spread(8)
    assert (spread // 6).bincount().tolist() == [2, 2, 2, 2]
    assert len(spread.unique()) == 8


def test_bad_samplers() -> None:
    with pytest.raises(InputError, match=r"scheduler.*ddin.*unknown.*ddim"):
        Sampler("ddin")
    with pytest.raises(InputError, match=r"steps.*0"):
        Sampler("ddim", 0)
    with pytest.raises(InputError, match="settings"):
        Sampler("ddim", 4, settings={"beta_shedule": "linear", 1: 2}).fresh()
