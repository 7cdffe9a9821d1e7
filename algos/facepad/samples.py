"""Frames of presentations, with their motion, for training and judging."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

GENUINE = "real"
"""Kind of a clip of a living face."""


@dataclass(frozen=True)
class Samples:
    """Frames, one after the other.

    Attributes:
        pixels, flow: uint8 [n, 3, 112, 112]; frame and colours of the motion to the next.
        labels: int64 [n], ATTACK or REAL.
        clips: int64 [n], number of the clip.
        kinds: of each clip, GENUINE or the name of an attack.
    """

    pixels: Tensor
    flow: Tensor
    labels: Tensor
    clips: Tensor
    kinds: tuple[str, ...]
