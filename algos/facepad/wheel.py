"""Motion as colour: direction is hue, length is saturation, no motion is white."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.errors import InputError, nearest

LIMIT = 20.0
"""Length of motion in pixels at 224x224 from which colours are saturated (the first author's code)."""
TRANSITIONS = (("R", "Y", 15), ("Y", "G", 6), ("G", "C", 4), ("C", "B", 11), ("B", "M", 13), ("M", "R", 6))
"""Colours between red, yellow, green, cyan, blue, magenta and red: more where the eye tells more apart
(Baker et al., IJCV 2011, the wheel of the Middlebury benchmark)."""
_CORNERS = {"R": (1, 0, 0), "Y": (1, 1, 0), "G": (0, 1, 0), "C": (0, 1, 1), "B": (0, 0, 1), "M": (1, 0, 1)}


def middlebury_wheel() -> np.ndarray:
    """The 55 colours, float64 [55, 3]."""
    parts = []
    for begin, end, count in TRANSITIONS:
        share = np.floor(255 * np.arange(count) / count)[:, None] / 255
        parts.append((1 - share) * np.array(_CORNERS[begin]) + share * np.array(_CORNERS[end]))
    return np.concatenate(parts)


def hsv(flow: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """Hue (atan2(v, u) + pi) / 2 pi, saturation min(length / limit, 1), value 1.

    Args:
        flow: [..., 2], u to the right and v down, pixels.

    Returns:
        RGB, float64 [..., 3], 0..1.
    """
    u, v = _parts(flow, limit)
    sixths = 6 * (np.arctan2(v, u) + np.pi) / (2 * np.pi)
    saturation = np.minimum(np.hypot(u, v) / limit, 1)
    # A colour channel falls from 1 as the hue leaves its own: red at 0, green at 2 and blue at 4 sixths.
    away = np.stack([np.abs((sixths - at + 3) % 6 - 3) for at in (0, 2, 4)], -1)
    return 1 - saturation[..., None] * np.clip(away - 1, 0, 1)


def middlebury(flow: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """The colours of the Middlebury benchmark; motion beyond the limit is darkened by a quarter.

    Args and returns as of `hsv`.
    """
    u, v = _parts(flow, limit)
    wheel = middlebury_wheel()
    # Motion to the right lies at either end of the wheel, by the sign of a zero: both are red.
    place = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(wheel) - 1)
    below = np.floor(place).astype(int)
    share = (place - below)[..., None]
    colour = (1 - share) * wheel[below] + share * wheel[(below + 1) % len(wheel)]
    length = (np.hypot(u, v) / limit)[..., None]
    return np.where(length <= 1, 1 - length * (1 - colour), 0.75 * colour)


ENCODINGS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {"hsv": hsv, "middlebury": middlebury}


def encoded(flow: np.ndarray, encoding: str = "hsv", limit: float = LIMIT) -> np.ndarray:
    """By the name of an encoding, as pixels: uint8 [..., 3].

    Raises:
        InputError: no such encoding; flow of another shape or not finite; a limit that is not positive.
    """
    if encoding not in ENCODINGS:
        raise InputError("encoding", encoding, "unknown", nearest(encoding, ENCODINGS))
    return np.rint(255 * ENCODINGS[encoding](flow, limit)).astype(np.uint8)


def _parts(flow: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    flow = np.asarray(flow, np.float64)
    if flow.shape[-1:] != (2,):
        raise InputError("flow", flow.shape, "is no field of vectors", "give [..., 2]: right and down")
    if not np.isfinite(flow).all():
        raise InputError("flow", "NaN or infinity", "has no direction", "leave unknown motion at zero")
    if not limit > 0:
        raise InputError("limit", limit, "is no length of motion", "give pixels above 0")
    return flow[..., 0], flow[..., 1]
