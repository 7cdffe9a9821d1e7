"""Synthetic presentations: repeatable, split by people and attacks, and flat where they say so."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("cv2")

from algos.facepad import synthetic
from algos.facepad.attacks import ATTACKS
from algos.facepad.motion import flow
from algos.facepad.networks import ATTACK, REAL
from algos.facepad.samples import GENUINE
from algos.facepad.synthetic import FRAMES, KNOWN, SPLITS, Plan, clip, split
from tests.algos.facepad.faces import background, drawn

KINDS = (GENUINE, *ATTACKS)


def made(kind: str, seed: int = 0) -> np.ndarray:
    return clip(drawn(seed), background(seed), kind, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_clips(kind: str) -> None:
    frames = made(kind)
    assert frames.shape == (FRAMES, 112, 112, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, made(kind))
    assert not np.array_equal(frames, made(kind, 1))
    assert frames.std() > 10
    assert not np.array_equal(frames[0], frames[1])


def unlike_a_plane(kind: str) -> float:
    """Motion, in pixels, that no affine map of the picture explains; mean of some clips."""
    y, x = (axis.ravel() for axis in np.mgrid[:112:4, :112:4])
    affine = np.stack((np.ones_like(x), x, y), 1)
    left = []
    for seed in range(6):
        frames = made(kind, seed)
        motion = flow(frames[0], frames[1])[::4, ::4].reshape(-1, 2)
        fitted = affine @ np.linalg.lstsq(affine, motion, rcond=None)[0]
        left.append(np.sqrt(((motion - fitted) ** 2).sum(1).mean()))
    return float(np.mean(left))


def test_flat_copies_move_as_planes() -> None:
    assert unlike_a_plane("matte print") < unlike_a_plane(GENUINE) / 2


def test_splits_share_nothing() -> None:
    plans = list(SPLITS.values())
    for one, other in pairwise(plans):
        assert one.people[1] <= other.people[0]
        assert one.share[1] <= other.share[0]
    for name in ("training", "development"):
        assert set(SPLITS[name].clips) == {GENUINE, *KNOWN}
    assert set(SPLITS["test"].clips) == set(KINDS)
    assert len(KNOWN) < len(ATTACKS)
    assert {ATTACKS[kind].instrument for kind in KNOWN} == {"print", "replay"}


def test_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "faces", lambda: np.stack([drawn(seed) for seed in range(3)]))
    monkeypatch.setattr(synthetic, "backgrounds", lambda: (background(0), background(1)))
    monkeypatch.setitem(SPLITS, "test", Plan((1, 3), (0.5, 1), {GENUINE: 2, "bent print": 1}))
    samples = split("test")
    assert samples.kinds == (GENUINE, GENUINE, "bent print") * 2
    assert samples.pixels.shape == samples.flow.shape == (12, 3, 112, 112)
    assert samples.labels.tolist() == [REAL, REAL, REAL, REAL, ATTACK, ATTACK] * 2
    assert samples.clips.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    again = split("test")
    assert (samples.pixels == again.pixels).all()
    assert (samples.flow == again.flow).all()
