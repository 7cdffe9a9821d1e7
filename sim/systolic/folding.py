"""Few input channels: positions of the kernel beside them on the rows of the array. `docs/timing.md` section 7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from sim import formats
from sim.accelerator import Accelerator
from sim.shapes import Axis, ConvShape, Unfolded


def ways(shape: ConvShape, accelerator: Accelerator, form: str) -> tuple[ConvShape, ...]:
    """All ways to see a layer: as it is, with kernel columns folded, and more and more kernel rows beside them.

    Folded, channel (r*f + i)*C + c of an ifmap pixel is channel c of the line r and the column i behind its first.
    G groups of columns stay as kernel columns; each output column has its own G, so the stride along x is G. A folded
    line is F lines, from one to the next it is the stride along y, or the largest of its divisors up to F where that is
    less than Ky: where F is more they share lines. ceil((Ky - F) / pitch) + 1 kernel rows stay.
    A codebook has no record of zeros: there each place is one of the kernel's.
    Grouped, dilated and dynamic layers are not folded, nor those with group scales, which differ between positions.
    """
    stream = formats.stream(form)
    if shape.groups > 1 or shape.dilation[1] > 1 or shape.dynamic or stream.scale_rows(accelerator):
        return (shape,)
    whole = stream.coded
    width = _columns(shape, accelerator.rows // shape.channels, whole)
    found = [shape] if width == 1 else [shape, _folded(shape, width)]
    if shape.dilation[0] == 1:
        for high, pitch in _rows(shape, accelerator.rows // (shape.channels * width), whole):
            found.append(_folded(shape, width, high, pitch))
    return tuple(found)


def _columns(shape: ConvShape, room: int, whole: bool) -> int:
    """Kernel columns side by side, evenly spread over as few groups as there is room for."""
    kx = shape.kernel[1]
    most = min(kx, max(1, room))
    return max(f for f in range(1, most + 1) if kx % f == 0) if whole else ceil(kx / ceil(kx / most))


def _rows(shape: ConvShape, room: int, whole: bool) -> Iterator[tuple[int, int]]:
    """(F, pitch): the fewest lines on one another for each number of kernel rows that can stay."""
    ky, stride = shape.kernel[0], shape.stride[0]
    left = ky
    for high in range(2, min(ky, room) + 1):
        pitch = stride if high == ky else max(p for p in range(1, high + 1) if stride % p == 0)
        stay = ceil((ky - high) / pitch) + 1
        if stay < left and not (whole and stay > 1 and (high > pitch or ky % pitch)):
            left = stay
            yield high, pitch


def _folded(shape: ConvShape, width: int, high: int = 1, pitch: int = 1) -> ConvShape:
    """With `width` columns and `high` lines in the channels of a pixel, lines `pitch` apart."""
    (ky, kx), (y, x) = shape.kernel, shape.axes
    positions, stride = (ceil((ky - high) / pitch) + 1, ceil(kx / width)), y.stride // pitch
    padding, size = y.padding, y.size
    end = None if shape.padding_end is None else (shape.padding_end[0], 0)
    if high > 1:  # padding shares lines with the map, so it lies in memory like that of columns
        padding, size, end = 0, (shape.out_h - 1) * stride + positions[0], None
        y = Axis(y.size, high + pitch * (positions[0] - 1), y.stride, y.padding)
    return replace(
        shape,
        channels=shape.channels * width * high,
        kernel=positions,
        stride=(stride, positions[1]),
        padding=(padding, 0),
        padding_end=end,
        size=(size, shape.out_w * positions[1]),
        line_bytes=shape.size[1] * shape.channels,
        unfolded=Unfolded(y, x, high, width),
    )
