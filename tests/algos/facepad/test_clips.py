"""Clips, motion between their frames, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from algos.facepad.clips import read_clip, write_clip
from algos.facepad.motion import ESTIMATORS, flow, flow_colours
from sim.errors import InputError

pytest.importorskip("cv2")


def blobs(seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 [64, 80, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((80, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_flow_of_a_known_shift(estimator: str) -> None:
    picture = blobs()
    found = flow(picture, np.roll(picture, (2, 3), (0, 1)), estimator)
    assert found.shape == (64, 80, 2)
    inner = found[16:-16, 16:-16].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), (3, 2), atol=0.3)


def test_still_clips_are_white() -> None:
    colours = flow_colours(np.stack([blobs()] * 3))
    assert colours.shape == (2, 64, 80, 3)
    assert (colours > 250).all()


def test_there_and_back(tmp_path: Path) -> None:
    frames = np.stack([blobs(), blobs()[::-1]])
    write_clip(tmp_path / "clip.avi", frames)
    found = read_clip(tmp_path / "clip.avi", least=2)
    assert found.shape == frames.shape
    assert np.abs(found.astype(int) - frames).mean() < 8
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number}.png")
    assert np.array_equal(read_clip(tmp_path / "frames"), frames)


def test_a_clip_of_one_frame(tmp_path: Path) -> None:
    write_clip(tmp_path / "one.avi", blobs()[None])
    with pytest.raises(InputError, match=r"has 1 frames.*motion is between two"):
        read_clip(tmp_path / "one.avi", least=2)
    with pytest.raises(InputError, match="has no motion"):
        flow_colours(blobs()[None])


def test_codecs_that_are_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"codec = 'ZZZZ'.*use MJPG in .avi"):
        write_clip(tmp_path / "clip.avi", np.stack([blobs()]), codec="ZZZZ")
    (tmp_path / "clip.mp4").write_bytes(b"no video at all")
    with pytest.raises(InputError, match="a codec that this build lacks"):
        read_clip(tmp_path / "clip.mp4")


def test_what_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_clip(tmp_path / "none.avi")
    with pytest.raises(InputError, match="holds no pictures"):
        read_clip(tmp_path)
    for number, size in enumerate(((4, 4), (4, 5))):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    with pytest.raises(InputError, match="several sizes"):
        read_clip(tmp_path)
    with pytest.raises(InputError, match="use 'dis'"):
        flow(blobs(), blobs(), "diss")
    with pytest.raises(InputError, match="have no flow"):
        flow(blobs(), blobs()[:8])
