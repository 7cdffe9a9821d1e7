"""What becomes of a picture before a network takes it, as torchvision documents it for its own weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sim.errors import InputError

FORMS = "imagenet, unit, none or MEAN,STD, with /SIZE behind it to resize and crop"
LARGEST = 4096
"""Pixels of a side; no network of today takes more."""

RATIO = 256 / 224
"""Shorter side over crop of torchvision's classification presets (references/classification/presets.py)."""


@dataclass(frozen=True)
class Preprocess:
    """Resized, cropped, scaled, normalised, in this order.

    Attributes:
        resize: pixels of the shorter side, bilinear with antialiasing; None leaves sizes as they are.
        crop: side of the square in the middle; None for the whole.
        unit: bytes become 0..1.
        mean, deviation: (x - mean) / deviation, one value or one a channel.
    """

    resize: int | None = None
    crop: int | None = None
    unit: bool = True
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)

    def picture(self, picture: Image.Image) -> Tensor:
        """A grey or RGB picture as float32 [C, H, W]."""
        if self.resize is not None:
            short, long = sorted(picture.size)
            other = int(self.resize * long / short)  # torchvision cuts off, it does not round
            size = (self.resize, other) if picture.width == short else (other, self.resize)
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        if self.crop is not None:
            left, top = (round((side - self.crop) / 2) for side in picture.size)
            picture = picture.crop((left, top, left + self.crop, top + self.crop))
        pixels = np.array(picture)
        return self.normalised(torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1))

    def normalised(self, values: Tensor) -> Tensor:
        """float32 [C, ...] of bytes or floats [C, ...].

        Raises:
            InputError: as many means as there are no channels.
        """
        if len(self.mean) not in (1, len(values)):
            raise InputError(
                "--preprocess",
                ":".join(f"{value:g}" for value in self.mean),
                f"{len(self.mean)} means for {len(values)} channels",
                "give one, or one a channel; --grey reads pictures as one channel",
            )
        scale = 255 if self.unit and values.dtype == torch.uint8 else 1
        shape = (-1, *[1] * (values.ndim - 1))
        mean, deviation = (torch.tensor(list(each)).view(shape) for each in (self.mean, self.deviation))
        return ((values.float() / scale - mean) / deviation).contiguous()


_IMAGENET = Preprocess(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
"""Of torchvision's weights: docs.pytorch.org/vision/stable/models.html."""

_NAMED = {"imagenet": _IMAGENET, "unit": Preprocess(), "none": Preprocess(unit=False)}


def parse(text: str) -> Preprocess:
    """What `FORMS` describes; channels of MEAN and STD are joined by colons: 0.5:0.4:0.4,0.2:0.2:0.2/64.

    Raises:
        InputError: anything else.
    """
    form, slash, size = text.partition("/")
    how = _NAMED.get(form) or _numbers(form, text)
    if not slash and form != "imagenet":
        return how
    side = int(size) if size.isascii() and size.isdecimal() and len(size) < 9 else 0
    side = side if slash else 224
    if not 1 <= side <= LARGEST:
        raise InputError(
            "--preprocess", text, f"SIZE is not from 1 to {LARGEST}", "write for example unit/32"
        )
    return replace(how, resize=round(side * RATIO) if form == "imagenet" else side, crop=side)


def _numbers(form: str, text: str) -> Preprocess:
    try:
        mean, deviation = (tuple(map(float, part.split(":"))) for part in form.split(","))
    except ValueError:
        raise InputError("--preprocess", text, "unknown", f"give {FORMS}") from None
    if not all(map(math.isfinite, mean + deviation)) or min(deviation) <= 0 or len(mean) != len(deviation):
        problem = "needs finite means and as many positive deviations"
        raise InputError("--preprocess", text, problem, "write for example 0.5,0.5/32")
    return Preprocess(mean=mean, deviation=deviation)
