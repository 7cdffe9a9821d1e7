"""How one layer runs: extension factors, loop order, spatial tile, weight format, and the slot demands.

Symbols follow MVQ Fig. 7: A output-channel groups, B input-channel groups, D kernel positions
resident at once. `docs/timing.md` sections 2, 4 and 7 say what each quantity means.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

from sim import formats
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import Axis, ConvShape, PassShape, Shape, map_bytes
from sim.systolic.tiling import Tiling

Source = Literal["l1", "l2", "dram"]

POOL_STAGES = 3
"""Cycles from when a row reads the line of its pool to when it has written it."""


def least_rows(pool: Axis) -> int:
    """Output rows of a tile that end a window wherever it begins."""
    return max(pool.stride, pool.reach - pool.padding)


def packs(shape: ConvShape, accelerator: Accelerator) -> int:
    """Groups of a grouped layer that lie on the array's diagonal at once; 1 where they do not fit.

    A sparse tile keeps Q weights of a codeword: there a group's outputs must fit into them.
    """
    inputs, outputs = shape.channels // shape.groups, shape.outputs // shape.groups
    if accelerator.sparse_tile and (
        outputs > accelerator.multipliers_per_codeword or accelerator.codeword_length % outputs
    ):
        return 1
    return max(1, min(accelerator.rows // inputs, accelerator.columns // outputs, shape.groups))


def spills(shape: Shape, accelerator: Accelerator) -> bool:
    """Whether a layer's maps, both operands of a matrix product among them, exceed L2."""
    if isinstance(shape, PassShape):
        return shape.held_bytes + shape.ofmap_bytes > accelerator.map_bytes
    ifmap = shape.unfolded.y.size * shape.line_bytes if shape.unfolded else shape.ifmap_bytes
    operands = shape.weights if shape.dynamic else 0
    residual = map_bytes(shape.outputs, shape.out_h * shape.out_w) if shape.residual else 0
    return ifmap + operands + residual + shape.ofmap_bytes > accelerator.map_bytes


@dataclass(frozen=True)
class Schedule:
    """One convolution on one accelerator.

    A grouped layer runs in **parts**: one group after the other, each an ordinary convolution, or as
    many groups at once as the array's diagonal holds (format "block").

    Attributes:
        shape: the layer as the array sees it, folded or not.
        format: what a row of the weight stream carries, one of `sim.formats.FORMATS` or `LAYOUTS`.
        codewords: k of the layer's codebook, 0 without one.
        A, B, D: extension factors.
        overlap: two WRF banks, the next chunk loads while this one computes.
        tile_rows: output rows of a spatial tile.
        outputs_outer: the loop over output groups lies outside that over spatial tiles: weights are
            read from DRAM once and ifmap tiles again for each of its steps.
        split_channels: an ifmap tile holds the channels of one step over input-channel groups only, and
            comes again for each step over output groups.
        source: where the ifmap is when the layer starts. In "l1" the layer before left it.
        strip_columns: output columns of a spatial tile; 0 for the whole width.

    Raises:
        InputError: a factor, a register file or L1 does not hold what is asked of it.
    """

    accelerator: Accelerator
    shape: ConvShape
    format: str = "dense"
    codewords: int = 0
    A: int = 1
    B: int = 1
    D: int = 1
    overlap: bool = True
    tile_rows: int = 1
    outputs_outer: bool = False
    split_channels: bool = False
    source: Source = "l2"
    strip_columns: int = 0

    def __post_init__(self) -> None:
        self._check_loading()
        self._check_register_files()
        self._check_tile()
        self.tiling.check()
        self._check_source()

    def _check_loading(self) -> None:
        if self.accelerator.dataflow == "ws" and (self.A, self.B, self.D) != (1, 1, 1):
            raise InputError(
                "A, B, D",
                (self.A, self.B, self.D),
                "a weight-stationary array holds one weight a PE",
                "use 1, 1, 1 or dataflow = 'ews'",
            )
        if self.overlap and not self.accelerator.weight_overlap:
            raise InputError(
                "overlap",
                True,
                "the accelerator loads and computes in turn",
                "use overlap = False or weight_overlap = true",
            )

    def _check_register_files(self) -> None:
        acc = self.accelerator
        tokens = self.A * self.B * self.D * self.split
        depth = acc.wrf_depth // 2 if self.overlap else acc.wrf_depth
        if tokens > depth:
            product = f"{self.A}*{self.B}*{self.D}*{self.split}"
            raise InputError(
                "A*B*D*U",
                product,
                f"{tokens} entries exceed the {depth} of a WRF bank",
                f"choose factors whose product is at most {depth}, or raise wrf_depth",
            )
        if acc.prf_depth < self.A:
            raise InputError("A", self.A, f"prf_depth is {acc.prf_depth}", "lower A")
        if acc.arf_depth < 2 * self.B * self.D:
            raise InputError(
                "B*D",
                self.B * self.D,
                f"window and next pixel exceed arf_depth = {acc.arf_depth}",
                "lower B or D, or raise arf_depth",
            )

    def _check_tile(self) -> None:
        if self.stream.diagonal and (self.A, self.B) != (1, 1):
            raise InputError(
                "A, B", (self.A, self.B), "groups on the diagonal fill the array", "use A = B = 1"
            )
        if not 1 <= self.tile_rows <= self.shape.out_h:
            lines = self.shape.out_h
            raise InputError("tile_rows", self.tile_rows, f"the ofmap has {lines} rows", f"use 1..{lines}")
        if not 0 <= self.strip_columns <= self.shape.out_w:
            raise InputError(
                "strip_columns",
                self.strip_columns,
                f"the ofmap has {self.shape.out_w} columns",
                f"use 1..{self.shape.out_w}, or 0 for all",
            )
        if self.shape.pool:
            self._check_pool(self.shape.pool)

    def _check_pool(self, pool: Axis) -> None:
        """The storer keeps a line of one output group, and each tile ends a window."""
        least = least_rows(pool)
        again = self.trips[0] > 1 and not self.outputs_outer
        if self.A > 1 or (self.tiles > 1 and (again or self.tile_rows < least)):
            raise InputError(
                "A, tile_rows, outputs_outer",
                (self.A, self.tile_rows, self.outputs_outer),
                "the storer pools one output group tile after tile, and each tile ends a window",
                f"use A = 1, at least {least} rows and outputs_outer = True",
            )

    def _check_source(self) -> None:
        if self.spills and self.source != "dram":
            raise InputError("source", self.source, "the layer's maps exceed L2", "use 'dram'")
        if self.source == "l1" and (self.tiles > 1 or self.split_channels):
            raise InputError(
                "source",
                "l1",
                "the ifmap in L1 is one tile",
                f"use tile_rows = {self.shape.out_h}, strip_columns = 0, and do not split channels",
            )

    def to_json(self) -> dict[str, object]:
        """What the mapping chose."""
        return {
            "format": self.format,
            "codewords": self.codewords,
            "a": self.A,
            "b": self.B,
            "d": self.D,
            "overlap": self.overlap,
            "tile_rows": self.tile_rows,
            "strip_columns": self.strip_columns,
            "outputs_outer": self.outputs_outer,
            "pools": self.shape.pool is not None,
            "ifmap_from": self.source,
        }

    # ---- memory

    @cached_property
    def stream(self) -> formats.Format:
        """The object of `format`."""
        return formats.stream(self.format)

    @cached_property
    def tiling(self) -> Tiling:
        """Tiles, words, beats and buffers of the layer in L1, and its weights in L2."""
        return Tiling(self)

    @cached_property
    def spills(self) -> bool:
        """The layer's maps exceed L2: they come from DRAM and go there."""
        return spills(self.shape, self.accelerator)

    @property
    def loads_codebook(self) -> bool:
        """Whether a codebook job precedes the weights; a ROM needs none."""
        return self.stream.loads_codebook

    # ---- parts

    @cached_property
    def packed(self) -> int:
        """Groups of the layer in one part."""
        return packs(self.shape, self.accelerator) if self.stream.diagonal else 1

    @cached_property
    def parts(self) -> int:
        return -(-self.shape.groups // self.packed)

    @property
    def tail_groups(self) -> int:
        """Groups in the last part."""
        return self.shape.groups - (self.parts - 1) * self.packed

    @cached_property
    def channels(self) -> int:
        """Input channels of a full part."""
        return self.shape.channels // self.shape.groups * self.packed

    @cached_property
    def outputs(self) -> int:
        """Output channels of a full part."""
        return self.shape.outputs // self.shape.groups * self.packed

    def part_of(self, part: int) -> tuple[int, int]:
        """Input and output channels of part number `part`."""
        share = self.tail_groups if part == self.parts - 1 else self.packed
        return self.channels * share // self.packed, self.outputs * share // self.packed

    # ---- loops

    @cached_property
    def split(self) -> int:
        """U, sub-records of a weight."""
        return self.stream.parts(self.accelerator)

    @cached_property
    def output_groups(self) -> int:
        return -(-self.outputs // self.accelerator.columns)

    @cached_property
    def channel_groups(self) -> int:
        return -(-self.channels // self.accelerator.rows)

    @cached_property
    def positions(self) -> int:
        return self.shape.kernel[0] * self.shape.kernel[1]

    @cached_property
    def trips(self) -> tuple[int, int, int]:
        """Trips of the loops over i (output groups), j (channel groups), k (positions) of a part."""
        return (
            -(-self.output_groups // self.A),
            -(-self.channel_groups // self.B),
            -(-self.positions // self.D),
        )

    @cached_property
    def tile_width(self) -> int:
        """Output columns of a full spatial tile."""
        return self.strip_columns or self.shape.out_w

    @cached_property
    def row_tiles(self) -> int:
        """Spatial tiles of one strip."""
        return -(-self.shape.out_h // self.tile_rows)

    @cached_property
    def strips(self) -> int:
        return -(-self.shape.out_w // self.tile_width)

    @property
    def tiles(self) -> int:
        """Spatial tiles: those of a strip from top to bottom, strips from left to right."""
        return self.strips * self.row_tiles

    @property
    def ifmap_sweeps(self) -> int:
        """How often a part's whole ifmap is brought into L1."""
        return self.trips[0] if self.split_channels or (self.outputs_outer and self.tiles > 1) else 1

    def tile_place(self, tile: int) -> tuple[int, int]:
        """First output row and column of tile number `tile`."""
        return tile % self.row_tiles * self.tile_rows, tile // self.row_tiles * self.tile_width

    def tile_size(self, tile: int) -> tuple[int, int]:
        """Output rows and columns of tile number `tile`."""
        row, column = self.tile_place(tile)
        return min(self.tile_rows, self.shape.out_h - row), min(self.tile_width, self.shape.out_w - column)

    def tile_ifmap(self, tile: int) -> tuple[range, range]:
        """Ifmap rows and columns that one tile brings, halo included, padding not.

        Of a map in one strip all columns come, also those at its end that a stride leaves unread.
        """
        (row, column), (lines, columns) = self.tile_place(tile), self.tile_size(tile)
        y, x = self.shape.axes
        return y.read(row, lines), range(x.size) if self.strips == 1 else x.read(column, columns)

    def tile_dram(self, tile: int, size: int) -> int:
        """Bytes in DRAM of a tile's ifmap that has `size` in L2: as many, but where folding made it another one."""
        if self.shape.unfolded is None:
            return size
        y, x = self.shape.unfolded[:2]
        (row, column), (lines, columns) = self.tile_place(tile), self.tile_size(tile)
        wide = x.size if self.strips == 1 else len(x.read(column, columns))
        return len(y.read(row, lines)) * (self.shape.line_bytes // x.size * wide)

    def tile_extents(self, tile: int) -> tuple[int, ...]:
        """Output rows and columns, ifmap rows and columns, bytes in DRAM, first row written and how many: equal where
        tiles are alike.
        """
        written = self.tiling.written(tile)
        return (
            *self.tile_size(tile),
            *(len(read) for read in self.tile_ifmap(tile)),
            self.tile_dram(tile, 0),
            *(written.start, len(written)),
        )

    # ---- demands

    def rows_of(self, group: int, channels: int) -> int:
        """Channels of input-channel group number `group` of a part with `channels` channels."""
        return min(self.accelerator.rows, channels - group * self.accelerator.rows)

    def columns_of(self, group: int, outputs: int) -> int:
        """Output channels of output-channel group number `group` of a part with `outputs` outputs."""
        return min(self.accelerator.columns, outputs - group * self.accelerator.columns)

    def row_bits(self, columns: int) -> int:
        """Bits of a weight row that serves `columns` output channels."""
        outputs = self.shape.outputs // self.shape.groups
        return self.stream.row_bits(self.accelerator, columns, self.codewords, outputs)

    def rows_bits(self, groups: int) -> int:
        """Bits of a weight row of each of the first `groups` output groups of a full part, together."""
        last = self.columns_of(groups - 1, self.outputs)
        return (groups - 1) * self.row_bits(self.accelerator.columns) + self.row_bits(last)

    def fetch_cycles(self, first_group: int, groups: int, channels: int) -> int:
        """Fetch cycles of one activation vector of each of some input-channel groups."""
        words = self.vector_words(first_group, groups, channels)
        return sum(ceil(n / self.accelerator.ifmap_banks) for n in words)

    def vector_words(self, first_group: int, groups: int, channels: int) -> list[int]:
        """64-bit words of one activation vector of each of some input-channel groups."""
        return [ceil(self.rows_of(g, channels) / 8) for g in range(first_group, first_group + groups)]

    @cached_property
    def reuses(self) -> bool:
        """Whether the ARF keeps a sliding window; a dilated one would not slide onto itself."""
        return self.accelerator.arf_reuse and self.shape.dilation[1] == 1

    def new_vectors(self, first_position: int, row_start: bool) -> int:
        """Vectors fetched for a pixel and channel group, of the positions from `first_position`."""
        _, kx = self.shape.kernel
        last = min(first_position + self.D, self.positions)
        total, position = 0, first_position
        while position < last:
            end = min(last, (position // kx + 1) * kx)
            resident = end - position
            reuse = self.reuses and not row_start
            total += min(self.shape.stride[1], resident) if reuse else resident
            position = end
        return total

    def psum_cycles(self, A: int) -> int:
        """Cycles to read or write the stored psums of one pixel, `A` output groups."""
        acc = self.accelerator
        words = ceil(acc.columns * acc.psum_store_bits / 64)
        return A * ceil(words / acc.psum_banks)

    def store_cycles(self, A: int) -> int:
        """Storer cycles of one pixel, `A` output groups."""
        acc = self.accelerator
        residual = ceil(ceil(acc.columns / 8) / acc.ifmap_banks) if self.shape.residual else 0
        lanes = acc.wide_lanes if self.shape.wide else acc.requant_lanes
        return A * (ceil(acc.columns / lanes) + residual) + POOL_STAGES * (self.shape.pool is not None)
