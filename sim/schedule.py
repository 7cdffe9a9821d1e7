"""How one layer runs: extension factors, spatial tile, weight format, and the slot demands.

Symbols follow MVQ Fig. 7: A output-channel groups, B input-channel groups, D kernel positions
resident at once. `docs/timing.md` sections 2 and 4 say what each quantity means.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import ConvShape

Format = Literal["dense", "split", "vq", "mvq"]


def fold(shape: ConvShape, accelerator: Accelerator, form: Format) -> ConvShape:
    """Kernel columns folded into channels, as many as the array's rows hold.

    Channel i*C + c of the folded ifmap is channel c of the column i further right. G groups of
    columns stay as kernel columns; each output column has its own G, so the stride along x is G.
    A codebook has no record of zeros to fill up a last group: there the width divides the kernel.
    """
    kx = shape.kernel[1]
    most = min(kx, max(1, accelerator.rows // shape.channels))
    width = ceil(kx / ceil(kx / most))
    if form in ("vq", "mvq"):
        width = max(f for f in range(1, most + 1) if kx % f == 0)
    if width == 1:
        return shape
    groups = ceil(kx / width)
    return ConvShape(shape.name, shape.channels * width, shape.outputs, (shape.kernel[0], groups),
                     (shape.stride[0], groups), (shape.padding[0], 0),
                     (shape.size[0], shape.out_w * groups), shape.residual)


@dataclass(frozen=True)
class Schedule:
    """One convolution on one accelerator.

    Attributes:
        shape: the layer as the array sees it, folded or not.
        format: what a row of the weight stream carries; see `sim.encoding`.
        codewords: k of the layer's codebook, 0 without one.
        a, b, d: extension factors.
        overlap: two WRF banks, the next chunk loads while this one computes.
        tile_rows: output rows of a spatial tile.

    Raises:
        InputError: a factor, a register file or L1 does not hold what is asked of it.
    """

    accelerator: Accelerator
    shape: ConvShape
    format: Format = "dense"
    codewords: int = 0
    a: int = 1
    b: int = 1
    d: int = 1
    overlap: bool = True
    tile_rows: int = 1

    def __post_init__(self) -> None:
        acc, layer = self.accelerator, self.shape
        if acc.dataflow == "ws" and (self.a, self.b, self.d) != (1, 1, 1):
            raise InputError("A, B, D", (self.a, self.b, self.d), "a weight-stationary array holds "
                             "one weight a PE", "use 1, 1, 1 or dataflow = 'ews'")
        tokens = self.a * self.b * self.d * self.split
        depth = acc.wrf_depth // 2 if self.overlap else acc.wrf_depth
        if tokens > depth:
            product = f"{self.a}*{self.b}*{self.d}*{self.split}"
            raise InputError("A*B*D*U", product, f"{tokens} entries exceed the {depth} of a WRF bank",
                             f"choose factors whose product is at most {depth}, or raise wrf_depth")
        if self.a > acc.prf_depth:
            raise InputError("A", self.a, f"prf_depth is {acc.prf_depth}", "lower A")
        if 2 * self.b * self.d > acc.arf_depth:
            raise InputError("B*D", self.b * self.d, "window and next pixel exceed arf_depth = "
                             f"{acc.arf_depth}", "lower B or D, or raise arf_depth")
        if not 1 <= self.tile_rows <= layer.out_h:
            raise InputError("tile_rows", self.tile_rows, f"the ofmap has {layer.out_h} rows",
                             f"use 1..{layer.out_h}")
        if self.ifmap_tile_bytes > acc.ifmap_bytes:
            raise InputError(f"{layer.name}: ifmap tile", self.ifmap_tile_bytes, "bytes exceed the "
                             f"{acc.ifmap_bytes} of the ifmap group", "lower tile_rows or raise l1_bytes")
        if self.psum_tile_bytes > acc.psum_bytes:
            raise InputError(f"{layer.name}: psum tile", self.psum_tile_bytes, "bytes exceed the "
                             f"{acc.psum_bytes} of the psum group", "lower tile_rows or raise l1_bytes")

    @property
    def split(self) -> int:
        """U, sub-records of a weight."""
        return self.accelerator.split if self.format == "split" else 1

    @property
    def output_groups(self) -> int:
        return -(-self.shape.outputs // self.accelerator.columns)

    @property
    def channel_groups(self) -> int:
        return -(-self.shape.channels // self.accelerator.rows)

    @property
    def positions(self) -> int:
        return self.shape.kernel[0] * self.shape.kernel[1]

    @property
    def trips(self) -> tuple[int, int, int]:
        """Trips of the loops over i (output groups), j (channel groups), k (positions)."""
        return (-(-self.output_groups // self.a), -(-self.channel_groups // self.b),
                -(-self.positions // self.d))

    @property
    def tiles(self) -> int:
        return -(-self.shape.out_h // self.tile_rows)

    @property
    def ifmap_tile_bytes(self) -> int:
        layer = self.shape
        rows = min((self.tile_rows - 1) * layer.stride[0] + layer.kernel[0], layer.size[0])
        return rows * layer.size[1] * layer.channels

    @property
    def psum_tile_bytes(self) -> int:
        """Stored psums of a tile; none when one chunk finishes an output group."""
        if self.trips[1] * self.trips[2] == 1:
            return 0
        columns = min(self.a * self.accelerator.columns, self.shape.outputs)
        return (self.tile_rows * self.shape.out_w * columns * self.accelerator.psum_store_bits) // 8

    def rows_of(self, group: int) -> int:
        """Channels of input-channel group number `group`."""
        return min(self.accelerator.rows, self.shape.channels - group * self.accelerator.rows)

    def columns_of(self, group: int) -> int:
        """Output channels of output-channel group number `group`."""
        return min(self.accelerator.columns, self.shape.outputs - group * self.accelerator.columns)

    def row_bits(self, columns: int) -> int:
        """Bits of a weight row that serves `columns` output channels."""
        acc = self.accelerator
        if self.format == "dense":
            return 8 * columns
        records = -(-columns // acc.codeword_length)
        if self.format == "split":
            return records * acc.multipliers_per_codeword * 8
        return records * acc.record_bits(self.codewords)

    @cached_property
    def vector_cycles(self) -> tuple[int, ...]:
        """Fetch cycles of one activation vector, by input-channel group."""
        banks = self.accelerator.ifmap_banks
        words = (ceil(self.rows_of(g) / 8) for g in range(self.channel_groups))
        return tuple(ceil(n / banks) for n in words)

    def new_vectors(self, first_position: int, row_start: bool) -> int:
        """Vectors fetched for a pixel and channel group, of the positions from `first_position`."""
        _, kx = self.shape.kernel
        last = min(first_position + self.d, self.positions)
        total, position = 0, first_position
        while position < last:
            end = min(last, (position // kx + 1) * kx)
            resident = end - position
            reuse = self.accelerator.arf_reuse and not row_start
            total += min(self.shape.stride[1], resident) if reuse else resident
            position = end
        return total

    def psum_cycles(self, a: int) -> int:
        """Cycles to read or write the stored psums of one pixel, `a` output groups."""
        acc = self.accelerator
        words = ceil(acc.columns * acc.psum_store_bits / 64)
        return a * ceil(words / acc.psum_banks)

    def store_cycles(self, a: int) -> int:
        """Storer cycles of one pixel, `a` output groups."""
        acc = self.accelerator
        residual = ceil(ceil(acc.columns / 8) / acc.ifmap_banks) if self.shape.residual else 0
        return a * (ceil(acc.columns / acc.requant_lanes) + residual)
