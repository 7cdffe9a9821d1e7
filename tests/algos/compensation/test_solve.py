"""The solvers against their equations, in float64; explicit inverses where the code has triangular factors.

Nothing here expects a method to have the least error of a layer: only W* has a theorem for that.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from algos.compensation import Rounding, Solver, Statistics, solve
from algos.compensation.solve import damped, inverse_factor, nearest
from sim.errors import InputError

INPUTS, OUTPUTS, SAMPLES = 24, 5, 200
FREE = {"damping": 0.0, "carried": "exact"}


def streams(seed: int = 0, noise: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [m, n] and inputs [n, samples] of both streams, correlated."""
    random = torch.Generator().manual_seed(seed)
    mix = torch.randn(INPUTS, INPUTS, generator=random, dtype=torch.float64)
    plain = mix @ torch.randn(INPUTS, SAMPLES, generator=random, dtype=torch.float64)
    quantized = plain + noise * torch.randn(INPUTS, SAMPLES, generator=random, dtype=torch.float64)
    return torch.randn(OUTPUTS, INPUTS, generator=random, dtype=torch.float64), quantized, plain


def gathered(quantized: Tensor, plain: Tensor | None) -> Statistics:
    found = Statistics(len(quantized))
    for part in range(0, quantized.shape[1], 70):
        cut = slice(part, part + 70)
        found.add(quantized.T[cut], None if plain is None else plain.T[cut])
    return found


def stepwise(weights, quantized, plain, solver: Solver, grid) -> Tensor:
    """Levels by the definitions: at each column H_FF is inverted, and the residuals are those of that neuron alone."""
    moments = quantized @ quantized.T
    hessian = moments + solver.damping * moments.diagonal().mean() * torch.eye(INPUTS, dtype=torch.float64)
    difference = (plain - quantized) @ quantized.T
    now, levels = weights.clone(), torch.empty_like(weights)
    for q in range(INPUTS):
        reduced = torch.linalg.inv(hessian[q:, q:])
        value = now[:, q : q + 1].clone()
        levels[:, q : q + 1] = grid.codes(value)
        rounding = grid.values(levels[:, q : q + 1]) - value
        drift = weights[:, q : q + 1] - value
        rest = torch.linalg.inv(hessian[q + 1 :, q + 1 :])
        own = solver.alpha1 * value @ difference[q : q + 1, q + 1 :] @ rest
        cae = solver.alpha2 * drift @ (moments + difference)[q : q + 1, q + 1 :] @ rest
        now[:, q + 1 :] += rounding / reduced[0, 0] * reduced[:1, 1:] + own + cae
    return levels


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.25, 0.0), (0.25, 0.25), (0.0, 0.25), (1.0, 1.0)])
@pytest.mark.parametrize("block", [1, 7, 24, 128])
def test_levels_follow_the_definitions(alphas, block):
    """GPTQ, GPTAQ, ResComp, and blocks of any size."""
    weights, quantized, plain = streams()
    rounding = Rounding(bits=3)
    solver = Solver(alpha1=alphas[0], alpha2=alphas[1], block=block, damping=0.01, carried="exact")
    found = solve(weights, gathered(quantized, plain), rounding, solver)
    wanted = stepwise(weights, quantized, plain, solver, rounding.fit(weights))
    assert (found.codes == wanted).all()


def test_the_factor_serves_every_reduced_inverse():
    _, quantized, _ = streams()
    hessian = damped(quantized @ quantized.T, 0.01)
    lower = inverse_factor(hessian)
    for q in range(INPUTS):
        reduced = torch.linalg.inv(hessian[q:, q:])
        torch.testing.assert_close(lower[q:, q:] @ lower[q:, q:].T, reduced, rtol=1e-9, atol=1e-12)


def test_equal_streams_are_gptq():
    weights, quantized, _ = streams()
    both, one = gathered(quantized, quantized), gathered(quantized, None)
    assert not both.difference.any()
    plain = solve(weights, one, Rounding(bits=3), Solver())
    assert (solve(weights, both, Rounding(bits=3), Solver(alpha1=1.0)).codes == plain.codes).all()


def test_from_the_optimum_every_step_leaves_the_least_squares_rest():
    """The free columns are the best answer to what is rounded, for the float stream's outputs."""
    weights, quantized, plain = streams()
    statistics = gathered(quantized, plain)
    for q in (1, 5, 17):
        rounding = Rounding(bits=3, static=True)
        found = solve(weights, statistics, rounding, Solver(from_optimum=True, **FREE))
        fixed = found.weights()[:, :q]
        target = weights @ plain - fixed @ quantized[:q]
        best = torch.linalg.lstsq(quantized[q:].T, target.T).solution.T
        grid = rounding.fit(weights)
        assert (grid.codes(best[:, :1]) == found.codes[:, q : q + 1]).all()


def test_the_target_is_a_distance_to_the_optimum():
    """||Q X - W0 X~||^2 - ||(Q - W*) X||^2 is one constant."""
    weights, quantized, plain = streams()
    statistics = gathered(quantized, plain)
    optimum = weights + weights @ statistics.difference @ torch.linalg.inv(statistics.hessian)
    constants = []
    for bits in (2, 3, 8):
        rounded = solve(weights, statistics, Rounding(bits=bits), Solver()).weights()
        total = (rounded @ quantized - weights @ plain).square().sum()
        constants.append((total - ((rounded - optimum) @ quantized).square().sum()).item())
    assert constants == pytest.approx([constants[0]] * 3, rel=1e-9)


def test_inputs_that_do_not_meet_compensate_nothing():
    """A diagonal H: every weight goes to its nearest level."""
    weights, _, _ = streams()
    statistics = Statistics(INPUTS)
    statistics.add(torch.eye(INPUTS, dtype=torch.float64) * torch.arange(1, INPUTS + 1))
    plain = nearest(weights, Rounding(bits=3))
    assert (
        solve(weights, statistics, Rounding(bits=3), Solver(alpha1=1, alpha2=1)).codes == plain.codes
    ).all()


@pytest.mark.parametrize(
    "solver", [Solver(alpha1=0.25, alpha2=0.25), Solver(from_optimum=True), Solver(act_order=True)]
)
def test_layers_that_share_statistics_do_not_see_each_other(solver):
    weights, quantized, plain = streams()
    statistics = gathered(quantized, plain)
    kept = statistics.hessian.clone(), statistics.difference.clone(), weights.clone()
    first = solve(weights, statistics, Rounding(bits=3), solver)
    again = solve(weights, statistics, Rounding(bits=3), solver)
    assert (first.codes == again.codes).all()
    for before, after in zip(kept, (statistics.hessian, statistics.difference, weights), strict=True):
        assert (before == after).all()


@pytest.mark.parametrize("group", [None, 8])
def test_act_order_is_the_order_by_hand(group):
    weights, quantized, plain = streams()
    order = quantized.square().sum(1).argsort(descending=True)
    rounding = Rounding(bits=3, group=group, static=True)
    found = solve(weights, gathered(quantized, plain), rounding, Solver(alpha1=0.25, act_order=True))
    scale, _ = (each.repeat_interleave(found.group, 1) for each in (found.scale, found.zero))
    statistics = gathered(quantized[order], plain[order])
    by_hand = _with_scales(weights[:, order], statistics, scale[:, order])
    assert (found.codes[:, order] == by_hand).all()


def _with_scales(weights: Tensor, statistics: Statistics, scale: Tensor) -> Tensor:
    """GPTAQ with alpha 0.25, a given scale a column, in the order of the columns."""
    hessian = statistics.hessian + 0.01 * statistics.hessian.diagonal().mean() * torch.eye(
        INPUTS, dtype=torch.float64
    )
    now, codes = weights.clone(), torch.empty(weights.shape, dtype=torch.int16)
    for q in range(INPUTS):
        value = now[:, q].clone()
        level = torch.round(value / scale[:, q]).clamp(-4, 3)
        codes[:, q] = level
        reduced, rest = torch.linalg.inv(hessian[q:, q:]), torch.linalg.inv(hessian[q + 1 :, q + 1 :])
        error = (level * scale[:, q] - value) / reduced[0, 0]
        now[:, q + 1 :] += torch.outer(error, reduced[0, 1:])
        now[:, q + 1 :] += 0.25 * torch.outer(value, statistics.difference[q, q + 1 :] @ rest)
    return codes


@pytest.mark.parametrize("block", [4, 12, 24])
def test_scales_are_those_of_the_weights_when_their_group_comes(block):
    """The published code fits groups that are smaller than a block on weights from before the block."""
    weights, quantized, plain = streams()
    rounding = Rounding(bits=3, group=8)
    solver = Solver(alpha1=0.25, alpha2=0.25, carried="exact")
    one = solve(weights, gathered(quantized, plain), rounding, solver)
    other = solve(weights, gathered(quantized, plain), rounding, Solver(**vars(solver) | {"block": block}))
    torch.testing.assert_close(one.scale, other.scale)
    assert (one.codes == other.codes).all()
    fixed = solve(weights, gathered(quantized, plain), Rounding(bits=3, group=8, static=True), solver)
    torch.testing.assert_close(fixed.scale[:, :1], one.scale[:, :1])
    assert (fixed.scale[:, 1:] != one.scale[:, 1:]).any()


def test_dead_inputs_are_zero_and_change_nothing():
    weights, quantized, plain = streams()
    quantized[3], plain[3] = 0, 0
    found = solve(weights, gathered(quantized, plain), Rounding(bits=3), Solver(alpha1=0.25, alpha2=0.25))
    assert not found.codes[:, 3].any()
    others = [n for n in range(INPUTS) if n != 3]
    without = Statistics(INPUTS - 1)
    without.add(quantized[others].T, plain[others].T)
    mean = without.hessian.diagonal().mean()
    damping = 0.01 * (without.hessian.diagonal().sum() + 1) / INPUTS / mean  # the dead one counts as 1
    solver = Solver(alpha1=0.25, alpha2=0.25, damping=damping.item())
    weights[:, 3] = 0
    assert (
        solve(weights[:, others], without, Rounding(bits=3), solver).codes == found.codes[:, others]
    ).all()


def test_mistakes_are_named():
    weights, quantized, plain = streams()
    statistics = gathered(quantized, plain)
    with pytest.raises(InputError, match="group"):
        solve(weights, statistics, Rounding(group=7), Solver())
    with pytest.raises(InputError, match="weights"):
        solve(weights[:, :4], statistics, Rounding(), Solver())
    few = Statistics(INPUTS)
    few.add(quantized.T[:5])
    with pytest.raises(InputError, match="damping"):
        solve(weights, few, Rounding(), Solver(damping=0.0))
    with pytest.raises(InputError, match="bits"):
        Rounding(bits=1)
    with pytest.raises(InputError, match="alpha"):
        Solver(from_optimum=True, alpha1=0.25)
    with pytest.raises(InputError, match="inputs"):
        statistics.add(torch.full((2, INPUTS), float("nan")))
    with pytest.raises(InputError, match="plain"):
        statistics.add(quantized.T, plain.T[:3])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_levels_hold_the_range(symmetric, bits):
    weights, _, _ = streams()
    grid = Rounding(bits=bits, symmetric=symmetric).fit(weights)
    values = grid.values(grid.codes(weights))
    assert ((values - weights).abs() <= grid.scale * (0.5 + 1e-9) + 0 * weights).all()
    assert grid.codes(torch.zeros_like(weights)).eq(grid.zero).all()


def test_a_clip_never_costs_error():
    weights, _, _ = streams()
    weights[0, 0] = 40.0
    plain, clipped = Rounding(bits=3).fit(weights), Rounding(bits=3, clip_search=True).fit(weights)

    def error(grid) -> Tensor:
        return (grid.values(grid.codes(weights)) - weights).abs().pow(2.4).sum(1)

    assert (error(clipped) <= error(plain)).all()
    assert (clipped.scale < plain.scale).any()
