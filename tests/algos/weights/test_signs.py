"""Straight-through signs and iterative freezing (SSVQ), against plain Python."""

from __future__ import annotations

from dataclasses import replace
from math import cos, inf, pi

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from algos.weights.codebook import Codebook
from algos.weights.grouping import group
from algos.weights.signs import Freezer, Freezing, SignedWeight, sign
from sim.errors import InputError

ALWAYS = Freezing(interval=4, momentum=0.2, start=0.15, end=0.1, warm_up=0.0)


def signed(freezing: Freezing | None = None) -> SignedWeight:
    """One codeword (0.5, 0.25), two members with signs (+,-) and (-,+)."""
    book = Codebook(torch.tensor([[0.5, 0.25]]), low=0)
    book.log_scale.data.fill_(torch.tensor(0.25 / 32).log())  # both are multiples of it
    latent = torch.tensor([[0.3, -0.2], [-0.4, 0.1]])
    return SignedWeight(book, torch.tensor([0, 0]), latent, torch.Size((2, 2)), freezing)


def test_sign_of_zero_is_plus_and_the_gradient_passes() -> None:
    x = torch.tensor([-2.0, -0.0, 0.0, 5.0], requires_grad=True)
    assert sign(x).tolist() == [-1, 1, 1, 1]
    (sign(x) * torch.tensor([1.0, 2, 3, 4])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 2, 3, 4]


def test_gradients_of_magnitudes_and_latents() -> None:
    """Member gradients (1, -2) and (3, 4): dL/dc = (1-3, 2+4); dL/dL_s = dL/dW_q o c."""
    weight = signed()
    assert weight.vectors().tolist() == [[0.5, -0.25], [-0.5, 0.25]]
    (weight.vectors() * torch.tensor([[1.0, -2], [3, 4]])).sum().backward()
    assert weight.codebook.codewords.grad is not None
    assert weight.latent.grad is not None
    assert weight.codebook.codewords.grad.tolist() == [[-2, 6]]
    assert weight.latent.grad.tolist() == [[0.5, -0.5], [1.5, 1.0]]


def test_frozen_signs_take_no_gradient_and_hold_against_their_latent() -> None:
    weight = signed(ALWAYS)
    assert weight.freezer is not None
    weight.freezer.frozen[0, 1] = True
    weight.latent.data[:] = 1.0
    assert weight.signs().tolist() == [[1, -1], [1, 1]]
    weight.vectors().sum().backward()
    assert weight.latent.grad is not None
    assert weight.latent.grad.tolist() == [[0.5, 0], [0.5, 0.25]]


def test_oscillation_frequency() -> None:
    """Signs + - + -: the first flip is no reversal; f = 0, 0, 0.01, 0.0199."""
    freezer = Freezer(Freezing(momentum=0.01), torch.ones(1, 1))
    seen = []
    for done, value in enumerate((1.0, -1, 1, -1), 1):
        freezer.observe(torch.tensor([[float(value)]]), done, 100)
        seen.append(float(freezer.frequency))
    assert seen == pytest.approx([0, 0, 0.01, 0.0199])


def test_threshold_falls_as_a_cosine_after_the_warm_up() -> None:
    rule = Freezing(end=0.01)
    assert [rule.threshold(p) for p in (0.0, 0.2499)] == [inf, inf]
    assert [rule.threshold(p) for p in (0.25, 0.625, 1.0)] == pytest.approx([0.1, 0.055, 0.01])
    assert rule.threshold(0.5) == pytest.approx(0.01 + 0.045 * (1 + cos(pi / 3)))


def test_momentum_and_last_threshold_follow_the_interval() -> None:
    """A short training examines more often, and remembers as many examinations."""
    usual, short = Freezing(), Freezing(interval=25)
    assert (usual.momentum, usual.end) == pytest.approx((0.001, 0.0025))
    assert (short.momentum, short.end) == pytest.approx((0.02, 0.05))
    assert replace(short, momentum=0.1).end == pytest.approx(0.05)  # what was decided stays


def plain(history: np.ndarray, start: np.ndarray, rule: Freezing, total: int) -> tuple[list, list]:
    """What the freezer must do, one sign at a time: its values and when it froze."""
    values, times = [], []
    for column, first in zip(history.T, start, strict=True):
        before, had_flipped, frequency, votes, average = first, False, 0.0, [first], float(first)
        frozen, row = None, []
        for t, proposed in enumerate(column, 1):
            now = proposed if frozen is None else frozen
            flip = now != before
            frequency = rule.momentum * (flip and had_flipped) + (1 - rule.momentum) * frequency
            had_flipped, before = had_flipped or flip, now
            votes.append(now)
            average = rule.momentum * now + (1 - rule.momentum) * average
            if frozen is None and t % rule.interval == 0 and frequency > rule.threshold(t / total):
                majority = 1 if votes.count(1) >= votes.count(-1) else -1
                frozen = majority if rule.vote == "majority" else (1 if average >= 0 else -1)
                times.append(t)
            row.append(now if frozen is None else frozen)
        values.append(row)
    return np.array(values).T.tolist(), sorted(times)


@given(
    seed=st.integers(0, 10_000),
    vote=st.sampled_from(["majority", "average"]),
    interval=st.integers(1, 6),
    warm_up=st.sampled_from([0.0, 0.5]),
)
def test_freezing_is_that_of_a_plain_loop(seed: int, vote: str, interval: int, warm_up: float) -> None:
    rng = np.random.default_rng(seed)
    total, signs = 24, 12
    calm = rng.random(signs)  # how seldom a sign flips
    history = np.where(rng.random((total, signs)) < calm, 1, -1)
    start = np.where(rng.random(signs) < 0.5, 1, -1)
    rule = replace(ALWAYS, vote=vote, interval=interval, warm_up=warm_up)  # type: ignore[arg-type]
    freezer, found, counts, times = Freezer(rule, torch.tensor(start)[None].float()), [], [0], []
    for t, row in enumerate(history, 1):
        freezer.observe(freezer(torch.tensor(row)[None].float()), t, total)
        found.append(freezer(torch.tensor(row)[None].float())[0].tolist())
        counts.append(int(freezer.frozen.sum()))
        times += [t] * (counts[-1] - counts[-2])
    expected, expected_times = plain(history, start, rule, total)
    assert found == expected
    assert times == expected_times
    assert (np.diff(counts) >= 0).all()


def test_votes_differ_between_majority_and_average() -> None:
    """Long +, then mostly -: the majority is +, the moving average -; an even vote is +."""
    history = [1.0] * 12 + [-1, 1, -1, 1, -1, -1, -1, -1]
    found = {}
    for vote in ("majority", "average"):
        freezer = Freezer(replace(ALWAYS, vote=vote, interval=20), torch.ones(1, 1))  # type: ignore[arg-type]
        for done, value in enumerate(history, 1):
            freezer.observe(torch.tensor([[float(value)]]), done, 20)
        assert freezer.frozen.all()
        found[vote] = float(freezer(torch.full((1, 1), -1.0)))
    assert found == {"majority": 1, "average": -1}
    freezer = Freezer(replace(ALWAYS, interval=5), torch.ones(1, 1))
    for done, value in enumerate((-1.0, 1, -1, 1, -1), 1):
        freezer.observe(torch.tensor([[float(value)]]), done, 5)
    assert float(freezer.tally) == 0
    assert freezer.frozen.all()
    assert float(freezer(torch.full((1, 1), -1.0))) == 1


def test_magnitudes_stay_at_or_above_zero() -> None:
    weight = signed()
    weight.codebook.codewords.data[0, 0] = -3.0
    weight.after_step(1, 10)
    assert weight.codebook.codewords.tolist() == [[0, 0.25]]


def random_weight(seed: int, d: int, latent: Tensor | None = None) -> SignedWeight:
    generator = torch.Generator().manual_seed(seed)
    shape = torch.Size((2 * d, 3, 3, 3))
    codebook = Codebook(torch.randn(6, d, generator=generator).abs(), low=0)
    latent = torch.randn(54, d, generator=generator) if latent is None else latent
    return SignedWeight(codebook, torch.randint(0, 6, (54,), generator=generator), latent, shape)


@given(seed=st.integers(0, 100), d=st.sampled_from([1, 2, 8, 16]))
def test_stored_weight_is_codebook_times_sign_in_int8(seed: int, d: int) -> None:
    weight = random_weight(seed, d)
    stored = weight.stored()
    decoded = group(torch.from_numpy(stored.decode()).float(), d)
    magnitudes = torch.from_numpy(weight.codebook.integers()).float()[weight.assignments]
    assert torch.equal(decoded.abs(), magnitudes)
    assert torch.equal(decoded, torch.where(weight.latent.detach() < 0, -magnitudes, magnitudes))
    assert stored.decode().min() >= -127
    real = weight(torch.empty(0)).detach()
    np.testing.assert_allclose(stored.decode() * weight.scales()[:, None, None, None], real, atol=1e-6)
    assert stored.format == "ssvq"


def test_bad_rules() -> None:
    with pytest.raises(InputError, match="vote = 'dice'"):
        Freezing(vote="dice")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="interval = 0"):
        Freezing(interval=0)
    with pytest.raises(InputError, match=r"momentum = 1\.0"):
        Freezing(momentum=1.0)
