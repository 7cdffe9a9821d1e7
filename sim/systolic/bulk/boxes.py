"""Boxes of schedules, and how they are cut (`sim.systolic.candidates`), compiled."""

from __future__ import annotations

import numpy as np

from sim.shapes import WORD
from sim.systolic.bulk.compiled import step
from sim.systolic.bulk.tiles import ceil_div, line_bytes

BOX = np.dtype(
    [
        (name, np.int64)
        for name in ("factors", "rows", "low_rows", "columns", "low_columns", "overlap", "outer", "split")
    ]
)
CUTS = 8
"""Parts that a box is cut into."""
_MORE, _BELOW = np.array([0, 0, 1, 2, 4, 8, 32]), np.array([0, 1, 1, 1, 1, 1, 1])


@step
def is_single(b):
    return b.rows == b.low_rows and b.columns == b.low_columns


@step
def copy_box(to, b):
    to.factors, to.overlap, to.outer, to.split = b.factors, b.overlap, b.outer, b.split
    to.rows, to.low_rows, to.columns, to.low_columns = b.rows, b.low_rows, b.columns, b.low_columns


@step
def ifmap_pixels(p, f, b, buffers):
    """Ifmap pixels of a tile that L1 holds."""
    return p.ifmap_bytes // buffers // (WORD * f.ifmap_most[b.split])


@step
def pixels_of(p, f, b, buffers):
    """Output pixels of a tile whose psums, finished outputs and residual operand L1 holds."""
    residual = WORD * f.residual_most[int(b.split or b.outer)]
    return min(
        p.psum_bytes // max(f.psums, 1),
        p.ofmap_bytes // max(f.waiting, 1),
        p.residual_bytes // buffers // max(residual, 1),
    )


@step
def most_rows(p, columns, ifmap, pixels):
    """Output rows of a tile of so many columns, with room for pixels of the ifmap and of the ofmap."""
    taken = p.size_x
    if columns != p.out_w:
        taken = min((columns - 1) * p.stride_x + p.reach_x, p.size_x)
    room = ifmap // taken
    rows = p.out_h if room >= p.size_y else (room - p.reach_y) // p.stride_y + 1
    return min(rows, pixels // columns)


@step
def legal(p, f, b):
    """Takes off the rows and columns that L1 holds of none of a box's schedules; whether some are left."""
    ifmap, pixels = ifmap_pixels(p, f, b, 1), pixels_of(p, f, b, 1)
    room = ifmap // min((b.low_rows - 1) * p.stride_y + p.reach_y, p.size_y)
    columns = p.out_w if room >= p.size_x else min((room - p.reach_x) // p.stride_x + 1, p.out_w - 1)
    if p.pooled:
        columns = min(columns, p.residual_bytes // line_bytes(p))
    b.columns = min(b.columns, columns, pixels // max(b.low_rows, 1))
    b.rows = min(b.rows, most_rows(p, b.low_columns, ifmap, pixels))
    return b.rows >= b.low_rows and b.columns >= b.low_columns


@step
def fits_twice(p, f, b):
    """Whether L1 holds the smallest tile, its ifmap and residual operand, two times."""
    return most_rows(p, b.low_columns, ifmap_pixels(p, f, b, 2), pixels_of(p, f, b, 2)) >= b.low_rows


@step
def all_boxes(p, triples, factors):
    """BOX [n], which hold every legal schedule: tiles as wide as the map, the whole map for itself, and strips."""
    found = np.empty(24 * len(factors), BOX)
    n = 0
    for outer, split in ((0, 0), (0, 1), (1, 0), (1, 1)):
        for kind in range(3):
            for overlap in (1, 0):
                for m in range(len(factors)):
                    f = factors[m]
                    useful = overlap <= triples[m, 3]
                    if split:
                        useful = useful and (f.trips_j > 1 or (f.steps > 1 and p.residual))
                    if outer:
                        useful = useful and f.steps > 1
                    if p.pooled and kind and not outer:
                        useful = useful and f.steps == 1
                    if not useful:
                        continue
                    b = found[n]
                    b.factors, b.overlap, b.outer, b.split = m, overlap, outer, split
                    b.low_rows = p.out_h if kind == 0 else p.least_rows
                    b.rows = (p.out_h * (not outer), p.out_h - 1, p.out_h)[kind]
                    b.low_columns, b.columns = (1, p.out_w - 1) if kind == 2 else (p.out_w, p.out_w)
                    n += legal(p, f, b)
    return found[:n]


@step
def evenly(p, factors, boxes):
    """Boxes of single schedules that are often good: tiles as wide as the map, as tall as L1 holds once or twice or
    half as tall, spread evenly.
    """
    found = np.empty(4 * len(boxes), BOX)
    tried = np.zeros((len(boxes), 4), np.int64)
    n = kind = 0
    for buffers in (1, 2):
        for finer in (1, 2):
            for m in range(len(boxes)):
                b = boxes[m]
                if b.low_columns != p.out_w:
                    continue
                f = factors[b.factors]
                held = most_rows(p, b.columns, ifmap_pixels(p, f, b, buffers), pixels_of(p, f, b, buffers))
                tiles = ceil_div(p.out_h, max(1, min(held, b.rows)))
                even = ceil_div(p.out_h, min(finer * tiles, p.out_h))
                fresh = held > 0 and even >= b.low_rows
                for other in range(kind):
                    fresh = fresh and tried[m, other] != even
                if fresh:
                    tried[m, kind] = even
                    copy_box(found[n], b)
                    found[n].rows = found[n].low_rows = even
                    n += 1
            kind += 1
    return found[:n]


@step
def parts_of(p, factors, boxes, which, found):
    """Cuts boxes number `which` into smaller ones, none of which was a single schedule, into `found`; how many."""
    edges = np.empty((CUTS + 1, len(which)), np.int64)
    by_rows = np.empty(len(which), np.bool_)
    for m in range(len(which)):
        b = boxes[which[m]]
        by_rows[m] = b.rows * b.low_columns >= b.columns * b.low_rows
        low, high, whole = b.low_columns, b.columns, p.out_w
        if by_rows[m]:
            low, high, whole = b.low_rows, b.rows, p.out_h
        fewest = ceil_div(whole, high)
        evenly_cut = low > ceil_div(whole, fewest) - 1 or high - low < CUTS
        edges[0, m], edges[CUTS, m] = low - 1, high
        for cut in range(1, CUTS):
            if evenly_cut:
                edge = low - 1 + (high - low + 1) * cut // CUTS
            else:
                edge = ceil_div(whole, fewest + _MORE[CUTS - 1 - cut]) - _BELOW[CUTS - 1 - cut]
            edges[cut, m] = min(max(edge, low - 1), high)
    n = 0
    for part in range(CUTS):
        for m in range(len(which)):
            if edges[part + 1, m] <= edges[part, m]:
                continue
            b = found[n]
            copy_box(b, boxes[which[m]])
            if by_rows[m]:
                b.low_rows, b.rows = edges[part, m] + 1, edges[part + 1, m]
            else:
                b.low_columns, b.columns = edges[part, m] + 1, edges[part + 1, m]
            n += legal(p, factors[b.factors], b)
    return n
