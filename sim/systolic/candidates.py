"""Every way to run a layer that the mapping search considers, as arrays: one element a candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import WORD, ConvShape
from sim.systolic.schedule import Schedule, Source, fold, spills

TILES = (1, 2)
"""How many times more spatial tiles than L1 asks for: the next one loads while one computes."""

STRIPS = 6
"""Widths of strips that are tried, from the widest that L1 holds on: narrower ones are taller, with fewer halos."""


@dataclass(frozen=True, eq=False)
class Space:
    """Candidates of one way to see the layer, folded or not; int64 or bool [n] each.

    Attributes:
        base: with A = B = D = 1 and the smallest tiles of its strips; from DRAM or L2.
        stays: a single tile may be used where it is, in L1.
        A, B, D, overlap, rows, outer, split: fields of the schedules; rows = tile_rows.
    """

    base: Schedule
    stays: bool
    A: np.ndarray
    B: np.ndarray
    D: np.ndarray
    overlap: np.ndarray
    rows: np.ndarray
    outer: np.ndarray
    split: np.ndarray

    def __len__(self) -> int:
        return len(self.A)

    def schedule(self, n: int) -> Schedule:
        """Candidate number n."""
        return replace(
            self.base,
            A=int(self.A[n]),
            B=int(self.B[n]),
            D=int(self.D[n]),
            overlap=bool(self.overlap[n]),
            tile_rows=int(self.rows[n]),
            outputs_outer=bool(self.outer[n]),
            split_channels=bool(self.split[n]),
            source="l1" if self.resident[n] else self.base.source,
        )

    @cached_property
    def trips_i(self) -> np.ndarray:
        """Steps over output groups."""
        return -(-self.base.output_groups // self.A)

    @cached_property
    def chunks(self) -> np.ndarray:
        """Chunks of a step over output groups: those over channel groups times those over positions."""
        return -(-self.base.channel_groups // self.B) * -(-self.base.positions // self.D)

    @cached_property
    def tiles(self) -> np.ndarray:
        """Spatial tiles."""
        return self.base.strips * -(-self.base.shape.out_h // self.rows)

    @cached_property
    def resident(self) -> np.ndarray:
        """The ifmap is used where the layer before left it, in L1."""
        return self.stays & (self.tiles == 1) & ~self.split

    @cached_property
    def again(self) -> np.ndarray:
        """Tiles come again for each step over output groups."""
        return self.split | (self.outer & (self.tiles > 1))

    def ifmap_words(self) -> tuple[np.ndarray, np.ndarray]:
        """Words of an ifmap pixel: the most at once and in all."""
        one = self.base
        return _per_step(one.tiling.ifmap_words, one.channels, self.B * one.accelerator.rows, self.split)

    def residual_words(self) -> np.ndarray:
        """Words of a residual pixel in all."""
        one = self.base
        step = self.A * one.accelerator.columns
        return _per_step(one.tiling.residual_words, one.outputs, step, self.again)[1]


def spaces(
    shape: ConvShape, accelerator: Accelerator, form: str, codewords: int, source: Source
) -> list[Space]:
    """The layer as it is, and folded where that is another way to see it.

    Raises:
        InputError: no schedule fits.
    """
    base: Source = "dram" if source == "dram" or spills(shape, accelerator) else "l2"
    found: list[Space] = []
    for seen in dict.fromkeys((shape, fold(shape, accelerator, form))):
        stays, strips = source == "l1" and seen is shape and base == "l2", 0
        for width in _widths(seen.out_w):
            try:
                space = _space(_smallest(accelerator, seen, form, codewords, base, width), stays)
            except InputError:
                continue
            if not len(space):
                continue
            found.append(space)
            strips += width > 0
            if strips == STRIPS or (not width and _tall(space)):
                break
    if not found:  # the narrowest strip, and then the factors that the machine fixes, say what they lack
        one = _smallest(accelerator, shape, form, codewords, base, 1)
        A, B, D, _ = (int(field[0]) for field in _factors(one))
        replace(one, A=A, B=B, D=D)
    assert found
    return found


def _widths(columns: int) -> list[int]:
    """Widths of strips of an ofmap with so many columns, the whole (0) first, a single one last."""
    counts = sorted(
        {n << e for n in (2, 3) for e in range(columns.bit_length()) if n << e < columns} | {columns}
    )
    return [0, *dict.fromkeys(-(-columns // count) for count in counts if count > 1)]


def _smallest(
    accelerator: Accelerator, seen: ConvShape, form: str, codewords: int, source: Source, width: int
) -> Schedule:
    """With the smallest tiles of a strip, of the residual operand too."""
    split = -(-seen.channels // seen.groups // accelerator.rows) > 1 or (
        bool(seen.residual) and -(-seen.outputs // seen.groups // accelerator.columns) > 1
    )
    return Schedule(
        accelerator,
        seen,
        form,
        codewords,
        overlap=False,
        split_channels=split,
        source=source,
        strip_columns=width,
    )


def _tall(space: Space) -> bool:
    """Whether the tallest tile of the whole width brings no more lines again than new ones."""
    y, rows = space.base.shape.axes[0], int(space.rows.max())
    return rows == space.base.shape.out_h or y.reach - y.stride <= rows * y.stride


def _space(one: Schedule, stays: bool) -> Space:
    """Legal factors, each with tiles as large as L1 holds, once or doubly buffered, and finer ones."""
    shape = one.shape
    A, B, D, overlap = _factors(one)
    trips_i, trips_j = -(-one.output_groups // A), -(-one.channel_groups // B)
    held = _finished_lines(one, A, B, D)
    parts = []
    for buffers, outer, split in product((1, 2), (False, True), (False, True)):
        rows = np.minimum(held, _incoming_lines(one, A, B, buffers, split, split or outer))
        for finer in TILES:
            tiles = np.minimum(-(-shape.out_h // np.maximum(rows, 1)) * finer, shape.out_h)
            even = -(-shape.out_h // tiles)
            fits = rows >= 1
            if split:
                fits &= (trips_j > 1) | ((trips_i > 1) & bool(shape.residual))
            if outer:
                fits &= (one.strips * tiles > 1) & (trips_i > 1)
            parts.append(
                [
                    field[fits]
                    for field in (A, B, D, overlap, even, np.full(len(A), outer), np.full(len(A), split))
                ]
            )
    rows = np.stack([np.concatenate(column) for column in zip(*parts, strict=True)])
    A, B, D, overlap, even, outer, split = np.unique(rows, axis=1)
    return Space(one, stays, A, B, D, overlap.astype(bool), even, outer.astype(bool), split.astype(bool))


def _finished_lines(one: Schedule, A: np.ndarray, B: np.ndarray, D: np.ndarray) -> np.ndarray:
    """Output rows of a tile whose psums, and whose finished rows, L1 holds; 0 for none. int64 [n]."""
    acc = one.accelerator
    trips_j, trips_k = -(-one.channel_groups // B), -(-one.positions // D)
    columns = np.minimum(A * acc.columns, one.outputs)
    psums = np.where(trips_j * trips_k > 1, one.tile_width * columns * acc.psum_store_bits // 8, 0)
    last = (one.channel_groups - (trips_j - 1) * B) * (one.positions - (trips_k - 1) * D) * one.split
    backlog = one.tile_width * np.array(
        [one.tiling.waiting_bytes(*pair) for pair in zip(A.tolist(), last.tolist(), strict=True)], np.int64
    )
    return np.minimum(acc.psum_bytes // np.maximum(psums, 1), acc.ofmap_bytes // np.maximum(backlog, 1))


def _incoming_lines(
    one: Schedule, A: np.ndarray, B: np.ndarray, buffers: int, split: bool, again: bool
) -> np.ndarray:
    """Output rows of a tile whose ifmap, and whose residual operand, L1 holds `buffers` times. int64 [n]."""
    acc, shape, tiling = one.accelerator, one.shape, one.tiling
    line = (
        WORD * tiling.ifmap_tile_columns * _per_step(tiling.ifmap_words, one.channels, B * acc.rows, split)[0]
    )
    room = acc.ifmap_bytes // buffers // line
    kernel = (shape.kernel[0] - 1) * shape.dilation[0] + 1
    rows = np.minimum(shape.out_h, (room - kernel) // shape.stride[0] + 1)
    rows = np.where(room >= shape.size[0], shape.out_h, rows)
    words, _ = _per_step(tiling.residual_words, one.outputs, A * acc.columns, again)
    residual = WORD * one.tile_width * words
    return np.minimum(rows, acc.residual_bytes // buffers // np.maximum(residual, 1))


def _per_step(
    found: Callable[[int], tuple[int, int]], whole: int, step: np.ndarray, steps: np.ndarray | bool
) -> tuple[np.ndarray, np.ndarray]:
    """Words of a pixel, the most at once and in all, for `whole` channels or in steps; int64 [n] each."""
    sizes, which = np.unique(np.where(steps, np.minimum(step, whole), whole), return_inverse=True)
    most, total = np.array([found(size) for size in sizes.tolist()], np.int64)[which].T
    return most, total


def _factors(one: Schedule) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Legal (A, B, D, overlap), small ones first; int64 [n] each."""
    acc = one.accelerator
    limits = (one.output_groups, one.channel_groups, one.positions)
    if acc.dataflow == "ws":
        limits = (1, 1, 1)
    if acc.extension is not None:
        A, B, D = (min(pair) for pair in zip(limits, acc.extension, strict=True))
        rows = [(A, B, D, acc.weight_overlap and 2 * A * B * D * one.split <= acc.wrf_depth)]
    else:
        rows = []
        for overlap in (True, False) if acc.weight_overlap else (False,):
            depth = acc.wrf_depth // (2 if overlap else 1) // one.split
            rows += [
                (A, B, D, overlap)
                for A in range(1, min(limits[0], depth, acc.prf_depth) + 1)
                for B in range(1, min(limits[1], depth // A) + 1)
                for D in range(1, min(limits[2], depth // (A * B)) + 1)
                if acc.arf_depth >= 2 * B * D
            ]
    A, B, D, overlap = np.array(rows, np.int64).T
    return A, B, D, overlap.astype(bool)
