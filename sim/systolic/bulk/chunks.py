"""Demands of chunks (docs/timing.md sections 2 and 3), compiled."""

from __future__ import annotations

from math import ceil

import numpy as np

from sim.shapes import WORD
from sim.systolic.bulk.compiled import step
from sim.systolic.bulk.tiles import ceil_div, rows_sent

CHUNK = np.dtype(
    [
        (name, np.int64)
        for name in (
            *(
                "tokens",
                "load",
                "lookups",
                "beats",
                "fetch_row",
                "fetch_in",
                "read",
                "write",
                "store",
                "last",
            ),
        )
    ]
)
"""As `closed_form.demands.Chunk`."""
FIRST, MIDDLE, LAST = range(3)
"""Kinds of steps over channel groups."""


@step
def vector_cycles(p, channels, first, groups):
    """Fetch cycles of an activation vector of each of some input-channel groups of a part."""
    total = 0
    for group in range(first, first + groups):
        rows = min(p.rows, channels - group * p.rows)
        total += ceil_div(ceil_div(rows, WORD), p.ifmap_banks)
    return total


@step
def new_vectors(p, first, D, row_start):
    """Vectors fetched for a pixel and channel group, of the positions from `first` on."""
    reuse = p.arf_reuse and p.dilation_x == 1 and not row_start
    position, total = first, 0
    last = min(first + D, p.kernel_y * p.kernel_x)
    while position < last:
        end = min(last, (position // p.kernel_x + 1) * p.kernel_x)
        total += min(p.stride_x, end - position) if reuse else end - position
        position = end
    return total


@step
def even_load(p, rows, width):
    """Cycles from the first beat to the last written row of rows of one width."""
    return max(ceil_div(width, p.port) + rows - 1, ceil_div(rows * width, p.port)) - 1 + p.loader_stages


@step
def _job(p, A, tail_bits, tail_looks, channels, first, groups, D):
    """(load, lookups, beats) of a weight job."""
    rows = min(groups * p.rows, channels - first * p.rows)
    bits_all = (A - 1) * p.bits_wide + tail_bits
    sent = rows_sent(p, rows) * D * p.split
    if A == 1 or tail_bits == p.bits_wide:
        load = even_load(p, sent * A, tail_bits)
    else:
        load = _ragged(p, A, tail_bits, channels, first, groups, D)
    lookups = 0
    if p.universal:
        each = 0.0
        for n in range(A):
            each += tail_looks if n == A - 1 else p.lookups_wide
        busy = ceil(each * D * rows) + p.loader_stages - 1
        lookups = max(0, busy - load)
    return load + lookups, lookups, ceil_div(sent * bits_all, p.port)


@step
def _ragged(p, A, tail_bits, channels, first, groups, D):
    """The same of rows of two widths, in their order: positions, channel groups, sub-records, output groups."""
    total = A * D * p.split * rows_sent(p, min(groups * p.rows, channels - first * p.rows))
    latest = ceil_div(p.bits_wide, p.port) + total - 1
    seen = sent = 0
    for _ in range(D):
        for group in range(first, first + groups):
            rows = rows_sent(p, min(p.rows, channels - group * p.rows))
            for _ in range(p.split):
                for n in range(A):
                    seen += rows
                    sent += rows * (tail_bits if n == A - 1 else p.bits_wide)
                    latest = max(latest, ceil_div(sent, p.port) + total - seen)
    return latest - 1 + p.loader_stages


@step
def chunks_of(p, h, r):
    """CHUNK [last part or not, last step over output groups or not, FIRST.., k], of the kinds that there are."""
    found = np.zeros((2, 2, 3, r.trips_k), CHUNK)
    for last_part in range(int(p.parts == 1), 2):
        channels = p.last_channels if last_part else p.channels
        outputs = p.last_outputs if last_part else p.outputs
        for last_i in range(int(r.trips_i == 1), 2):
            first = h.A * (r.trips_i - 1 if last_i else 0)
            stop = min(first + h.A, ceil_div(outputs, p.columns))
            ends = (stop - 1) == (outputs - 1) // p.columns
            bits, looks = p.bits_wide, p.lookups_wide
            if ends:
                bits = p.bits_last if last_part else p.bits_narrow
                looks = p.lookups_last if last_part else p.lookups_narrow
            for kind in range(3):
                j = (0, min(1, r.trips_j - 1), r.trips_j - 1)[kind]
                _step(p, h, r, found[last_part, last_i, kind], channels, stop - first, bits, looks, j)
    return found


@step
def _step(p, h, r, found, channels, A, tail_bits, tail_looks, j):
    """The chunks of step j over channel groups."""
    B = min(h.B, ceil_div(channels, p.rows) - j * h.B)
    depth, tail = min(h.D, r.positions), r.positions - (r.trips_k - 1) * h.D
    usual = _job(p, A, tail_bits, tail_looks, channels, j * h.B, B, depth)
    final = _job(p, A, tail_bits, tail_looks, channels, j * h.B, B, tail)
    vectors, psum = vector_cycles(p, channels, j * h.B, B), A * r.psum_cycles
    for k in range(r.trips_k):
        D = min(h.D, r.positions - k * h.D)
        load, lookups, beats = final if tail == D else usual
        first, last = j == 0 and k == 0, j + 1 == r.trips_j and k + 1 == r.trips_k
        of = found[k]
        of.tokens, of.load, of.lookups, of.beats = A * B * D * p.split, load, lookups, beats
        of.fetch_row = vectors * new_vectors(p, k * h.D, h.D, True)
        of.fetch_in = vectors * new_vectors(p, k * h.D, h.D, False)
        of.read, of.write = (0 if first else psum), (0 if last else psum)
        of.store, of.last = (A * r.store_cycles if last else 0), last
