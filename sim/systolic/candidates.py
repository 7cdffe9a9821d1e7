"""Every legal way to run a layer, as boxes: factors, and ranges of tile rows and strip columns. The mapping search
splits them until one schedule is left in each that may be the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import WORD, ConvShape
from sim.systolic.folding import ways
from sim.systolic.schedule import Schedule, Source, least_rows, spills

FACTORS = np.dtype(
    [(name, np.int64) for name in ("A", "B", "D", "psums", "waiting")]
    + [(name, np.int64, 2) for name in ("ifmap", "ifmap_most", "residual", "residual_most")]
)
"""Of factors A, B, D and a pixel: bytes of stored psums, and of finished outputs that wait; words of the ifmap in all
and of one tile at most, without and with `split_channels`; words of the residual operand, without and with tiles that
come again for each step over output groups.
"""
CUTS = 8
"""Parts that a box is cut into."""
_STEPS = np.arange(1, CUTS)[:, None]
_MORE, _BELOW = np.array([[0, 0, 1, 2, 4, 8, 32], [0, 1, 1, 1, 1, 1, 1]], np.int64)[:, :, None]
BOX = np.dtype(
    [(name, np.int64) for name in ("factors", "rows", "low_rows", "columns", "low_columns")]
    + [(name, np.bool_) for name in ("overlap", "outer", "split")]
)
"""Of all schedules of some factors (by number), with low_rows..rows output rows and low_columns..columns output columns
a tile.
"""


@dataclass(frozen=True, eq=False)
class Space:
    """Schedules of one way to see the layer, folded or not.

    Attributes:
        base: with A = B = D = 1 and the smallest tiles; from DRAM or L2.
        stays: a single tile may be used where it is, in L1.
        factors: FACTORS [n].
        boxes: BOX [n], which hold every legal schedule, but for those that are another one by a different name or do
            the same with more transfers.
    """

    base: Schedule
    stays: bool
    factors: np.ndarray
    boxes: np.ndarray

    def schedule(self, box: np.void) -> Schedule:
        """The only one of a box."""
        out_h, out_w = self.base.shape.out_h, self.base.shape.out_w
        of, rows, columns = self.factors[box["factors"]], int(box["rows"]), int(box["columns"])
        resident = self.stays and (rows, columns) == (out_h, out_w) and not box["split"]
        return replace(
            self.base,
            A=int(of["A"]),
            B=int(of["B"]),
            D=int(of["D"]),
            overlap=bool(box["overlap"]),
            tile_rows=rows,
            outputs_outer=bool(box["outer"]),
            split_channels=bool(box["split"]),
            source="l1" if resident else self.base.source,
            strip_columns=0 if columns == out_w else columns,
        )

    def parts(self, boxes: np.ndarray) -> np.ndarray:
        """Smaller boxes with the same schedules as these, none of which is a single one.

        The direction that leaves more numbers of tiles open is cut: where all have as many tiles, evenly, else into
        those with the fewest tiles, and with some more.
        """
        out_h, out_w = self.base.shape.out_h, self.base.shape.out_w
        rows = boxes["rows"] * boxes["low_columns"] >= boxes["columns"] * boxes["low_rows"]
        low = np.where(rows, boxes["low_rows"], boxes["low_columns"])
        high = np.where(rows, boxes["rows"], boxes["columns"])
        whole = np.where(rows, out_h, out_w)
        fewest = -(-whole // high)
        even = -(-whole // (fewest + _MORE)) - _BELOW
        cuts = np.where(
            (low > even[1]) | (high - low < CUTS), low - 1 + (high - low + 1) * _STEPS // CUTS, even[::-1]
        )
        edges = np.concatenate([[low - 1], np.clip(cuts, low - 1, high), [high]])
        part, which = np.nonzero(edges[1:] > edges[:-1])
        found, above = boxes[which], rows[which]
        least, most = edges[part, which] + 1, edges[part + 1, which]
        for axis, cut in (("rows", above), ("columns", ~above)):
            found[f"low_{axis}"] = np.where(cut, least, found[f"low_{axis}"])
            found[axis] = np.where(cut, most, found[axis])
        return self.legal(found)

    def evenly(self) -> np.ndarray:
        """Boxes of single schedules that are often good: tiles as wide as the map, as tall as L1 holds once or twice
        or half as tall, spread evenly.
        """
        out_h, out_w = self.base.shape.out_h, self.base.shape.out_w
        boxes = self.boxes[self.boxes["low_columns"] == out_w]
        rows: list[np.ndarray] = []
        found = [boxes[:0]]
        for buffers in (1, 2):
            held = self._most_rows(
                boxes["columns"], self._ifmap_pixels(boxes, buffers), self._pixels(boxes, buffers)
            )
            tiles = -(-out_h // np.clip(held, 1, boxes["rows"]))
            for finer in (1, 2):
                even = -(-out_h // np.minimum(finer * tiles, out_h))
                fresh = (held > 0) & (even >= boxes["low_rows"])
                for other in rows:
                    fresh &= even != other
                rows.append(np.where(fresh, even, 0))
                part = boxes[fresh]
                part["rows"] = part["low_rows"] = even[fresh]
                found.append(part)
        return np.concatenate(found)

    def legal(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes without the rows and columns that L1 holds of none of their schedules."""
        (y, x), out_w = self.base.shape.axes, self.base.shape.out_w
        boxes, ifmap, pixels = boxes.copy(), self._ifmap_pixels(boxes, 1), self._pixels(boxes, 1)
        room = ifmap // np.minimum((boxes["low_rows"] - 1) * y.stride + y.reach, y.size)
        columns = np.where(room >= x.size, out_w, np.minimum((room - x.reach) // x.stride + 1, out_w - 1))
        if self.base.shape.pool:
            columns = np.minimum(columns, self.base.accelerator.residual_bytes // self.base.tiling.line_bytes)
        boxes["columns"] = np.minimum(
            boxes["columns"], np.minimum(columns, pixels // np.maximum(boxes["low_rows"], 1))
        )
        boxes["rows"] = np.minimum(boxes["rows"], self._most_rows(boxes["low_columns"], ifmap, pixels))
        return boxes[(boxes["rows"] >= boxes["low_rows"]) & (boxes["columns"] >= boxes["low_columns"])]

    def fits_twice(self, boxes: np.ndarray) -> np.ndarray:
        """Whether L1 holds the smallest tile, its ifmap and residual operand, two times."""
        ifmap, pixels = self._ifmap_pixels(boxes, 2), self._pixels(boxes, 2)
        return self._most_rows(boxes["low_columns"], ifmap, pixels) >= boxes["low_rows"]

    def _most_rows(self, columns: np.ndarray, ifmap: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Output rows of a tile of so many columns, with room for pixels of the ifmap and of the ofmap."""
        y, x = self.base.shape.axes
        whole = columns == self.base.shape.out_w
        taken = np.where(whole, x.size, np.minimum((columns - 1) * x.stride + x.reach, x.size))
        room = ifmap // taken
        rows = np.where(room >= y.size, self.base.shape.out_h, (room - y.reach) // y.stride + 1)
        return np.minimum(rows, pixels // columns)

    def _ifmap_pixels(self, boxes: np.ndarray, buffers: int) -> np.ndarray:
        words = self.factors["ifmap_most"][boxes["factors"], boxes["split"].astype(int)]
        return self.base.accelerator.ifmap_bytes // buffers // (WORD * words)

    def _pixels(self, boxes: np.ndarray, buffers: int) -> np.ndarray:
        """Output pixels of a tile whose psums, finished outputs and residual operand L1 holds."""
        acc, of = self.base.accelerator, self.factors[boxes["factors"]]
        again = (boxes["split"] | boxes["outer"]).astype(int)
        residual = WORD * self.factors["residual_most"][boxes["factors"], again]
        return np.minimum.reduce(
            [
                acc.psum_bytes // np.maximum(of["psums"], 1),
                acc.ofmap_bytes // np.maximum(of["waiting"], 1),
                acc.residual_bytes // buffers // np.maximum(residual, 1),
            ]
        )


def spaces(
    shape: ConvShape, accelerator: Accelerator, form: str, codewords: int, source: Source
) -> list[Space]:
    """The layer as it is, and folded where that is another way to see it.

    Raises:
        InputError: no schedule fits.
    """
    base: Source = "dram" if source == "dram" or spills(shape, accelerator) else "l2"
    found: list[Space] = []
    for seen in ways(shape, accelerator, form):
        try:
            one = _smallest(accelerator, seen, form, codewords, base)
        except InputError:
            continue
        space = _space(one, source == "l1" and seen is shape and base == "l2")
        if len(space.boxes):
            found.append(space)
    if not found:  # the narrowest strip, and then the factors that the machine fixes, say what they lack
        one = _smallest(accelerator, shape, form, codewords, base)
        A, B, D, _ = (int(field[0]) for field in _factors(one))
        replace(one, A=A, B=B, D=D)
    assert found
    return found


def _smallest(
    accelerator: Accelerator, seen: ConvShape, form: str, codewords: int, source: Source
) -> Schedule:
    """With the smallest tile, of the residual operand too."""
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
        tile_rows=min(least_rows(seen.pool), seen.out_h) if seen.pool else 1,
        outputs_outer=seen.pool is not None,
        source=source,
        strip_columns=1,
    )


def _space(one: Schedule, stays: bool) -> Space:
    """All boxes of the legal factors: tiles as wide as the map, the whole map for itself, and strips."""
    out_h, out_w = one.shape.out_h, one.shape.out_w
    A, B, D, overlap = _factors(one)
    triples, which = np.unique([A, B, D], axis=1, return_inverse=True)
    factors = _needs(one, *triples)
    trips_i, trips_j = -(-one.output_groups // A), -(-one.channel_groups // B)
    parts, least = [], one.tile_rows
    for outer, split in ((False, False), (False, True), (True, False), (True, True)):
        useful = np.ones(len(A), bool)
        if split:
            useful &= (trips_j > 1) | ((trips_i > 1) & bool(one.shape.residual))
        if outer:
            useful &= trips_i > 1
        for low_rows, rows, low_columns, columns in (
            (out_h, out_h * (not outer), out_w, out_w),
            (least, out_h - 1, out_w, out_w),
            (least, out_h, 1, out_w - 1),
        ):
            several = (low_rows, low_columns) != (out_h, out_w)
            now = useful & (trips_i == 1) if one.shape.pool and several and not outer else useful
            boxes = np.zeros(now.sum(), BOX)
            boxes["factors"], boxes["overlap"] = which.reshape(-1)[now], overlap[now]
            boxes["outer"], boxes["split"] = outer, split
            boxes["low_rows"], boxes["rows"] = low_rows, rows
            boxes["low_columns"], boxes["columns"] = low_columns, columns
            parts.append(boxes)
    space = Space(one, stays, factors, parts[0][:0])
    return replace(space, boxes=space.legal(np.concatenate(parts)))


def _needs(one: Schedule, A: np.ndarray, B: np.ndarray, D: np.ndarray) -> np.ndarray:
    """FACTORS of some A, B, D."""
    acc, tiling = one.accelerator, one.tiling
    found = np.zeros(len(A), FACTORS)
    found["A"], found["B"], found["D"] = A, B, D
    trips_j, trips_k = -(-one.channel_groups // B), -(-one.positions // D)
    columns = np.minimum(A * acc.columns, one.outputs)
    found["psums"] = np.where(trips_j * trips_k > 1, columns * acc.psum_store_bits // 8, 0)
    last = (one.channel_groups - (trips_j - 1) * B) * (one.positions - (trips_k - 1) * D) * one.split
    found["waiting"] = [tiling.waiting_bytes(*pair) for pair in zip(A.tolist(), last.tolist(), strict=True)]
    for name, of, whole, step in (
        ("ifmap", tiling.ifmap_words, one.channels, B * acc.rows),
        ("residual", tiling.residual_words, one.outputs, A * acc.columns),
    ):
        for stepped in (0, 1):
            most, total = _per_step(of, whole, step if stepped else np.full_like(step, whole))
            found[name][:, stepped], found[f"{name}_most"][:, stepped] = total, most
    return found


def _per_step(
    found: Callable[[int], tuple[int, int]], whole: int, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Words of a pixel, the most at once and in all, in steps of so many of `whole` channels; int64 [n] each."""
    sizes, which = np.unique(np.minimum(step, whole), return_inverse=True)
    most, total = np.array([found(size) for size in sizes.tolist()], np.int64)[which].T
    return most, total


def _factors(one: Schedule) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Legal (A, B, D, overlap), small ones first; int64 [n] each."""
    acc = one.accelerator
    limits = (1 if one.shape.pool else one.output_groups, one.channel_groups, one.positions)
    if acc.dataflow == "ws":
        limits = (1, 1, 1)
    if acc.extension is not None:
        A, B, D = (min(pair) for pair in zip(limits, acc.extension, strict=True))
        overlaps = (
            (True, False) if acc.weight_overlap and 2 * A * B * D * one.split <= acc.wrf_depth else (False,)
        )
        rows = [(A, B, D, overlap) for overlap in overlaps]
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
