"""Clips of a database as samples: faces cut out, frames of one size, the colours of their motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from algos.facepad import detector
from algos.facepad.clips import read_clip
from algos.facepad.motion import flow_colours
from algos.facepad.networks import ATTACK, REAL
from algos.facepad.protocols import Presentation
from algos.facepad.samples import Samples
from algos.facepad.wheel import LIMIT
from sim.errors import InputError
from sim.steps import steps

Crop = Callable[[np.ndarray], np.ndarray]
"""RGB frames uint8 [frames, H, W, 3] -> the same part of each, square."""


def around_the_first_face(frames: np.ndarray) -> np.ndarray:
    """The square around the first frame's surest face, with the detector's margin.

    Raises:
        InputError: that frame shows no face.
    """
    found = detector.faces(frames[0])
    if not len(found):
        raise InputError("clip", frames.shape, "begins with a frame without a face", "give crop=centre")
    left, top, right, bottom = found[0, :4]
    middle, side = ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top)
    return np.stack([detector.square(frame, middle, side) for frame in frames])


def centre(frames: np.ndarray) -> np.ndarray:
    """The largest square in the middle, as the first author's code cuts."""
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames[:, top : top + side, left : left + side]


def samples(
    clips: Sequence[Presentation],
    size: int = 224,
    frames: int = 8,
    *,
    crop: Crop = around_the_first_face,
    estimator: str = "dis",
    encoding: str = "hsv",
    limit: float = LIMIT,
) -> Samples:
    """Frames spread evenly over each clip, and the flow from each to the one after it in the clip.

    Args:
        size: pixels a side.
        frames: of a clip at most; the last frame has no flow.

    Raises:
        InputError: no clips, a clip of one frame or one that cannot be decoded, or as `crop` and `flow_colours`.
    """
    if not clips:
        raise InputError("clips", 0, "hold no frames", "give the clips of a set of `protocols.load`")
    pixels, colours, numbers = [], [], []
    for number, clip in enumerate(steps(clips, "reading clips", len(clips))):
        shown = crop(read_clip(clip.path, least=2))
        for at in np.unique(np.linspace(0, len(shown) - 2, frames).astype(int)):
            pair = np.stack([_resized(frame, size) for frame in shown[at : at + 2]])
            pixels.append(pair[0])
            colours.append(flow_colours(pair, estimator, encoding, limit)[0])
            numbers.append(number)
    labels = [REAL if clips[number].real else ATTACK for number in numbers]
    seen, moved = (
        torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()) for images in (pixels, colours)
    )
    return Samples(
        seen, moved, torch.tensor(labels), torch.tensor(numbers), tuple(clip.kind for clip in clips)
    )


def _resized(frame: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS))
