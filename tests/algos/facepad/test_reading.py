"""Clips on disk become samples: frames, colours of motion, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from algos.facepad import detector
from algos.facepad.clips import write_clip
from algos.facepad.networks import ATTACK, REAL
from algos.facepad.protocols import Presentation
from algos.facepad.reading import around_the_first_face, centre, samples
from sim.errors import InputError
from tests.algos.facepad.faces import background

pytest.importorskip("cv2")


def moving(path: Path, frames: int) -> Path:
    """A picture that moves 4 pixels to the right a frame."""
    picture = background()[:64, :96]
    write_clip(path, np.stack([np.roll(picture, 4 * number, 1) for number in range(frames)]))
    return path


def test_samples_of_clips(tmp_path: Path) -> None:
    clips = [
        Presentation(moving(tmp_path / "a.avi", 6), "1", "real"),
        Presentation(moving(tmp_path / "b.avi", 2), "1", "print"),
    ]
    found = samples(clips, 32, 3, crop=centre, limit=4)
    assert found.pixels.shape == found.flow.shape == (4, 3, 32, 32)
    assert found.labels.tolist() == [REAL, REAL, REAL, ATTACK]
    assert found.clips.tolist() == [0, 0, 0, 1]
    assert found.kinds == ("real", "print")
    red, green, blue = np.median(found.flow[:, :, 8:-8, 8:-8].flatten(2).numpy(), 2).T
    assert (red < 200).all()  # to the right is cyan
    assert (np.minimum(green, blue) > 230).all()


def test_the_first_face_is_cut_out_of_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.stack([background()[:60, :60]] * 2)
    monkeypatch.setattr(detector, "faces", lambda frame: np.array([[20.0, 20, 30, 40, 0.99]]))
    found = around_the_first_face(frames)
    assert found.shape == (2, 28, 28, 3)
    assert np.array_equal(found[1], frames[1, 16:44, 11:39])
    monkeypatch.setattr(detector, "faces", lambda frame: np.zeros((0, 5)))
    with pytest.raises(InputError, match="without a face"):
        around_the_first_face(frames)


def test_clips_that_give_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hold no frames"):
        samples([])
    with pytest.raises(InputError, match="has 1 frames"):
        samples([Presentation(moving(tmp_path / "one.avi", 1), "1", "real")], crop=centre)
