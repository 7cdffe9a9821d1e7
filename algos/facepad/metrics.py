"""Errors of presentation attack detection (ISO/IEC 30107-3), from scores that are high for real faces.

A face is accepted where its score is at least the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError, nearest


@dataclass(frozen=True, eq=False)
class Scored:
    """Presentations and their scores.

    Attributes:
        scores: float [n].
        real: bool [n].
        kinds: attack type of each presentation; what it says of real ones does not count.
    """

    scores: np.ndarray
    real: np.ndarray
    kinds: Sequence[str]

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.real) == len(self.kinds):
            raise InputError(
                "scores",
                (len(self.scores), len(self.real), len(self.kinds)),
                "scores, classes and kinds are of different lengths",
                "give one of each a presentation",
            )
        if not np.isfinite(self.scores).all():
            raise InputError("scores", "NaN or infinity", "cannot be compared", "look at the network")
        if self.real.all() or not self.real.any():
            raise InputError(
                "labels",
                "all real" if self.real.all() else "all attacks",
                "one class has no error of the other",
                "give real faces and attacks",
            )


@dataclass(frozen=True)
class Errors:
    """Shares 0..1 at one threshold.

    Attributes:
        apcer: attacks accepted, of the attack type with most of them.
        far: attacks accepted, of all attacks.
        bpcer: real faces rejected, FRR.
        by_kind: attacks accepted, by type.
    """

    threshold: float
    apcer: float
    far: float
    bpcer: float
    by_kind: dict[str, float]

    @property
    def acer(self) -> float:
        """Mean of APCER and BPCER."""
        return (self.apcer + self.bpcer) / 2

    @property
    def hter(self) -> float:
        """Mean of FAR and FRR."""
        return (self.far + self.bpcer) / 2


@dataclass(frozen=True, eq=False)
class Curve:
    """Both errors at every threshold that tells scores apart, rising: float64 [points]."""

    thresholds: np.ndarray
    far: np.ndarray
    frr: np.ndarray

    @property
    def area(self) -> float:
        """Under the ROC: the chance that a real face scores higher than an attack."""
        return float(np.trapezoid(1 - self.frr[::-1], self.far[::-1]))


def errors(scored: Scored, threshold: float) -> Errors:
    """At a threshold."""
    accepted, kinds = scored.scores >= threshold, np.asarray(scored.kinds)
    by_kind = {
        str(kind): float(accepted[~scored.real & (kinds == kind)].mean())
        for kind in np.unique(kinds[~scored.real])
    }
    return Errors(
        float(threshold),
        max(by_kind.values()),
        float(accepted[~scored.real].mean()),
        float(1 - accepted[scored.real].mean()),
        by_kind,
    )


def curve(scored: Scored) -> Curve:
    """FAR and FRR from a threshold that accepts all to one that accepts none."""
    values = np.unique(scored.scores)
    between = (values[1:] + values[:-1]) / 2
    thresholds = np.concatenate(([values[0] - 1], between, [values[-1] + 1]))
    attacks, faces = np.sort(scored.scores[~scored.real]), np.sort(scored.scores[scored.real])
    return Curve(
        thresholds,
        1 - np.searchsorted(attacks, thresholds) / len(attacks),
        np.searchsorted(faces, thresholds) / len(faces),
    )


def eer(scored: Scored) -> tuple[float, float]:
    """Equal error rate and its threshold: where FAR and FRR are nearest to each other, their mean."""
    found = curve(scored)
    at = int(np.argmin(np.abs(found.far - found.frr)))
    return float((found.far[at] + found.frr[at]) / 2), float(found.thresholds[at])


def development_threshold(development: Scored, test: Scored) -> float:
    """Where FAR and FRR of the development set are equal: what a product can know."""
    return eer(development)[1]


def test_threshold(development: Scored, test: Scored) -> float:
    """Youden's, of the test set itself: optimistic, for figures of others that chose it so."""
    found = curve(test)
    return float(found.thresholds[np.argmin(found.far + found.frr)])


RULES: dict[str, Callable[[Scored, Scored], float]] = {
    "development": development_threshold,
    "test (optimistic)": test_threshold,
}


def judged(development: Scored, test: Scored, rule: str = "development") -> Errors:
    """Errors of the test set at the threshold of a rule.

    Raises:
        InputError: no such rule.
    """
    if rule not in RULES:
        raise InputError("rule", rule, "unknown", nearest(rule, RULES))
    return errors(test, RULES[rule](development, test))
