"""Weights with group scales: rounding, and the way from a module to the machine."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from algos import reference
from algos.frontend.export import export
from algos.norms import absorb_gain_signs
from algos.weights.scaled import attach_scaled, fitted
from sim import accelerator, artifact
from sim.errors import InputError
from sim.formats import FORMATS
from sim.formats.scaled import Scaled
from sim.network import Conv, Int4Weight, run
from sim.systolic.engine import simulate
from tests.algos.small_models import images, resnet8

SCALED = [name for name, form in FORMATS.items() if isinstance(form, Scaled)]


@pytest.mark.parametrize("form", SCALED)
def test_no_element_and_no_scale_would_be_nearer(form):
    rng = np.random.default_rng(0)
    real = rng.standard_normal((2, 5, 1, 1)) * [[[[1]], [[1]], [[0.2]], [[0.2]], [[0.1]]]]
    weight, units = fitted(real, form, 2)
    kind = type(weight)
    every = np.arange(kind.bounds[0], kind.bounds[1] + 1).astype(kind.dtype)
    low, top = kind.scale_bounds
    for k, g in np.ndindex(2, 3):
        part = real[k, 2 * g : 2 * g + 2, 0, 0] / units[k]
        found = weight.decode()[k, 2 * g : 2 * g + 2, 0, 0]
        least = min(
            sum(np.abs(kind.products(every, np.uint8(scale)) - value).min() ** 2 for value in part)
            for scale in range(low, top + 1)
        )
        assert np.square(found - part).sum() == pytest.approx(least)


def test_the_largest_weight_is_met_and_a_row_of_zeros_stays():
    real = np.zeros((2, 3, 1, 2))
    real[0, 1, 0, 1] = 4.5
    weight, units = fitted(real, "int4", 2)
    assert weight.decode()[0, 1, 0, 1] * units[0] == pytest.approx(4.5)
    assert not weight.decode()[1].any()


def test_a_format_without_scales_is_refused():
    with pytest.raises(InputError, match="format = 'ternari': has no group scales"):
        fitted(np.zeros((1, 1, 1, 1)), "ternari", 2)


def int4_network():
    """ResNet-8 with INT4 weights but for its stem and classifier."""
    model = resnet8()
    absorb_gain_signs(model)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][1:]
    for layer in layers:
        attach_scaled(layer, "int4", 8)
    return export(model, images(64), name="int4"), len(layers)


def test_a_convolutional_network_in_int4_runs_on_its_machine(tmp_path):
    net, layers = int4_network()
    assert (
        sum(isinstance(layer, Conv) and isinstance(layer.weight, Int4Weight) for layer in net.layers)
        == layers
    )
    artifact.save(net, tmp_path / "net.safetensors")
    net = artifact.load(tmp_path / "net.safetensors")
    pixels = images(2).pixels
    codes = (pixels.numpy().astype(np.int16) + net.input.zero_point).astype(np.int8)
    found = run(net, codes)[net.layers[-1].name].reshape(2, -1)
    np.testing.assert_array_equal(found, reference.logits(net, pixels).numpy())
    result = simulate(net, accelerator.load("int4-g32-16", {"scale_group": 8}), codes)
    assert result.bit_exact
