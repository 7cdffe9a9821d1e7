"""Boxes by hand; faces of real pictures where the package index answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.facepad import detector
from algos.facepad.detector import _apart, _corrected, _square, _taken, square


def test_surer_boxes_win() -> None:
    boxes = torch.tensor(
        [[0, 0, 10, 10, 0.8], [1, 0, 11, 10, 0.9], [20, 0, 30, 10, 0.7]], dtype=torch.float64
    )
    assert _apart(boxes, 0.7)[:, 4].tolist() == [0.9, 0.7]  # 90 of 110 shared
    assert _apart(boxes, 0.85)[:, 4].tolist() == [0.9, 0.8, 0.7]


def test_boxes_are_corrected_and_squared() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 20]]).double()
    assert _corrected(boxes, torch.tensor([[0.125, 0.25, 0, -0.25]])).tolist() == [[1.25, 5, 10, 15]]
    assert _square(boxes).tolist() == [[-5.0, 0, 15, 20]]


def test_what_leaves_the_picture_is_grey() -> None:
    picture = torch.ones(1, 3, 4, 4)
    part = _taken(picture, torch.tensor([-1.0, 2, 3, 6]))
    assert part.shape == (1, 3, 4, 4)
    assert part[0, 0].tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_squares_around_faces() -> None:
    picture = np.arange(1, 101, dtype=np.uint8).reshape(10, 10, 1).repeat(3, 2)
    assert np.array_equal(square(picture, (5, 5), 4, 0)[..., 0], picture[3:7, 3:7, 0])
    corner = square(picture, (0, 0), 4, 0)[..., 0]
    assert not corner[:2].any()
    assert np.array_equal(corner[2:, 2:], picture[:2, :2, 0])


@pytest.mark.slow
def test_faces_of_real_pictures() -> None:
    """Downloads weights and pictures; the astronaut's face is near (222, 118)."""
    from algos.facepad.sources import astronaut, backgrounds, video

    (found,) = detector.faces(astronaut(), 40)
    left, top, right, bottom, sure = found
    assert left < 222 < right
    assert top < 118 < bottom
    assert 60 < right - left < 120
    assert sure > 0.99
    assert detector.crop(astronaut()).shape[0] == pytest.approx(1.4 * (bottom - top), rel=0.1)
    assert all(len(detector.faces(frame)) == 1 for frame in video("carphone_pristine")[::40])
    assert not len(detector.faces(backgrounds()[0], 40))
