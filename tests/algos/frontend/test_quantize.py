"""Scales to integers: activations, weights, multiplier and shift, batch norms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from algos.frontend.calibrate import calibrate
from algos.frontend.quantize import int8_weight, multiplier_and_shift
from algos.norms import absorb_gain_signs, fold_norm, gains_kept_positive
from sim.errors import InputError
from tests.algos.small_models import images, resnet8


@given(exponent=st.floats(-31, 15), mantissa=st.floats(1, 1.999))
def test_multiplier_and_shift_are_close(exponent: float, mantissa: float) -> None:
    ratio = min(mantissa * 2.0**exponent, 32767.0)
    m, s = multiplier_and_shift(np.array([ratio]))
    assert m.dtype == np.uint16
    assert 1 <= s[0] <= 47
    assert m[0] / 2.0 ** int(s[0]) == pytest.approx(ratio, rel=2**-16)


def test_multiplier_just_below_a_power_of_two() -> None:
    m, s = multiplier_and_shift(np.array([1 - 2**-20, 0.0, 2.0**-60]))
    assert m[0] / 2 ** int(s[0]) == 1.0
    assert m[1:].tolist() == [0, 0]


def test_ratio_beyond_the_multiplier() -> None:
    with pytest.raises(InputError, match="recalibrate"):
        multiplier_and_shift(np.array([40000.0]))


def test_calibration_clips_rare_outliers() -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    values[0] = 12.0
    a = calibrate(values, (-math.inf, math.inf))
    assert (a.zero_point, a.low, a.high) == (0, -128, 127)

    def error(scale: float) -> float:
        return float((((values / scale).round().clamp(-128, 127) * scale - values) ** 2).mean())

    assert error(a.scale) < 0.7 * error(12.0 / 127)


def test_calibration_behind_a_relu_uses_0_to_127() -> None:
    a = calibrate(torch.rand(1000), (0.0, math.inf))
    assert (a.low, a.high) == (0, 127)
    assert a.scale == pytest.approx(1 / 127, rel=0.05)


def test_dead_tensor_still_has_a_scale() -> None:
    assert calibrate(torch.zeros(10), (0.0, math.inf)).scale > 0


def test_int8_weight_per_channel_and_per_tensor() -> None:
    weight = torch.tensor([[1.0, -0.5], [0.01, 0.0]]).reshape(2, 2, 1, 1)
    q, scale = int8_weight(weight, per_channel=True)
    assert q.reshape(2, 2).tolist() == [[127, -64], [127, 0]]
    np.testing.assert_allclose(scale, [1 / 127, 0.01 / 127])
    q, scale = int8_weight(weight, per_channel=False)
    assert q.reshape(2, 2).tolist() == [[127, -64], [1, 0]]
    assert scale[0] == scale[1]


def test_folded_norm_equals_batch_norm() -> None:
    norm = nn.BatchNorm2d(3).eval()
    norm.running_mean.copy_(torch.tensor([0.3, -1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([0.5, 4.0, 0.01]))
    norm.bias.data.copy_(torch.tensor([1.0, 0.0, -3.0]))
    x = torch.randn(2, 3, 4, 4)
    gain, offset = (torch.from_numpy(v).float()[:, None, None] for v in fold_norm(norm))
    torch.testing.assert_close(norm(x).detach(), x * gain + offset)
    norm.weight.data[1] = -0.1
    with pytest.raises(InputError, match="negative"):
        fold_norm(norm)


def test_absorbed_signs_leave_the_function() -> None:
    model = resnet8()
    x = images(8).pixels.float() / 255
    with torch.no_grad():
        before = model(x)
        absorb_gain_signs(model)
        torch.testing.assert_close(model(x), before, atol=1e-4, rtol=1e-4)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all((norm.weight > 0).all() for norm in norms)
    norms[2].weight.data[0] = -0.2
    gains_kept_positive(model)()
    assert norms[2].weight[0] > 0
