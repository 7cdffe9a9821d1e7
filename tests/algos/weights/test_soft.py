"""Soft assignments: ratios, reconstruction, penalties, confirmation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from algos.weights.soft import SoftAssignment, inverse_distance_logits, uniform_logits


def example(
    rows: int = 40, n: int = 3, k: int = 12, d: int = 4, seed: int = 0
) -> tuple[SoftAssignment, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack([torch.randperm(k, generator=generator)[:n] for _ in range(rows)])
    soft = SoftAssignment(drawn, torch.randn(rows, n, generator=generator))
    return soft, torch.randn(k, d, generator=generator)


def mixture(soft: SoftAssignment, codebook: Tensor) -> Tensor:
    """The same sum in float64, one sub-vector and one candidate at a time."""
    out = torch.zeros(len(soft.code), codebook.shape[1], dtype=torch.float64)
    for row in range(len(soft.code)):
        weights = soft.logits.detach()[row].double().exp()
        for weight, candidate in zip(weights / weights.sum(), soft.candidates[row], strict=True):
            out[row] += weight * codebook[candidate].double()
        if soft.confirmed[row]:
            out[row] = codebook[soft.code[row]].double()
    return out


def test_inverse_distance_vector() -> None:
    logits = inverse_distance_logits(torch.tensor([[1.0, 2.0]]))
    assert logits[0].tolist() == pytest.approx([torch.tensor(2 / (1 + 1e-5)).log().item(), 0])
    assert logits.softmax(1)[0].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-5)
    ratios = inverse_distance_logits(torch.tensor([[0.5, 1.0, 4.0], [0.0, 0.0, 0.0]])).softmax(1)
    assert ratios[0].tolist() == pytest.approx([8 / 13, 4 / 13, 1 / 13], abs=1e-4)
    assert ratios[1].tolist() == pytest.approx([1 / 3] * 3)
    assert uniform_logits(torch.ones(2, 4)).softmax(1).unique().tolist() == [0.25]
    assert inverse_distance_logits(torch.tensor([[3.0]])).tolist() == [[0]]


def test_ratios_lie_in_the_simplex_and_mix_candidates() -> None:
    soft, codebook = example()
    ratios = soft.ratios()
    assert (ratios >= 0).all()
    torch.testing.assert_close(ratios.sum(1), torch.ones(40))
    torch.testing.assert_close(soft(codebook).double(), mixture(soft, codebook), atol=1e-6, rtol=1e-6)
    soft.confirm_top(0.4)
    torch.testing.assert_close(soft(codebook).double(), mixture(soft, codebook), atol=1e-6, rtol=1e-6)


def test_gradients_of_logits_and_codebook() -> None:
    soft, codebook = example(rows=6)
    soft.confirm_top(0.5)
    soft, codebook = soft.double(), codebook.double().requires_grad_()
    weights = torch.arange(24.0, dtype=torch.float64).reshape(6, 4).sin()
    (soft(codebook) * weights).sum().backward()
    assert soft.logits.grad is not None
    assert codebook.grad is not None
    step = 1e-6
    for tensor, gradient in ((soft.logits.data, soft.logits.grad), (codebook.data, codebook.grad)):
        for place in range(tensor.numel()):
            values = []
            for sign in (1, -1):
                tensor.view(-1)[place] += sign * step
                values.append((mixture(soft, codebook.detach()) * weights).sum())
                tensor.view(-1)[place] -= sign * step
            assert float(gradient.flatten()[place]) == pytest.approx(
                float(values[0] - values[1]) / 2 / step, abs=1e-8
            )
    assert (soft.logits.grad[soft.confirmed] == 0).all()


@pytest.mark.parametrize(
    ("ratios", "quadratic", "absolute"),
    [([0.5, 0.5], 0.5, 2.0), ([1.0, 0.0], 0.0, 0.0), ([0.75, 0.25], 0.375, 1.0)],
)
def test_penalty_vectors(ratios, quadratic, absolute) -> None:
    """VQ4DiT eq. 9 sums over the candidates of a sub-vector: 1 - |2 * 0.75 - 1| is 0.5, twice."""
    soft = SoftAssignment(torch.tensor([[0, 1]]), torch.tensor([ratios]).log().clamp(min=-200))
    assert soft.quadratic_penalty().item() == pytest.approx(quadratic, abs=1e-6)
    assert soft.absolute_penalty().item() == pytest.approx(absolute, abs=1e-6)


def test_penalties_look_at_open_ones_only() -> None:
    soft = SoftAssignment(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[9.0, 0.0], [0.0, 0.0]]))
    soft.confirm(0.99)
    assert soft.confirmed.tolist() == [True, False]
    assert (soft.quadratic_penalty().item(), soft.absolute_penalty().item()) == (0.5, 2.0)
    soft.confirm_top(1)
    assert (soft.quadratic_penalty().item(), soft.absolute_penalty().item()) == (0, 0)


def test_threshold_is_exceeded_not_reached() -> None:
    soft = SoftAssignment(torch.tensor([[4, 7], [4, 7]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    soft.confirm(0.5)
    assert soft.confirmed.tolist() == [False, True]
    assert int(soft.code[1]) == 7


def test_the_most_certain_come_first() -> None:
    soft, codebook = example()
    certainty = soft.logits.detach().softmax(1).amax(1)
    counts = []
    for fraction in (0.0, 0.25, 0.25, 0.5, 0.1, 1.0):
        soft.confirm_top(fraction)
        counts.append(int(soft.confirmed.sum()))
        if 0 < counts[-1] < 40:
            assert certainty[soft.confirmed].min() > certainty[~soft.confirmed].max()
    assert counts == [0, 10, 10, 20, 20, 40]
    best = soft.candidates[torch.arange(40), soft.logits.argmax(1)]
    assert torch.equal(soft.code, best)
    assert torch.equal(soft(codebook), codebook[soft.code])  # to the bit


def test_momentum_moves_nothing_that_is_confirmed() -> None:
    soft, codebook = example()
    optimizer = torch.optim.SGD(soft.parameters(), lr=1.0, momentum=0.99)
    for step in range(6):
        optimizer.zero_grad()
        soft(codebook).square().sum().backward()
        optimizer.step()
        if step == 2:
            soft.confirm_top(0.5)
            confirmed, codes, values = soft.confirmed.clone(), soft.code.clone(), soft(codebook).detach()
    now = soft(codebook).detach()
    assert torch.equal(soft.code[confirmed], codes[confirmed])
    assert torch.equal(now[confirmed], values[confirmed])
    assert (now[~confirmed] != values[~confirmed]).any()
    soft.confirm(0.0)
    assert torch.equal(soft.code[confirmed], codes[confirmed])


def test_state_returns_from_a_checkpoint() -> None:
    soft, codebook = example()
    soft.confirm_top(0.5)
    other, _ = example(seed=1)
    other.load_state_dict(copy.deepcopy(soft.state_dict()))
    assert torch.equal(other(codebook), soft(codebook))
    assert torch.equal(other.confirmed, soft.confirmed)
