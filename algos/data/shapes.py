"""Synthetic clips of one moving shape, with their captions and true masks; every number gives the same clip anywhere.

A clip is a scene (colour, form, motion, background) and a variation (where it starts, how large it is, the phase of
the background), so that the same variation of two scenes differs in what the scenes differ in and nowhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sim.errors import InputError, nearest

FRAMES, SIZE = 8, 16
"""Of a clip; it is square."""
CHANNELS = 3
_SUBPIXELS = 4  # a direction; edges are smoothed by as many levels

_COLOURS = {
    "red": (0.90, 0.15, 0.15),
    "green": (0.15, 0.80, 0.20),
    "blue": (0.20, 0.30, 0.95),
    "yellow": (0.95, 0.90, 0.15),
}
_MOTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}  # pixels a frame, (y, x)
_BACKGROUNDS = {
    "sky": ((0.60, 0.80, 0.95), (0.08, 0.00)),  # colour; amplitude of waves down and across
    "sand": ((0.80, 0.70, 0.50), (0.00, 0.08)),
    "night": ((0.10, 0.10, 0.20), (0.06, 0.06)),
    "snow": ((0.90, 0.90, 0.92), (0.05, 0.05)),
}
_FORMS = {  # y and x from the centre, in radii -> inside
    "square": lambda y, x: (abs(y) <= 0.9) & (abs(x) <= 0.9),
    "disc": lambda y, x: y * y + x * x <= 1.1,
    "triangle": lambda y, x: (y <= 0.9) & (y >= 2 * abs(x) - 1.1),
    "cross": lambda y, x: (np.minimum(abs(y), abs(x)) <= 0.36) & (np.maximum(abs(y), abs(x)) <= 1.1),
}

WORDS: dict[str, tuple[str, ...]] = {
    "colour": tuple(_COLOURS),
    "form": tuple(_FORMS),
    "motion": tuple(_MOTIONS),
    "background": tuple(_BACKGROUNDS),
}
"""What a scene may be, by attribute; no word stands in two of them."""


@dataclass(frozen=True)
class Scene:
    """What a clip shows, in words of `WORDS`."""

    colour: str
    form: str
    motion: str
    background: str

    def __post_init__(self) -> None:
        for attribute, word in zip(WORDS, astuple(self), strict=True):
            if word not in WORDS[attribute]:
                raise InputError(attribute, word, "is in no scene", nearest(word, WORDS[attribute]))

    @property
    def caption(self) -> str:
        """a red disc moves left over sand"""
        return f"a {self.colour} {self.form} moves {self.motion} over {self.background}"

    @property
    def held_out(self) -> bool:
        """Whether no training clip shows it: each colour is kept from one form."""
        return sum(self.numbers[:2]) % 4 == 3

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of its words, in the order of `WORDS`."""
        return tuple(words.index(word) for words, word in zip(WORDS.values(), astuple(self), strict=True))

    def with_word(self, word: str) -> Scene:
        """The scene with this word in place of the one of the same attribute.

        Raises:
            InputError: a word of no scene.
        """
        return replace(self, **{attribute_of(word): word})


SCENES = tuple(Scene(*words) for words in itertools.product(*WORDS.values()))
TRAINED = tuple(scene for scene in SCENES if not scene.held_out)
HELD_OUT = tuple(scene for scene in SCENES if scene.held_out)


def attribute_of(word: str) -> str:
    """
    Raises:
        InputError: a word of no scene.
    """
    for attribute, words in WORDS.items():
        if word in words:
            return attribute
    every = [each for words in WORDS.values() for each in words]
    raise InputError("word", word, "is in no scene", nearest(word, every))


def scene_of(caption: str) -> Scene:
    """The scene that a caption describes.

    Raises:
        InputError: an attribute is missing, or named twice.
    """
    found: dict[str, str] = {}
    for attribute, words in WORDS.items():
        named = [word for word in caption.lower().split() if word in words]
        if len(named) != 1:
            problem = f"names {len(named)} words of {attribute}"
            raise InputError("caption", caption, problem, f"name one of {', '.join(words)}")
        found[attribute] = named[0]
    return Scene(**found)


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        pixels: float32 [3, frames, height, width], -1 to 1.
        mask: bool [frames, height, width], where at least half of a pixel is the shape.
    """

    scene: Scene
    pixels: Tensor
    mask: Tensor


def clip(scene: Scene, variation: int = 0, frames: int = FRAMES) -> Clip:
    """The clip of a scene; the same variation of another scene has the same path, size and waves.

    A shape moves one pixel a frame and stays within the picture for `FRAMES` frames, but for less than a pixel.
    """
    draw = np.random.default_rng((2506, variation))
    radius = draw.uniform(3.0, 3.8)
    across = draw.uniform(radius, SIZE - radius)
    start = draw.uniform(radius - 0.5, SIZE - radius - FRAMES + 1.5)
    waves = draw.uniform(0, 2 * np.pi, 2), draw.uniform(0.5, 0.9, 2)
    step = np.array(_MOTIONS[scene.motion])
    along = np.arange(frames) + start
    if step.sum() < 0:
        along = SIZE - along
    places = np.stack([along if moves else np.full(frames, across) for moves in step], 1)
    grid = (np.arange(SIZE * _SUBPIXELS) + 0.5) / _SUBPIXELS
    y = (grid[:, None] - places[:, 0, None, None]) / radius
    x = (grid[None, :] - places[:, 1, None, None]) / radius
    inside = _FORMS[scene.form](y, x) & np.ones_like(y + x, bool)
    covered = inside.reshape(frames, SIZE, _SUBPIXELS, SIZE, _SUBPIXELS).mean((2, 4))
    background = _background(scene.background, *waves)
    colour = np.array(_COLOURS[scene.colour])[:, None, None, None]
    pixels = background[:, None] * (1 - covered) + colour * covered
    return Clip(scene, torch.from_numpy(pixels * 2 - 1).float(), torch.from_numpy(covered >= 0.5))


def _background(name: str, phases: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """[3, height, width]: a colour with waves that do not move."""
    colour, amplitudes = _BACKGROUNDS[name]
    down, across = (
        amplitude * np.sin(phase + pitch * np.arange(SIZE))
        for amplitude, phase, pitch in zip(amplitudes, phases, pitches, strict=True)
    )
    return np.clip(np.array(colour)[:, None, None] + down[:, None] + across[None, :], 0, 1)


class Shapes(Dataset[tuple[Tensor, Tensor]]):
    """Clips with the numbers of their words: float32 [3, frames, height, width], int64 [4].

    Args:
        scenes: each clip shows one of them, drawn by `seed`.
        first: variation of the first clip; clips of two datasets with other variations differ.
    """

    def __init__(
        self, count: int, scenes: Sequence[Scene] = TRAINED, first: int = 1_000, seed: int = 0
    ) -> None:
        drawn = np.random.default_rng(seed).integers(len(scenes), size=count)
        clips = [clip(scenes[number], first + place) for place, number in enumerate(drawn)]
        self.scenes = [each.scene for each in clips]
        self.pixels = torch.stack([each.pixels for each in clips])
        self.masks = torch.stack([each.mask for each in clips])
        self.labels = torch.tensor([each.scene.numbers for each in clips])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        return self.pixels[place], self.labels[place]


def captions(labels: Iterable[Iterable[int]]) -> list[str]:
    """Of scenes by the numbers of their words."""
    names = [field.name for field in fields(Scene)]
    return [
        Scene(**{name: WORDS[name][int(number)] for name, number in zip(names, row, strict=True)}).caption
        for row in labels
    ]
