"""A layer as SCALE-Sim runs it, which makes cycles comparable one to one."""

from __future__ import annotations

from sim.accelerator import Accelerator
from sim.shapes import ConvShape
from sim.systolic.schedule import Schedule


def as_matrix_product(shape: ConvShape, accelerator: Accelerator) -> ConvShape:
    """A convolution as the product [M, K] x [K, N] that SCALE-Sim takes it for.

    M = output pixels, N = outputs, K = channels * kernel area; a row of the first matrix is one window
    (im2col), its columns in the order (channel, y, x) of a weight's [C, Ky, Kx]. SCALE-Sim always loads
    all rows of the array, so zeros fill K up to whole arrays. Groups are products of their own.

    Returns:
        1x1 kernel on a map of (M, 1), K of each group a multiple of the accelerator's rows.
    """
    depth = shape.channels // shape.groups * shape.kernel[0] * shape.kernel[1]
    filled = -(-depth // accelerator.rows) * accelerator.rows
    return ConvShape(
        shape.name,
        shape.groups * filled,
        shape.outputs,
        size=(shape.out_h * shape.out_w, 1),
        groups=shape.groups,
        chained=shape.chained,
    )


def serial(shape: ConvShape, accelerator: Accelerator) -> Schedule:
    """Its matrix product in one tile, every load of weights after the last use of those before."""
    product = as_matrix_product(shape, accelerator)
    return Schedule(accelerator, product, overlap=False, tile_rows=product.out_h)
