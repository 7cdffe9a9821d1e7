"""The neuron: known digits, what always holds of what it says, and a plain one in fractions beside it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algos.spikes.neuron import Neuron, accumulator_bits, decoded, encoded, fire
from sim.errors import InputError

QUARTERS = 4
"""theta: currents of the vectors are quarters."""

VECTORS = [
    ([1, 0, 1, 1], [1, 1, -1, 1], 0, 0.6875),
    ([0.5, 0, 0.5, 0.5], [1, -1, 1, -1], 1, 0.3125),
    ([0.75, -0.25, 0.75, 0], [1, 0, -1, 1], -1, 0.4375),
    ([-1, 0, 1, 1], [0, 0, 0, 0], -10, 0.0),
    ([0, 0, 0, 0], [0, 0, 0, 0], 0, 0.0),
]


@pytest.mark.parametrize(("currents", "digits", "left", "value"), VECTORS)
def test_known_digits(currents, digits, left, value):
    given_ = torch.tensor([int(QUARTERS * one) for one in currents])[:, None]
    said, rest = fire(given_, torch.tensor([QUARTERS]))
    assert said[:, 0].tolist() == digits
    assert rest.item() == QUARTERS * left
    assert decoded(said).item() == value


def plain_neuron(
    currents: list[int], theta: int, silent: int, signed: bool = False
) -> tuple[list[int], Fraction]:
    """In fractions, by value: what is left of the input's value so far, rounded to the digit's weight."""
    heard, said, spoken, digits = Fraction(0), Fraction(0), signed, []
    for t in range(1, len(currents) + silent + 1):
        if t <= len(currents):
            heard += Fraction(currents[t - 1], theta) / 2**t
        if t > silent:
            weight = Fraction(1, 2 ** (t - silent))
            left = heard - said
            digit = 1 if left >= weight / 2 else -1 if spoken and left <= -weight / 2 else 0
            said, spoken = said + digit * weight, spoken or digit == 1
            digits.append(digit)
    return digits, heard - said


TRAINS = st.tuples(
    st.integers(1, 60), st.integers(0, 3), st.lists(st.integers(-80, 80), min_size=1, max_size=10)
)


@given(TRAINS)
def test_equals_a_neuron_in_fractions(drawn):
    theta, silent, currents = drawn
    said, rest = fire(torch.tensor(currents)[:, None], torch.tensor([theta]), Neuron(silent=silent))
    digits, left = plain_neuron(currents, theta, silent)
    assert said[:, 0].tolist() == digits
    assert left == Fraction(rest.item(), theta * 2 ** (len(currents) + silent))
    nonzero = [digit for digit in digits if digit]
    assert not nonzero or nonzero[0] == 1
    assert decoded(said).item() >= 0


@given(TRAINS)
def test_a_signed_one_does_too(drawn):
    """Then the rest is below half a digit whatever sign the value has."""
    theta, silent, currents = drawn
    said, rest = fire(torch.tensor(currents)[:, None], torch.tensor([theta]), Neuron(silent), signed=True)
    digits, left = plain_neuron(currents, theta, silent, signed=True)
    assert said[:, 0].tolist() == digits
    assert left == Fraction(rest.item(), theta * 2 ** (len(currents) + silent))
    negated, _ = fire(-torch.tensor(currents)[:, None], torch.tensor([theta]), Neuron(silent), signed=True)
    assert torch.equal(negated, -said)
    if silent and 2 * max(map(abs, currents)) <= theta << silent:
        value = sum(Fraction(one, theta) / 2**t for t, one in enumerate(currents, 1))
        if abs(value) <= 1 - Fraction(1, 2 ** len(currents)):
            assert abs(left) <= Fraction(1, 2 ** (len(currents) + 1))


@given(TRAINS)
def test_a_bounded_input_leaves_at_most_half_a_digit(drawn):
    """|I| <= 2^Tc theta / 2, and a value between 0 and what all digits say."""
    theta, silent, currents = drawn
    bound = theta * 2**silent // 2
    currents = [max(-bound, min(bound, one)) for one in currents]
    steps = len(currents)
    value = sum(Fraction(one, theta) / 2**t for t, one in enumerate(currents, 1))
    said, _ = fire(torch.tensor(currents)[:, None], torch.tensor([theta]), Neuron(silent=silent))
    if silent and 0 <= value <= 1 - Fraction(1, 2**steps):
        prefixes = [
            sum(Fraction(one, theta) / 2**t for t, one in enumerate(currents[:n], 1))
            for n in range(steps + 1)
        ]
        if min(prefixes) >= 0:  # else it may have spoken of what was taken back before
            assert abs(value - Fraction(decoded(said).item())) <= Fraction(1, 2 ** (steps + 1))


@given(TRAINS)
def test_no_charge_is_wider_than_the_bound(drawn):
    theta, silent, currents = drawn
    most = max(map(abs, currents))
    bits = accumulator_bits(theta, most, len(currents), silent)
    for sign in (1, -1):
        charge, worst = 0, 0
        for one in [sign * most] * len(currents) + [0] * silent:
            charge = 2 * charge + one
            worst = max(worst, abs(charge))
        assert worst < 2 ** (bits - 1)
    assert theta << silent < 2 ** (bits - 1)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=5), st.integers(1, 12))
def test_input_digits_are_the_nearest_value(values, steps):
    digits = encoded(torch.tensor(values, dtype=torch.float64), steps, signed=True)
    said = decoded(digits)
    assert (digits.amin(0) >= -1).all()
    assert (digits.amin(0) * digits.amax(0) >= 0).all()
    most = 2**steps - 1
    best = [max(-most, min(round(value * 2**steps), most)) / 2**steps for value in values]
    assert (said - torch.tensor(values, dtype=torch.float64)).abs().max() <= max(
        abs(value - one) for value, one in zip(values, best, strict=True)
    ) + 1e-12


def test_values_without_a_sign():
    with pytest.raises(InputError, match="values"):
        encoded(torch.tensor([-0.1]), 4)
    with pytest.raises(InputError, match="with a sign say -1 to 1"):
        encoded(torch.tensor([-1.1]), 4, signed=True)
    with pytest.raises(InputError, match="negative"):
        fire(torch.ones(4, 1), torch.ones(1), Neuron(negative=False), signed=True)
    with pytest.raises(InputError, match="silent"):
        Neuron(silent=9)


def error(steps: int, neuron: Neuron) -> tuple[float, float]:
    """Relative L2 error of the last layer of a random net of 8 layers of 256 against floats, and spikes a neuron."""
    random = np.random.default_rng(0)
    weights = [random.normal(0, np.sqrt(2 / 256), (256, 256)) for _ in range(8)]
    plain = random.random((400, 256))
    digits, spikes = encoded(torch.from_numpy(plain), steps), 0
    for weight in weights:
        made = np.maximum(plain @ weight.T, 0)
        scale = np.quantile(made[made > 0], 0.999)
        theta = 1 << 12
        whole = torch.from_numpy(np.round(weight / scale * theta))
        currents = (digits.to(torch.float64) @ whole.T).to(torch.int64)
        digits, _ = fire(currents, torch.tensor([theta]), neuron)
        plain, spikes = np.minimum(made / scale, 1), spikes + int(digits.count_nonzero())
    said = decoded(digits).numpy()
    return float(np.linalg.norm(said - plain) / np.linalg.norm(plain)), spikes / (8 * 400 * 256)


def test_the_table_of_errors():
    """One silent step is worth a quantized network; none is not, nor are spikes without a sign."""
    found = {steps: error(steps, Neuron())[0] for steps in (4, 6, 8)}
    assert found[4] == pytest.approx(0.15, abs=0.05)
    assert found[8] < 0.05
    assert found[8] < found[6] < found[4]
    assert error(6, Neuron(silent=0))[0] > 4 * found[6]
    assert error(6, Neuron(negative=False, half=False))[0] > 4 * found[6]
    assert abs(error(6, Neuron(silent=2))[0] - found[6]) < 0.01
