"""The conditional delta flow vector on a flow in closed form (DFVEdit eq. 8 and its claim of no bias)."""

from __future__ import annotations

import pytest
import torch

from algos.video import schedules
from algos.video.dfvedit import cdfv, deltas
from algos.video.process import CLEAN, Level
from tests.algos.video.gaussian import at, pair

SIGMAS = (0.05, 0.3, 0.6, 0.95)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_model_velocity_is_the_drift_of_the_exact_path(sigma: float) -> None:
    source, _ = pair()
    place = torch.randn(1, 1, 2, 2, 3, dtype=torch.float64)
    noisy = source.on_the_way(place, at(sigma))
    torch.testing.assert_close(source.parts(noisy, at(sigma)).velocity, source.drift(place, at(sigma)))


def test_edited_clip_is_the_source_less_the_integral_of_the_delta_flow() -> None:
    """Eq. 8: both clips come from one noise, along the flows of their prompts."""
    source, target = pair()
    place = torch.randn(1, 1, 2, 2, 3, dtype=torch.float64)
    count = 4000
    middles = [(number + 0.5) / count for number in range(count)]
    integral = sum(
        target.parts(target.on_the_way(place, at(sigma)), at(sigma)).velocity
        - source.parts(source.on_the_way(place, at(sigma)), at(sigma)).velocity
        for sigma in middles
    )
    edited = source.on_the_way(place, at(0)) - integral / count
    torch.testing.assert_close(edited, target.on_the_way(place, at(0)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_estimate_has_no_bias_over_clips_and_noise(sigma: float) -> None:
    """Its mean over clips and noise is that of the delta flow, which is the difference of the means."""
    source, target = pair()
    draw = torch.Generator().manual_seed(7)
    places = torch.randn(50_000, 1, 2, 2, 3, generator=draw, dtype=torch.float64)
    noise = torch.randn(places.shape, generator=draw, dtype=torch.float64)
    clips, edited = source.on_the_way(places, at(0)), target.on_the_way(places, at(0))
    found = cdfv(source.parts, target.parts, clips, edited, noise, at(sigma))
    exact = (source.mean - target.mean)[0]
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - exact).abs() < 5 * (error + 1e-9)).all()
    assert (error < 0.01).all()
    assert (found.std(0) > 0.01).all()  # of a single clip it is not exact


@pytest.mark.parametrize("sigma", SIGMAS)
def test_estimate_is_the_delta_flow_itself_where_the_spreads_agree(sigma: float) -> None:
    """Then the noise falls out of the difference, clip by clip."""
    source, target = pair((0.5, 0.5))
    place, noise = torch.randn(2, 1, 1, 2, 2, 3, dtype=torch.float64)
    clip, edited = source.on_the_way(place, at(0)), target.on_the_way(place, at(0))
    found = cdfv(source.parts, target.parts, clip, edited, noise, at(sigma))
    torch.testing.assert_close(found, source.mean - target.mean)


def test_estimate_is_zero_where_source_and_target_agree() -> None:
    source, _ = pair()
    clip, noise = torch.randn(2, 1, 1, 2, 2, 3, dtype=torch.float64)
    assert not cdfv(source.parts, source.parts, clip, clip, noise, at(0.4)).any()


def test_levels_of_ddpm_have_the_same_flow() -> None:
    """A and S of any schedule: the velocity is that of flow matching at sigma = S / (A + S)."""
    source, target = pair()
    clip, edited, noise = torch.randn(3, 1, 1, 2, 2, 3, dtype=torch.float64)
    kept = float(schedules.alpha_bars()[400])
    ddpm = Level(400.0, kept**0.5, (1 - kept) ** 0.5)
    torch.testing.assert_close(
        cdfv(source.parts, target.parts, clip, edited, noise, ddpm),
        cdfv(source.parts, target.parts, clip, edited, noise, at(ddpm.sigma)),
    )


def test_a_constant_difference_moves_the_clip_by_all_but_the_first_sigma() -> None:
    """Paper file: 49 iterations of 50 steps, sum of the deltas -0.9959."""
    found = schedules.sigmas()
    path = [at(float(sigma)) for sigma in found]
    assert len(deltas(path)) == 49
    assert sum(deltas(path)) == pytest.approx(-float(found[1]))
    assert sum(deltas(path)) == pytest.approx(-0.9959, abs=5e-5)


def test_sigmas_are_the_published_row() -> None:
    """Derived from the released scheduler, N = 50 and shift 5."""
    row = {0: 1, 1: 0.9959, 2: 0.9916, 5: 0.9779, 10: 0.9515, 20: 0.8797, 30: 0.7623, 40: 0.5361}
    row |= {45: 0.3205, 48: 0.1148, 49: 0.0244}
    found = schedules.sigmas()
    for number, sigma in row.items():
        assert float(found[number]) == pytest.approx(sigma, abs=6e-5)
    assert CLEAN.sigma == 0
