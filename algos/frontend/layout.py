"""Where the elements of a value lie in a map (C, H, W).

Each axis of the map is a list of digits (stride, size), most significant first, in terms of the value's
elements in row-major order: position (c, h, w) holds the element whose index is the sum of digit * stride. A view
of the value therefore changes nothing, and a permutation only the strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import numpy as np

Digit = tuple[int, int]
Digits = tuple[Digit, ...]
Extent = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Digits of C, H and W, as few as there can be."""

    channels: Digits
    rows: Digits = ()
    columns: Digits = ()

    def __post_init__(self) -> None:
        for name, digits in zip(("channels", "rows", "columns"), self.axes, strict=True):
            object.__setattr__(self, name, merged(digits))

    @property
    def axes(self) -> tuple[Digits, Digits, Digits]:
        return self.channels, self.rows, self.columns

    @property
    def map(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        c, h, w = (prod(size for _, size in digits) for digits in self.axes)
        return c, h, w

    @property
    def positions(self) -> Digits:
        """Digits of H and W in their order."""
        return merged((*self.rows, *self.columns))

    @property
    def order(self) -> Digits:
        """Digits of all elements as they follow one another."""
        return merged((*self.channels, *self.rows, *self.columns))

    def permuted(self, extent: Extent, axes: Sequence[int]) -> Layout:
        """Of the value with its axes in another order."""
        before, after = strides(extent), strides([extent[axis] for axis in axes])
        place = {axis: number for number, axis in enumerate(axes)}

        def moved(digits: Digits) -> Digits:
            parts = (part for digit in digits for part in split(digit, extent))
            return tuple((stride // before[a] * after[place[a]], size) for a, stride, size in parts)

        return Layout(*(moved(digits) for digits in self.axes))

    def sliced(self, extent: Extent, axis: int, first: int, count: int) -> tuple[np.ndarray, Layout]:
        """Channels that hold `count` entries of an axis of the value, and the layout of these.

        Raises:
            ValueError: the axis does not lie along channels.
        """
        after = strides([count if a == axis else n for a, n in enumerate(extent)])
        before = strides(extent)
        channel = np.arange(self.map[0])
        axes: list[Digits] = []
        for number, digits in enumerate(self.axes):
            parts = [part for digit in digits for part in split(digit, extent)]
            kept = []
            inner = self.map[0]
            for a, stride, size in parts:
                inner //= size
                if a == axis:
                    if number or size != extent[axis]:
                        raise ValueError("the axis does not lie along channels")
                    place = channel // inner % size
                    channel = channel[(place >= first) & (place < first + count)]
                    size = count
                kept.append((stride // before[a] * after[a], size))
            axes.append(tuple(kept))
        if extent[axis] > 1 and len(channel) == self.map[0] and count < extent[axis]:
            raise ValueError("the axis does not lie along channels")
        return channel, Layout(*axes)

    def index(self) -> np.ndarray:
        """int64 [C, H, W]: the element, in row-major order of the value, at each position."""
        axes = []
        for digits in self.axes:
            found = np.zeros(1, np.int64)
            for stride, size in digits:
                found = (found[:, None] + np.arange(size) * stride).reshape(-1)
            axes.append(found)
        c, h, w = axes
        return c[:, None, None] + h[:, None] + w


def strides(extent: Sequence[int]) -> list[int]:
    """Of a contiguous tensor."""
    return list(accumulate(reversed(extent[1:]), initial=1, func=lambda a, b: a * b))[::-1][-len(extent) :]


def merged(digits: Digits) -> Digits:
    """The same positions with as few digits as there can be."""
    found: list[Digit] = []
    for stride, size in digits:
        if size == 1:
            continue
        if found and found[-1][0] == stride * size:
            found[-1] = (stride, found[-1][1] * size)
        else:
            found.append((stride, size))
    return tuple(found)


def split(digit: Digit, extent: Extent) -> list[tuple[int, int, int]]:
    """A digit cut where axes of the value end: (axis, stride, size), most significant first.

    Raises:
        ValueError: an axis ends within the digit.
    """
    stride, size = digit
    parts = []
    for axis, inner in reversed(list(enumerate(strides(extent)))):
        if extent[axis] == 1 or stride >= inner * extent[axis] or size == 1:
            continue
        if stride < inner or stride % inner:
            raise ValueError(f"digit {digit} does not fit {extent}")
        room = inner * extent[axis] // stride
        taken = min(size, room)
        if size % taken or inner * extent[axis] % (stride * taken):
            raise ValueError(f"digit {digit} does not fit {extent}")
        parts.append((axis, stride, taken))
        stride, size = stride * taken, size // taken
    if size > 1:
        raise ValueError(f"digit {digit} does not fit {extent}")
    return parts[::-1]


def of_axes(
    extent: Extent, channels: Sequence[int], rows: Sequence[int] = (), columns: Sequence[int] = ()
) -> Layout:
    """Some axes of the value along each axis of the map."""
    step = strides(extent)
    c, h, w = (tuple((step[axis], extent[axis]) for axis in axes) for axes in (channels, rows, columns))
    return Layout(c, h, w)


def usual(extent: Extent) -> Layout:
    """Of a batch of one: (C, H, W) of a picture, tokens along H, and channels alone."""
    axes = list(range(1, len(extent)))
    if len(extent) == 4:
        return of_axes(extent, [1], [2], [3])
    if len(extent) == 3:
        return of_axes(extent, [2], [1])
    return of_axes(extent, axes)
