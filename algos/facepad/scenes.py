"""A synthetic living face before a background: a head that turns, speaks and blinks while the scene stays.

A grey face of 25x25 pixels gets a tint and the fine detail that it lacks, sits on an ellipsoid and turns with it:
near parts move further than far ones, mouth and eyes by themselves. A flat copy cannot move so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

SIZE = 112
"""Pixels a side."""
_Y, _X = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j].astype(np.float32)


@dataclass
class Scene:
    """One presentation of one face; every number is drawn from `rng`.

    Attributes:
        face: grey [25, 25], 0..1.
        background: RGB, float32 [SIZE, SIZE, 3], 0..1.
    """

    face: np.ndarray
    background: np.ndarray
    rng: np.random.Generator
    portrait: np.ndarray = field(init=False)
    turn: np.ndarray = field(init=False)
    phase: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.portrait = _portrait(self.face, self.rng)
        self.turn = self.rng.uniform((0.5, 0.3, 0.2, 0.2, 0.3, 0, 0), (3.5, 2.5, 2.5, 1.5, 1.5, 1.5, 1.5))
        self.phase = self.rng.uniform(0, 2 * np.pi, 7)

    def frame(self, time: float) -> np.ndarray:
        """RGB, float32 [SIZE, SIZE, 3], 0..1.

        Args:
            time: in frames.
        """
        yaw, pitch, mouth, eyes, sway, across, along = self.turn * np.sin(0.9 * time + self.phase)
        reach = (_X / 0.72) ** 2 + (_Y / 0.92) ** 2
        depth = np.sqrt(np.clip(1 - reach, 0, 1))
        speaking = mouth * np.exp(-((_X / 0.3) ** 2 + ((_Y - 0.5) / 0.2) ** 2))
        blinking = eyes * np.exp(-(((np.abs(_X) - 0.35) / 0.2) ** 2 + ((_Y + 0.2) / 0.12) ** 2))
        right = yaw * depth + sway
        down = pitch * depth + speaking + blinking * np.sign(_Y + 0.2)
        alpha = np.clip((1.02 - reach) / 0.08, 0, 1)
        head = moved(np.dstack((self.portrait, alpha)), right, down)
        seen = head[..., :3] * head[..., 3:] + self.background * (1 - head[..., 3:])
        return moved(seen, across, along)  # the camera is in a hand


def moved(image: np.ndarray, right: np.ndarray | float, down: np.ndarray | float) -> np.ndarray:
    """The image with each pixel taken from where it came: `right` and `down` pixels before."""
    scale = (SIZE - 1) / 2
    x = ((_X + 1) * scale - right).astype(np.float32)
    y = ((_Y + 1) * scale - down).astype(np.float32)
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def cut(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random square of a picture as a background, float32 [SIZE, SIZE, 3], 0..1."""
    side = int(rng.uniform(0.4, 1) * min(picture.shape[:2]))
    top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
    part = picture[top : top + side, left : left + side]
    return cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def camera(image: np.ndarray, rng: np.random.Generator, blur: float) -> np.ndarray:
    """What a camera makes of light: blur, gain, white balance, noise, JPEG; uint8.

    Args:
        image: float32 [SIZE, SIZE, 3].
        blur: standard deviation in pixels.
    """
    image = cv2.GaussianBlur(image, (0, 0), blur)
    image = image + rng.normal(0, rng.uniform(0.004, 0.025), image.shape)
    pixels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    quality = int(rng.integers(60, 96))
    coded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded[1], cv2.IMREAD_COLOR))[..., ::-1]


def light(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Factors of the colours and a gamma, of one clip."""
    return rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3), float(rng.uniform(0.8, 1.25))


def _portrait(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A grey face in the colours of skin and with pores, float32 [SIZE, SIZE, 3]."""
    grey = cv2.resize(face.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    pores = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), rng.uniform(0.6, 1.2))
    grey = np.clip(grey + rng.uniform(0.02, 0.05) * pores / pores.std(), 0, 1)
    dark = rng.uniform((0.03, 0.02, 0.02), (0.12, 0.08, 0.08))
    bright = rng.uniform((0.85, 0.65, 0.5), (1.05, 0.9, 0.8))
    return (dark + grey[..., None] * (bright - dark)).astype(np.float32)
