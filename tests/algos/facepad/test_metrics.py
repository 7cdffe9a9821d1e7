"""Errors of detection against counts by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algos.facepad.metrics import Scored, curve, eer, errors, judged
from sim.errors import InputError


def scored(real: list[float], **attacks: list[float]) -> Scored:
    kinds = ["real"] * len(real) + [kind for kind, of in attacks.items() for _ in of]
    scores = np.array(real + [score for of in attacks.values() for score in of])
    return Scored(scores, np.array([kind == "real" for kind in kinds]), kinds)


def test_errors_by_hand() -> None:
    of = scored([0.9, 0.8, 0.7, 0.2], paper=[0.1, 0.75], screen=[0.1, 0.2, 0.3, 0.4])
    found = errors(of, 0.7)
    assert found.by_kind == {"paper": 0.5, "screen": 0.0}
    assert (found.apcer, found.bpcer) == (0.5, 0.25)
    assert found.far == pytest.approx(1 / 6)
    assert found.acer == pytest.approx(0.375)
    assert found.hter == pytest.approx((1 / 6 + 0.25) / 2)


def test_perfect_scores() -> None:
    of = scored([0.8, 0.9], paper=[0.1, 0.3])
    assert eer(of)[0] == 0
    assert judged(of, of).hter == judged(of, of, "test (optimistic)").hter == 0
    assert curve(of).area == 1


def test_the_threshold_is_of_the_development_set() -> None:
    development = scored([0.8, 0.9], paper=[0.1, 0.3])
    test = scored([0.5, 0.9], paper=[0.1, 0.4])
    assert judged(development, test).threshold == pytest.approx(0.55)
    assert judged(development, test).hter == 0.25
    assert judged(development, test, "test (optimistic)").hter == 0


SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=20)


@given(SCORES, SCORES)
def test_curves_by_brute_force(real: list[float], attacks: list[float]) -> None:
    of = scored(real, paper=attacks)
    found = curve(of)
    for threshold, far, frr in zip(found.thresholds, found.far, found.frr, strict=True):
        assert far == pytest.approx(np.mean([score >= threshold for score in attacks]))
        assert frr == pytest.approx(np.mean([score < threshold for score in real]))
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in real for b in attacks])
    assert found.area == pytest.approx(wins)
    rate, threshold = eer(of)
    assert errors(of, threshold).hter == pytest.approx(rate)


@given(SCORES, SCORES)
def test_no_threshold_beats_the_tests_own(real: list[float], attacks: list[float]) -> None:
    of = scored(real, paper=attacks)
    best = judged(of, of, "test (optimistic)").hter
    assert all(best <= errors(of, threshold).hter + 1e-12 for threshold in np.arange(-1, 10, 0.5))


@pytest.mark.parametrize("real", [True, False])
def test_one_class_alone(real: bool) -> None:
    with pytest.raises(InputError, match="one class has no error of the other"):
        Scored(np.zeros(3), np.full(3, real), ["paper"] * 3)


def test_bad_scores_and_rules() -> None:
    with pytest.raises(InputError, match="NaN or infinity"):
        scored([np.nan], paper=[0.1])
    with pytest.raises(InputError, match="different lengths"):
        Scored(np.zeros(2), np.array([True]), ["real"])
    of = scored([1.0], paper=[0.0])
    with pytest.raises(InputError, match="use 'development'"):
        judged(of, of, "develpment")
