"""Synthetic presentation attacks: what paper and screens make of a scene, and how a hand moves them.

Each is a medium: a function of frame number and scene. All of a print is one moment of the scene, and so is a
photograph on a screen; a replayed video moves by itself. Whatever is shown moves as one plane (or bent sheet).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from algos.facepad.scenes import _X, _Y, SIZE, Scene, moved

Medium = Callable[[int], np.ndarray]
"""Frame number -> RGB, float32 [SIZE, SIZE, 3]."""


@dataclass(frozen=True)
class Attack:
    """An attack type.

    Attributes:
        instrument: "print" or "replay".
        made: of a scene and random numbers, the medium.
    """

    name: str
    instrument: str
    made: Callable[[Scene, np.random.Generator], Medium]


def matte(scene: Scene, rng: np.random.Generator) -> Medium:
    """A flat print on rough paper: fewer colours, grey blacks, fibres, a halftone."""
    held, hand = _printed(scene.frame(0), rng, rng.uniform(0.6, 0.9)), _hand(rng)
    fibres = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), 0.8)
    dots = np.sin(rng.uniform(1.8, 2.7) * _pixels(0.25)) * np.sin(rng.uniform(1.8, 2.7) * _pixels(-0.25))
    paper = 1 + rng.uniform(0.01, 0.04) * fibres / fibres.std() + rng.uniform(0.005, 0.03) * dots
    return lambda number: hand(held * paper[..., None].astype(np.float32), number)


def bent(scene: Scene, rng: np.random.Generator) -> Medium:
    """A glossy print, bent: a highlight that wanders, a curve that breathes, streaks of the printer."""
    held, hand = _printed(scene.frame(0), rng, rng.uniform(0.75, 0.95)), _hand(rng)
    streaks = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, 1)).astype(np.float32), (1, 0), 0, sigmaY=1.2)
    held = held * (1 + rng.uniform(0.005, 0.02) * streaks / streaks.std())[..., None]
    curve, speed, place, shine = rng.uniform((2, 0.3, -0.8, 0.05), (6, 1.2, 0.8, 0.25))

    def shown(number: int) -> np.ndarray:
        bend = curve * np.sin(speed * number) * (1 - _X**2)
        gloss = shine * np.exp(-(((_X - place - 0.05 * number) / 0.15) ** 2))
        return hand(moved(held, bend, 0) + gloss[..., None].astype(np.float32), number)

    return shown


def moire(scene: Scene, rng: np.random.Generator) -> Medium:
    """A photograph on a screen whose pixel grid beats with the camera's: coloured waves."""
    held, hand = _screened(scene.frame(0), rng), _hand(rng)
    angle, frequency, drift = rng.uniform((-0.5, 0.3, -0.6), (0.5, 1.6, 0.6))
    strength, shifts = rng.uniform(0.01, 0.06), rng.uniform(0, 2, 3)

    def shown(number: int) -> np.ndarray:
        wave = frequency * _pixels(angle + 0.01 * number)[..., None] + shifts + drift * number
        return hand(held, number) * (1 + strength * np.sin(wave)).astype(np.float32)

    return shown


def flicker(scene: Scene, rng: np.random.Generator) -> Medium:
    """A video on a screen that lights line after line: bands that roll, a brightness that beats."""
    hand = _hand(rng)
    seed, bands, speed, strength, beat = rng.uniform((0, 1, 0.5, 0.02, 0.01), (1e6, 4, 2.5, 0.12, 0.06))

    def shown(number: int) -> np.ndarray:
        held = _screened(scene.frame(number), np.random.default_rng(int(seed)))
        rolling = strength * np.sin(np.pi * bands * _Y + speed * number) + beat * np.sin(2.1 * number)
        return hand(held, number) * (1 + rolling[..., None]).astype(np.float32)

    return shown


ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("matte print", "print", matte),
        Attack("bent print", "print", bent),
        Attack("moire replay", "replay", moire),
        Attack("flicker replay", "replay", flicker),
    )
}


def _hand(rng: np.random.Generator) -> Callable[[np.ndarray, int], np.ndarray]:
    """The shaking of what a hand holds: a homography that changes from frame to frame."""
    reach, phases = rng.uniform(0.5, 3.5), rng.uniform(0, 2 * np.pi, (4, 2))
    common = rng.uniform(0, 2 * np.pi, 2)
    corners = np.array([(0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE)], np.float32)

    def shaken(image: np.ndarray, number: int) -> np.ndarray:
        offset = reach * (np.sin(0.9 * number + common) + 0.4 * np.sin(0.7 * number + phases))
        matrix = cv2.getPerspectiveTransform(corners, (corners + offset).astype(np.float32))
        return cv2.warpPerspective(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)

    return shaken


def _printed(image: np.ndarray, rng: np.random.Generator, contrast: float) -> np.ndarray:
    """Ink on paper: less contrast and saturation, a cast, some blur."""
    grey = image.mean(-1, keepdims=True)
    saturated = grey + rng.uniform(0.6, 1) * (image - grey)
    cast = rng.uniform((0.94, 0.94, 0.88), (1.06, 1.04, 1.02))
    inked = rng.uniform(0.03, 0.15) + contrast * saturated * cast
    return cv2.GaussianBlur(inked.astype(np.float32), (0, 0), rng.uniform(0.4, 0.9))


def _screened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light of a screen: a bluish white, raised blacks, another gamma, some blur."""
    lit = np.clip(image, 0, 1) ** rng.uniform(0.8, 1.2) * rng.uniform((0.9, 0.95, 1), (1, 1.03, 1.12))
    return cv2.GaussianBlur((rng.uniform(0, 0.08) + lit).astype(np.float32), (0, 0), rng.uniform(0.4, 0.9))


def _pixels(turn: float) -> np.ndarray:
    """Distance in pixels along a direction, in turns of half a circle."""
    return SIZE / 2 * (_X * np.cos(np.pi * turn) + _Y * np.sin(np.pi * turn))
