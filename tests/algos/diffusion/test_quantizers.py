"""Quantizers against their definition, value by value, and scales by group of time steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.diffusion import Clock, attach
from algos.diffusion.model import layers
from algos.diffusion.quantizers import ActivationQuantizer, RoundedWeight, WeightQuantizer
from sim.errors import InputError
from tests.algos.diffusion.small import SAMPLER, clock, labelled, noise, unet

TICKS = [3.0, 2.0, 1.0, 0.0]


def at(quantizer: ActivationQuantizer, step: list[int]) -> ActivationQuantizer:
    quantizer.clock.step = torch.tensor(step)
    return quantizer


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from(["minmax", "mse"]))
def test_activations_are_the_nearest_of_so_many_values(seed: int, bits: int, way) -> None:
    torch.manual_seed(seed)
    quantizer = at(ActivationQuantizer(bits, 1, Clock(TICKS)), [0, 0])
    x = torch.randn(2, 50) * 3 + 1
    quantizer.watching = True
    assert torch.equal(quantizer(x), x)
    error = quantizer.settle(way)
    quantizer.watching, quantizer.enabled = False, True
    found = quantizer(x).detach()
    scale, zero = float(quantizer.log_scale.detach().exp()), float(quantizer.zero)
    levels = (torch.arange(2**bits) - zero) * scale
    nearest = levels[(x.reshape(-1, 1) - levels).abs().argmin(1)].reshape(x.shape)
    torch.testing.assert_close((found - x).abs(), (nearest - x).abs(), rtol=1e-3, atol=1e-4)
    assert float((levels == 0).sum()) == 1  # zero has a value of its own
    if way == "minmax":
        assert float((found - x).abs().max()) <= scale * 1.01  # half a step, and half by which zero moved
    assert error >= 0


def test_a_scale_a_step_never_has_a_larger_error_than_one_scale() -> None:
    """And one group is static quantization: the same scale at every step."""
    errors = []
    for groups in (1, 2, 4):
        quantizer = ActivationQuantizer(4, groups, Clock(TICKS))
        quantizer.watching = True
        for step in range(4):
            x = torch.randn(1, 2000, generator=torch.Generator().manual_seed(step)) * (step + 1)
            at(quantizer, [step])(x)
        errors.append(quantizer.settle("mse"))
        assert len(quantizer.log_scale) == groups
        assert len(quantizer.log_scale.unique()) == groups
    assert errors[0] > errors[1] > errors[2] * 1.01


def test_each_sample_takes_the_scale_of_its_own_step() -> None:
    quantizer = ActivationQuantizer(8, 4, Clock(TICKS))
    with torch.no_grad():
        quantizer.log_scale.copy_(torch.tensor([1.0, 2.0, 4.0, 8.0]).log())
    quantizer.zero += 128
    quantizer.enabled = True
    x = torch.full((4, 3), 5.0)
    found = at(quantizer, [3, 0, 2, 1])(x)
    torch.testing.assert_close(found[:, 0], torch.tensor([8.0, 5.0, 4.0, 4.0]))


@pytest.mark.parametrize("kind", [WeightQuantizer, RoundedWeight])
def test_weights_are_integers_of_their_bits(kind) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 4, 3, 3)
    weight[2] = 0
    quantizer = kind(weight, 4, "minmax")
    quantizer.hard = True
    whole = quantizer.integers(weight)
    assert torch.equal(whole, whole.round())
    assert whole.min() >= -8
    assert whole.max() <= 7
    assert (
        float((quantizer.scale(4) * whole - weight).detach().abs().max())
        <= float(quantizer.scale(4).detach().max()) * 0.501
    )
    assert torch.equal(quantizer(weight), weight)
    quantizer.enabled = True
    assert not torch.equal(quantizer(weight), weight)


def test_learned_rounding_begins_at_the_weight_and_ends_above_or_below() -> None:
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    quantizer = RoundedWeight(weight, 4, "minmax")
    quantizer.enabled = True
    torch.testing.assert_close(quantizer(weight), weight)
    before = quantizer.penalty(2.0)
    with torch.no_grad():
        quantizer.logit.copy_(torch.where(torch.rand(3, 5) < 0.5, -9.0, 9.0))
    assert quantizer.penalty(2.0) < 1e-6 < before
    low = (weight / quantizer.scale(2)).floor()
    added = quantizer.integers(weight) - low.clamp(-8, 7)
    assert set(added.unique().tolist()) <= {0.0, 1.0}


def test_every_convolution_and_linear_layer_has_both() -> None:
    model = unet()
    quantized = attach(model, clock(), (4, 6), groups=2)
    assert set(quantized.bits) == set(layers(model))
    assert len(quantized.activations()) == len(quantized.bits) + sum(
        name.endswith(("to_q", "to_k", "to_v")) for name in quantized.bits
    )
    assert quantized.storage() == 4 * sum(layer.weight.numel() for layer in layers(model).values())
    quantized.observe(lambda: SAMPLER.run(model, noise(2), labelled(2)), "mse")
    assert all(part.enabled and not part.watching for part in quantized.activations())


def test_bad_bits_and_groups() -> None:
    with pytest.raises(InputError, match=r"groups.*5.*4 time steps"):
        attach(unet(), clock(), (4, 8), groups=5)
    with pytest.raises(InputError, match=r"bits.*17.*conv_in"):
        attach(unet(), clock(), (4, 17))
    with pytest.raises(InputError, match=r"conv_in.*has none"):
        attach(unet(), clock(), {})
