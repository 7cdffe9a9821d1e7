"""Colours of motion against known vectors, and against Python's own HSV."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algos.facepad.wheel import ENCODINGS, encoded, hsv, middlebury, middlebury_wheel
from sim.errors import InputError

MOTION = st.tuples(st.floats(-40, 40), st.floats(-40, 40))


@pytest.mark.parametrize(
    ("motion", "colour"),
    [
        ((0, 0), (1, 1, 1)),
        ((20, 0), (0, 1, 1)),
        ((-20, 0), (1, 0, 0)),
        ((0, 20), (0.5, 0, 1)),
        ((0, -20), (0.5, 1, 0)),
        ((10, 0), (0.5, 1, 1)),
        ((300, 0), (0, 1, 1)),
    ],
)
def test_hsv_of_known_motions(motion: tuple[float, float], colour: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(hsv(np.array(motion, float)), colour, atol=1e-12)


@given(MOTION)
def test_hsv_is_pythons(motion: tuple[float, float]) -> None:
    u, v = motion
    hue = (math.atan2(v, u) + math.pi) / (2 * math.pi)
    wanted = colorsys.hsv_to_rgb(hue, min(math.hypot(u, v) / 20, 1), 1)
    np.testing.assert_allclose(hsv(np.array(motion)), wanted, atol=1e-9)


def test_the_middlebury_wheel_is_the_benchmarks() -> None:
    wheel = middlebury_wheel() * 255
    assert len(wheel) == 55
    corners = {0: (255, 0, 0), 15: (255, 255, 0), 21: (0, 255, 0), 25: (0, 255, 255), 36: (0, 0, 255)}
    corners |= {49: (255, 0, 255), 1: (255, 17, 0), 16: (213, 255, 0), 54: (255, 0, 43)}
    for place, colour in corners.items():
        np.testing.assert_allclose(wheel[place], colour, err_msg=str(place))


@pytest.mark.parametrize(
    ("motion", "colour"),
    [
        ((0, 0), (1, 1, 1)),
        ((20, 0), (1, 0, 0)),
        ((10, 0), (1, 0.5, 0.5)),
        ((40, 0), (0.75, 0, 0)),
        ((-20, 0), (0, 209 / 255, 1)),  # place 27 of 0..54, two of eleven steps from cyan to blue
    ],
)
def test_middlebury_of_known_motions(motion: tuple[float, float], colour: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(middlebury(np.array(motion, float)), colour, atol=1e-12)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(MOTION)
def test_longer_motion_is_never_paler(encoding: str, motion: tuple[float, float]) -> None:
    field = np.array([np.multiply(motion, share) for share in (0.1, 0.4)]) / 2
    short, long = ENCODINGS[encoding](field, 20.0)
    assert (long <= short + 1e-12).all()


def test_pixels_are_those_of_the_encoding() -> None:
    pixels = encoded(np.broadcast_to((2.5, 0), (4, 5, 2)), "hsv", limit=5)
    assert pixels.shape == (4, 5, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (128, 255, 255)).all()


@pytest.mark.parametrize(
    ("flow", "encoding", "limit", "field"),
    [
        (np.zeros((2, 3)), "hsv", 20, "flow"),
        (np.full((2, 2), np.nan), "hsv", 20, "flow"),
        (np.zeros((2, 2)), "hvs", 20, "encoding"),
        (np.zeros((2, 2)), "hsv", 0, "limit"),
    ],
)
def test_bad_fields(flow: np.ndarray, encoding: str, limit: float, field: str) -> None:
    with pytest.raises(InputError, match=f"^{field} ="):
        encoded(flow, encoding, limit)
