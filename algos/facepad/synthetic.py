"""The synthetic set: faces of one split appear in no other, and some attack types in the test alone.

Called synthetic wherever its results are shown: what separates its classes is what this package draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algos.facepad.attacks import ATTACKS, Medium
from algos.facepad.motion import flow_colours
from algos.facepad.networks import ATTACK, REAL
from algos.facepad.samples import GENUINE, Samples
from algos.facepad.scenes import Scene, camera, cut, light
from algos.facepad.sources import backgrounds, faces
from sim.steps import steps

FRAMES = 3
"""A clip's; a sample is a frame that has a next one, with the flow to it."""
LIMIT = 5.0
"""Motion in pixels at 112x112 that saturates a colour: what these clips hold."""
KNOWN = ("matte print", "moire replay")
"""Attack types of the training and the development set; the others come in the test alone."""


@dataclass(frozen=True)
class Plan:
    """What a split is made of.

    Attributes:
        people: range of faces.
        share: range of the backgrounds, as shares of all of them.
        clips: of each kind, a face.
    """

    people: tuple[int, int]
    share: tuple[float, float]
    clips: dict[str, int]


SPLITS = {
    "training": Plan((0, 60), (0, 0.6), {GENUINE: 10, **dict.fromkeys(KNOWN, 5)}),
    "development": Plan((60, 80), (0.6, 0.8), {GENUINE: 6, **dict.fromkeys(KNOWN, 3)}),
    "test": Plan((80, 100), (0.8, 1), {GENUINE: 6, **dict.fromkeys(ATTACKS, 3)}),
}


def clip(face: np.ndarray, background: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """FRAMES frames of a face, uint8 [FRAMES, 112, 112, 3].

    Args:
        face: grey, 0..1.
        background: a picture, uint8 [H, W, 3].
        kind: GENUINE or a name of ATTACKS.
    """
    scene = Scene(face, cut(background, rng), rng)
    shown: Medium = scene.frame if kind == GENUINE else ATTACKS[kind].made(scene, rng)
    (gain, gamma), blur = light(rng), rng.uniform(0.3, 0.9)
    return np.stack(
        [
            camera((np.clip(shown(number), 0, 1) ** gamma * gain).astype(np.float32), rng, blur)
            for number in range(FRAMES)
        ]
    )


def split(name: str, seed: int = 0) -> Samples:
    """A split of SPLITS; the same seed gives the same frames.

    Raises:
        InputError: the package index does not answer.
    """
    plan, pictures, people = SPLITS[name], backgrounds(), faces()
    first, last = (int(share * len(pictures)) for share in plan.share)
    wanted = [
        (person, kind, number)
        for person in range(*plan.people)
        for kind, count in plan.clips.items()
        for number in range(count)
    ]
    frames, colours, kinds = [], [], []
    for person, kind, number in steps(wanted, f"synthetic {name} set", len(wanted)):
        rng = np.random.default_rng((seed, person, sorted((GENUINE, *ATTACKS)).index(kind), number))
        made = clip(people[person], pictures[rng.integers(first, last)], kind, rng)
        frames.append(made[:-1])
        colours.append(flow_colours(made, limit=LIMIT))
        kinds.append(kind)
    labels = np.repeat([REAL if kind == GENUINE else ATTACK for kind in kinds], FRAMES - 1)
    numbers = np.repeat(np.arange(len(kinds)), FRAMES - 1)
    return Samples(
        _planes(np.concatenate(frames)),
        _planes(np.concatenate(colours)),
        torch.from_numpy(labels),
        torch.from_numpy(numbers),
        tuple(kinds),
    )


def _planes(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
