"""Twenty labelled ImageNet pictures: enough to see that a network works, too few for an accuracy.

They come inside foolbox (Rauber et al., JOSS 2020); the pictures are ImageNet's, for research use, and are
not copied into this project.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from algos.data.packages import Wheel

FOOLBOX = Wheel(
    "foolbox==3.3.4",
    "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
    "MIT; pictures of ImageNet for research use",
)
FOLDER = "foolbox/data/imagenet_"


@dataclass(frozen=True)
class Preprocessing:
    """What pixels a network was trained on: shorter side `resize`, centre `crop`, (x - mean) / deviation.

    Attributes:
        mean, deviation: of pixels 0..255, by colour.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    resample: Image.Resampling = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Pictures:
    """uint8 pixels [n, 3, crop, crop] and int64 labels [n] of the 1,000 classes."""

    pixels: Tensor
    labels: Tensor


def load(how: Preprocessing) -> Pictures:
    """The 20 pictures as a network wants them.

    Raises:
        InputError: the package index does not answer.
    """
    names = [name for name in FOOLBOX.members(FOLDER) if name.endswith(".jpg")]
    labels = [int(name.rsplit("_", 1)[1].split(".")[0]) for name in names]
    pixels = [_prepared(Image.open(io.BytesIO(FOOLBOX.read(name))).convert("RGB"), how) for name in names]
    return Pictures(torch.from_numpy(np.stack(pixels)), torch.tensor(labels))


def _prepared(picture: Image.Image, how: Preprocessing) -> np.ndarray:
    scale = how.resize / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    left, top = ((side - how.crop) // 2 for side in size)
    cut = picture.resize(size, how.resample).crop((left, top, left + how.crop, top + how.crop))
    return np.ascontiguousarray(np.asarray(cut).transpose(2, 0, 1))
