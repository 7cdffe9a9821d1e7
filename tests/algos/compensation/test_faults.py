"""What is known to be wrong in published code is not so here, and the solver against a GPTQ written apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from algos.compensation import Activations, Rounding, Solver, Statistics, compensate, solve
from sim.errors import InputError
from tests.algos.compensation.test_solve import gathered, streams


def textbook(weights: Tensor, inputs: Tensor, bits: int, group: int, damping: float = 0.01) -> Tensor:
    """GPTQ (arXiv 2210.17323, algorithm 1) by Gaussian elimination of the inverse, a column at a time, scales of
    each group fitted when it comes.

    Args:
        inputs: [n, samples].
    """
    hessian = inputs @ inputs.T
    hessian += damping * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=hessian.dtype)
    inverse, now, found = torch.linalg.inv(hessian), weights.clone(), torch.empty_like(weights)
    top = 2 ** (bits - 1) - 1
    for column in range(weights.shape[1]):
        if column % group == 0:
            scale = now[:, column : column + group].abs().amax(1) / top
        found[:, column] = torch.round(now[:, column] / scale).clamp(-top - 1, top) * scale
        error = (now[:, column] - found[:, column]) / inverse[column, column]
        now = now - torch.outer(error, inverse[column])
        inverse = inverse - torch.outer(inverse[:, column], inverse[column]) / inverse[column, column]
        inverse[column, column] = 1.0  # eliminated: nothing reaches it any more
    return found


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("group", [8, 24])
def test_a_gptq_written_apart_has_the_same_error(bits, group):
    weights, inputs, _ = streams()
    wanted = textbook(weights, inputs, bits, group)
    found = solve(weights, gathered(inputs, None), Rounding(bits, group=group), Solver(block=5)).weights()
    torch.testing.assert_close(found, wanted)
    errors = [float(((one - weights) @ inputs).square().sum()) for one in (found, wanted)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-9)


class Shared(nn.Module):
    """Three layers that read one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(24, 5, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.q(x) + self.k(x) + self.v(x)


@pytest.mark.parametrize("act_order", [False, True])
@torch.no_grad()
def test_second_moments_that_layers_share_are_damped_once(act_order):
    """Published code without act-order damps the one matrix again for every layer that reads it."""
    weights, inputs, _ = streams()
    module = Shared().double()
    for layer in (module.q, module.k, module.v):
        layer.weight.copy_(weights)
    solver = Solver(damping=0.3, act_order=act_order)
    found = compensate(module, [inputs.T], Rounding(3), solver, include="*", dtype=torch.float64)
    codes = [found[name].groups[0].codes for name in ("q", "k", "v")]
    assert codes[0].equal(codes[1])
    assert codes[0].equal(codes[2])
    again = Statistics(24)
    again.add(inputs.T)
    again.hessian.diagonal().add_(0.3 * again.hessian.diagonal().mean())
    assert not solve(weights, again, Rounding(3), solver).codes.equal(codes[0])  # the fault would be seen


def test_groups_smaller_than_a_block_have_fresh_scales():
    """Published code fits them on weights from before the block, so that they depend on its size."""
    weights, inputs, plain = streams()
    statistics, solver = gathered(inputs, plain), {"alpha1": 0.25, "carried": "exact"}
    found = [solve(weights, statistics, Rounding(3, group=8), Solver(block=n, **solver)) for n in (8, 24)]
    torch.testing.assert_close(found[0].scale, found[1].scale)
    stale = torch.stack([weights[:, n : n + 8].abs().amax(1) / 3 for n in (0, 8, 16)], 1)
    assert (found[1].scale[:, 1:] != stale[:, 1:]).all()


def test_static_scales_are_of_the_given_weights_in_their_order():
    weights, inputs, _ = streams()
    rounding = Rounding(3, group=8, static=True)
    found = solve(weights, gathered(inputs, None), rounding, Solver(act_order=True))
    expected = torch.stack([weights[:, n : n + 8].abs().amax(1) / 3 for n in (0, 8, 16)], 1)
    torch.testing.assert_close(found.scale, expected)


@pytest.mark.parametrize("clip", [0.9, 1.0])
def test_inputs_are_rounded_token_by_token(clip):
    values = torch.randn(3, 5, 16, dtype=torch.float64)
    values[0, 0] = 0
    values[1, 1] = values[1, 1].abs() + 1
    found = Activations(4, clip).rounded(values)
    for token, rounded in zip(values.flatten(0, 1), found.flatten(0, 1), strict=True):
        low, high = clip * min(token.min(), 0), clip * max(token.max(), 0)
        step = (high - low) / 15
        assert len(rounded.unique()) <= 16
        if step == 0:
            assert not rounded.any()
            continue
        inside = (token >= low) & (token <= high)
        assert ((token - rounded).abs()[inside] <= 1.5 * step + 1e-12).all()  # the zero point is rounded too
        assert (rounded / step - (rounded / step).round()).abs().max() < 1e-9


@torch.no_grad()
def test_weights_are_chosen_on_rounded_inputs_and_layers_go_on_reading_them():
    weights, inputs, _ = streams()
    module = nn.Sequential(nn.Linear(24, 5, bias=False)).double()
    module[0].weight.copy_(weights)
    how = Activations(3)
    found = compensate(
        module, [inputs.T], Rounding(3), Solver(alpha1=1.0), include="*", activations=how, dtype=torch.float64
    )
    statistics = Statistics(24)
    statistics.add(how.rounded(inputs.T), inputs.T)
    wanted = solve(weights, statistics, Rounding(3), Solver(alpha1=1.0))
    assert found["0"].groups[0].codes.equal(wanted.codes)
    torch.testing.assert_close(module(inputs.T), how.rounded(inputs.T) @ wanted.weights().T)


@pytest.mark.parametrize(("options", "named"), [((1,), "activations = 1"), ((4, 0.0), "clip = 0.0")])
def test_inputs_that_cannot_be_rounded_so(options, named):
    with pytest.raises(InputError, match=named):
        Activations(*options)
