"""Histograms of what streams by, and the INT8 ranges that they give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.frontend.calibrate import OBSERVERS, Activation, Histogram, Scheme
from sim.errors import InputError


def observed(*parts: torch.Tensor) -> Histogram:
    seen = Histogram()
    for part in parts:
        seen.add(part)
    return seen


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def error(a: Activation, values: torch.Tensor) -> float:
    real = values.double().numpy()
    return float(np.square(a.real(a.integers(real)) - real).mean())


def test_parts_are_the_whole_in_range_and_count() -> None:
    """Bins double twice and a half on the way."""
    values = noise(30_000)
    values[20_000:] *= 5
    parts = observed(*values.split(1000))
    (points, counts), whole = parts.points, observed(values)
    assert (parts.low, parts.high) == (whole.low, whole.high) == (float(values.min()), float(values.max()))
    assert counts.sum() == 30_000
    mean = float((points * counts).sum() / counts.sum())
    assert mean == pytest.approx(float(values.double().mean()), abs=1e-3)
    assert parts.quantile(0.9) == pytest.approx(float(values.quantile(0.9)), abs=5e-3)


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_every_observer_covers_the_values(observer: str, symmetric: bool) -> None:
    values = noise(20_000) + 1.5
    a = Scheme(observer, symmetric).activation(observed(values))
    assert error(a, values) < 2 * (a.scale**2 / 12)
    assert (a.zero_point == 0) == symmetric


def test_least_squares_beats_the_range_where_values_are_rare() -> None:
    values = torch.cat((noise(100_000), torch.tensor([12.0])))
    found = {name: error(Scheme(name, True).activation(observed(values)), values) for name in OBSERVERS}
    assert found["mse"] < 0.7 * found["minmax"]


def test_zero_points_use_all_steps_on_one_side() -> None:
    values = noise(20_000).relu()
    whole, half = (
        Scheme(symmetric=s).activation(observed(values), (0.0, float("inf"))) for s in (False, True)
    )
    assert (whole.zero_point, whole.low, half.zero_point, half.low) == (-128, -128, 0, 0)
    assert error(whole, values) < 0.4 * error(half, values)


def test_what_is_taken_of_the_tensor_counts() -> None:
    """A sigmoid forgives what lies far out."""
    values = 4 * noise(20_000)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    plain, behind = (Scheme().activation(observed(values), function=f) for f in (None, sigmoid))
    assert behind.scale < plain.scale


def test_a_constant_and_nothing_but_zeros_have_a_scale() -> None:
    assert Scheme().activation(observed(torch.zeros(5))).scale > 0
    a = Scheme().activation(observed(torch.full((5,), 3.0)))
    assert error(a, torch.tensor([3.0])) < 1e-9


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"observer = 'mes': unknown\. Fix: use 'mse'"):
        Scheme("mes")
    with pytest.raises(InputError, match="activation = nan: holds NaN"):
        observed(torch.tensor([1.0, float("nan")]))
