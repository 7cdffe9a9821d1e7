"""The selective scan against the recurrence, one number at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from algos.models.scan import selective_scan

BATCH, TOKENS, CHANNELS, STATES = 2, 7, 3, 4
NAMES = ("x", "delta", "a", "b", "c", "skip")


def operands(seed: int, tokens: int = TOKENS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return [
        normal(BATCH, tokens, CHANNELS),
        normal(BATCH, tokens, CHANNELS).exp(),
        -normal(CHANNELS, STATES).exp(),
        normal(BATCH, tokens, STATES),
        normal(BATCH, tokens, STATES),
        normal(CHANNELS),
    ]


def recurrence(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, reverse: bool
) -> Tensor:
    """As published, differentiated by autograd, with nothing in common with the code under test."""
    out = torch.zeros(x.shape, dtype=x.dtype)
    for i in range(BATCH):
        for channel in range(CHANNELS):
            h = torch.zeros(STATES, dtype=x.dtype)
            order = range(x.shape[1])
            for t in reversed(order) if reverse else order:
                h = (
                    torch.exp(delta[i, t, channel] * a[channel]) * h
                    + delta[i, t, channel] * x[i, t, channel] * b[i, t]
                )
                place = torch.zeros_like(out)
                place[i, t, channel] = 1
                out = out + place * (torch.dot(c[i, t], h) + skip[channel] * x[i, t, channel])
    return out


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("tokens", [1, 2, TOKENS])
def test_values_and_gradients(reverse: bool, tokens: int) -> None:
    ours = [v.requires_grad_() for v in operands(tokens, tokens)]
    exact = [v.detach().double().requires_grad_() for v in ours]
    found, expected = selective_scan(*ours, reverse), recurrence(*exact, reverse)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    (found * weights).sum().backward()
    (expected * weights.double()).sum().backward()
    for name, one, other in zip(NAMES, ours, exact, strict=True):
        torch.testing.assert_close(
            one.grad.double(), other.grad, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_two_tokens_by_hand() -> None:
    one = torch.ones(1, 2, 1)
    y = selective_scan(one * 3, one * math.log(2), -torch.ones(1, 1), one * 5, one * 7, torch.ones(1))
    step = math.log(2) * 3 * 5
    torch.testing.assert_close(y.flatten(), torch.tensor([7 * step + 3, 7 * (step / 2 + step) + 3]))


def test_reverse_is_the_scan_of_the_reversed_tokens() -> None:
    x, delta, a, b, c, skip = operands(3)
    backwards = selective_scan(*(v.flip(1) for v in (x, delta)), a, *(v.flip(1) for v in (b, c)), skip)
    torch.testing.assert_close(selective_scan(x, delta, a, b, c, skip, reverse=True), backwards.flip(1))


def test_full_forgetting_is_exact_and_finite() -> None:
    """Steps so long that exp(delta A) is 0: a form that divides by cumulated decays gives NaN."""
    x, delta, a, b, c, skip = operands(4)
    delta = (delta + 1e4).requires_grad_()
    y = selective_scan(x, delta, a, b, c, skip)
    torch.testing.assert_close(y, delta * x * (b * c).sum(-1, keepdim=True) + skip * x, rtol=1e-5, atol=1e-2)
    y.sum().backward()
    assert delta.grad.isfinite().all()


def test_autocast_does_not_narrow_it() -> None:
    ours = operands(5)
    exact = selective_scan(*ours)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(selective_scan(*ours), exact)
