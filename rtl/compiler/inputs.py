"""The network's input in memory, as the layer that reads it wants it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl.compiler.memory import Map
from sim.network import Conv
from sim.shapes import ConvShape


@dataclass(frozen=True)
class Fold:
    """Kernel columns side by side in the channels (docs/timing.md section 7).

    Channel i*C + c of ifmap column x*groups + g is channel c of padded column x*stride + g*width + i.
    """

    width: int
    groups: int
    stride: int
    padding: int
    columns: int
    zero: int

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """int8 [C, H, W] -> int8 [width*C, H, columns*groups], horizontal padding in it."""
        channels, height, wide = image.shape
        source = (
            np.arange(self.columns)[:, None] * self.stride
            + np.arange(self.groups * self.width)
            - self.padding
        )
        inside = (source >= 0) & (source < wide)
        taken = np.where(inside, image[:, :, source.clip(0, wide - 1)], np.int8(self.zero))
        split = taken.reshape(channels, height, self.columns * self.groups, self.width)
        return split.transpose(3, 0, 1, 2).reshape(-1, *split.shape[1:3])


@dataclass(frozen=True)
class InputMap:
    """One copy of the input, which its readers see in `shape`."""

    map: Map
    shape: tuple[int, int, int]
    fold: Fold | None = None

    def write(self, memory: np.ndarray, image: np.ndarray) -> None:
        seen = image.reshape(self.shape)
        self.map.write(memory, seen if self.fold is None else self.fold(seen))


def fold_of(layer: Conv, shape: ConvShape, channels: int, zero: int) -> Fold | None:
    """How a scheduled layer, `shape` as the array sees it, folds an ifmap of `channels`; None: not."""
    if shape.channels == channels:
        return None
    return Fold(
        shape.channels // channels, shape.kernel[1], layer.stride[1], layer.padding[1], shape.out_w, zero
    )
