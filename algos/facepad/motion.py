"""Dense optical flow by OpenCV, between frames that follow each other.

Only what trains a teacher imports this: a student is given no motion (`algos.facepad.networks`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from algos.facepad.wheel import LIMIT, encoded
from sim.errors import InputError, nearest


def dis(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dense inverse search (Kroeger et al., ECCV 2016), medium preset, of grey uint8 frames."""
    return _dis().calc(first, second, None)


def farneback(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Polynomial expansion (Farneback, SCIA 2003): 3 levels, window 15, as OpenCV's tutorial sets it."""
    import cv2

    empty = np.zeros((*first.shape, 2), np.float32)
    return np.asarray(cv2.calcOpticalFlowFarneback(first, second, empty, 0.5, 3, 15, 3, 5, 1.2, 0))


ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"dis": dis, "farneback": farneback}


def flow(first: np.ndarray, second: np.ndarray, estimator: str = "dis") -> np.ndarray:
    """Where each pixel of the first frame went: float32 [H, W, 2], to the right and down, in pixels.

    Args:
        first, second: RGB, uint8 [H, W, 3].

    Raises:
        InputError: no such estimator, or frames of two sizes or under 16 pixels.
    """
    import cv2

    if estimator not in ESTIMATORS:
        raise InputError("estimator", estimator, "unknown", nearest(estimator, ESTIMATORS))
    if first.shape != second.shape or min(first.shape[:2]) < 16:
        raise InputError(
            "frames", (first.shape, second.shape), "have no flow", "give two of one size, 16x16 or more"
        )
    grey = (cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (first, second))
    return ESTIMATORS[estimator](*grey)


def flow_colours(
    frames: np.ndarray, estimator: str = "dis", encoding: str = "hsv", limit: float = LIMIT
) -> np.ndarray:
    """Flow from each frame to the next as colours: uint8 [frames - 1, H, W, 3] of uint8 [frames, H, W, 3].

    Raises:
        InputError: a clip of one frame; as `flow` and `encoded`.
    """
    if len(frames) < 2:
        raise InputError("clip", len(frames), "frame has no motion", "give two frames or more")
    return np.stack([encoded(flow(*pair, estimator), encoding, limit) for pair in pairwise(frames)])


@cache
def _dis() -> Any:
    import cv2

    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
