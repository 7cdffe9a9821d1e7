"""The network's input in memory, as the layer that reads it wants it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl.compiler.memory import Map
from sim.network import Conv
from sim.shapes import ConvShape


@dataclass(frozen=True)
class Fold:
    """Positions of the kernel side by side in the channels (docs/timing.md section 7).

    Channel (r*width + i)*C + c of folded line y and column x*groups + g is channel c of line y*pitch + r - top and
    column x*stride + g*width + i - padding, r < high and i < width; what lies outside the input is `zero`.
    """

    high: int
    pitch: int
    width: int
    groups: int
    stride: int
    top: int
    padding: int
    lines: int
    columns: int
    zero: int

    def shape(self, channels: int) -> tuple[int, int, int]:
        """(C, H, W) of a folded input of so many channels."""
        return channels * self.high * self.width, self.lines, self.columns * self.groups

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """int8 [C, H, W] -> int8 [high*width*C, lines, columns*groups], padding in it."""
        channels, height, wide = image.shape
        lines = (np.arange(self.lines)[:, None] * self.pitch + np.arange(self.high)).ravel() - self.top
        columns = (
            np.arange(self.columns)[:, None] * self.stride
            + np.arange(self.groups * self.width)
            - self.padding
        ).ravel()
        taken = image[:, lines.clip(0, height - 1)[:, None], columns.clip(0, wide - 1)]
        inside = (lines == lines.clip(0, height - 1))[:, None] & (columns == columns.clip(0, wide - 1))
        taken = np.where(inside, taken, np.int8(self.zero))
        split = taken.reshape(channels, self.lines, self.high, self.columns * self.groups, self.width)
        return split.transpose(2, 4, 0, 1, 3).reshape(self.shape(channels))


@dataclass(frozen=True)
class InputMap:
    """One copy of the input, which its readers see in `shape`."""

    map: Map
    shape: tuple[int, int, int]
    fold: Fold | None = None

    def write(self, memory: np.ndarray, image: np.ndarray) -> None:
        seen = image.reshape(self.shape)
        self.map.write(memory, seen if self.fold is None else self.fold(seen))


def fold_of(layer: Conv, shape: ConvShape, zero: int) -> Fold | None:
    """How a scheduled layer, `shape` as the array sees it, folds its ifmap; None: not."""
    if shape.unfolded is None:
        return None
    return Fold(
        shape.unfolded.high,
        layer.stride[0] // shape.stride[0],
        shape.unfolded.width,
        shape.kernel[1],
        layer.stride[1],
        layer.padding[0] - shape.padding[0],  # lines of padding lie in memory where rows are folded
        layer.padding[1],
        shape.size[0],
        shape.out_w,
        zero,
    )
