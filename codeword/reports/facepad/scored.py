"""The scores of a row as presentations, of attack types that the training saw and of others."""

from __future__ import annotations

from typing import Any

import numpy as np

from algos.facepad.metrics import Scored
from algos.facepad.samples import GENUINE

BASELINE, TEACHER, STUDENT, DISTILLED = "frequency baseline", "teacher", "student", "distilled student"
"""What is trained and judged, by the name of its rows."""

SETS = ("held out", "known", "all")
"""Attack types of the test set: those that training and development never saw, those they did, both."""


def development(found: dict[str, Any], row: dict[str, Any]) -> Scored:
    """Where the threshold comes from."""
    return _scored(row["scores"]["development"], found["kinds"]["development"], lambda kind: True)


def presented(found: dict[str, Any], row: dict[str, Any], attacks: str = "held out") -> Scored:
    """Clips of people that no other set shows.

    Args:
        attacks: one of SETS.
    """
    kinds, known = found["kinds"]["test"], found["known"]
    wanted = {kind for kind in kinds if attacks == "all" or (kind in known) == (attacks == "known")}
    return _scored(row["scores"]["test"], kinds, lambda kind: kind == GENUINE or kind in wanted)


def _scored(scores: list[float], kinds: list[str], wanted: Any) -> Scored:
    kept = [(score, kind) for score, kind in zip(scores, kinds, strict=True) if wanted(kind)]
    names = [kind for _, kind in kept]
    return Scored(np.array([score for score, _ in kept]), np.array([k == GENUINE for k in names]), names)
