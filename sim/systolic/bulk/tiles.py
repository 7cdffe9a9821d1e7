"""Tiles, words and buffers of a schedule (docs/timing.md section 7), compiled."""

from __future__ import annotations

import numpy as np

from sim.shapes import WORD
from sim.systolic.bulk.compiled import step
from sim.systolic.schedule import POOL_STAGES

RUN = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("trips_i", "trips_j", "trips_k", "strips", "row_tiles", "tiles", "again", "sweeps"),
            *(
                "tile_channels",
                "tile_outputs",
                "ifmap_buffers",
                "ofmap_buffers",
                "keeps",
                "spills",
                "fetched",
            ),
            *("output_groups", "channel_groups", "positions", "psum_cycles", "store_cycles", "period"),
        )
    ]
)
"""What follows from a problem and a schedule. again: ifmap tiles come for each step over output groups. psum_cycles,
store_cycles: of a pixel of one output group. period: tiles after which rows that are written lie as before.
"""


@step
def ceil_div(above, below):
    return -(-above // below)


@step
def words(first, channels, size):
    """`sim.shapes.words`."""
    return -(-(first + channels) * size // WORD) - first * size // WORD


@step
def step_words(parts, channels, tail, size_step, size):
    """(most, all) words of a pixel that the steps over channels touch, each of `size_step` channels at most."""
    most = total = 0
    for part in range(min(parts - 1, WORD) + 1):
        last = part == min(parts - 1, WORD)
        count, begin = (tail, (parts - 1) * channels) if last else (channels, part * channels)
        times = 1 if last else (parts - 1 - part + WORD - 1) // WORD
        for first in range(0, count, size_step):
            touched = words(begin + first, min(size_step, count - first), size)
            most, total = max(most, touched), total + times * touched
    return most, total


@step
def row_beats(p, part, i, A):
    """(output groups, DMA beats of a pixel) of step i over output groups of a part."""
    outputs = p.last_outputs if part == p.parts - 1 else p.outputs
    first = i * A * p.columns
    count, begin = min(A * p.columns, outputs - first), part * p.outputs + first
    beats = 0
    for s in range(0, count, p.columns):
        touched = words(begin + s, min(p.columns, count - s), p.output_size)
        beats += ceil_div(8 * WORD * touched, p.dma_bits)
    return ceil_div(count, p.columns), beats


@step
def stripe_beats(p, A):
    """int64 [n, 2], (output groups, DMA beats of a pixel) of all kinds of steps over output groups."""
    found = np.empty((2 * (WORD + 1) * (WORD + 1), 2), np.int64)
    n = 0
    for part_n in range(min(p.parts, WORD) + 1):
        part = p.parts - 1 if part_n == min(p.parts, WORD) else part_n
        count = p.last_outputs if part == p.parts - 1 else p.outputs
        steps = ceil_div(count, A * p.columns)
        for i_n in range(min(steps, WORD) + 1):
            rows, beats = row_beats(p, part, steps - 1 if i_n == min(steps, WORD) else i_n, A)
            known = False
            for m in range(n):
                known |= found[m, 0] == rows and found[m, 1] == beats
            if not known:
                found[n, 0], found[n, 1] = rows, beats
                n += 1
    return found[:n]


@step
def waiting_bytes(p, stripes, tokens):
    """Finished bytes of a pixel that wait, if a last chunk has `tokens` for each output group."""
    most = 0
    for n in range(len(stripes)):
        most = max(most, stripes[n, 1] - stripes[n, 0] * tokens)
    return most * p.dma_bits // 8


@step
def swept(size, reach, stride, padding, outputs, width):
    """Ifmap rows that all tiles of `width` of the `outputs` output rows read, halos included, padding not."""
    tiles = ceil_div(outputs, width)
    full = reach + (width - 1) * stride
    # Tiles from the first that reads no padding before to the last full one that reads none behind.
    low = min(ceil_div(padding, width * stride), tiles)
    high = max(low, min(outputs // width, (size + padding - full) // (width * stride) + 1))
    total = (high - low) * full
    for tile in range(low):
        total += _read(size, reach, stride, padding, tile * width, min(width, outputs - tile * width))
    for tile in range(high, tiles):
        total += _read(size, reach, stride, padding, tile * width, min(width, outputs - tile * width))
    return total


@step
def _read(size, reach, stride, padding, first, count):
    begin = first * stride - padding
    return max(0, min(begin + (count - 1) * stride + reach, size) - max(begin, 0))


@step
def extents(p, h, r, tile):
    """(output rows, output columns, ifmap rows, ifmap columns, ifmap pixels before folding) of a tile."""
    row, column = tile % r.row_tiles * h.rows, tile // r.row_tiles * h.columns
    lines, columns = min(h.rows, p.out_h - row), min(h.columns, p.out_w - column)
    high = _read(p.size_y, p.reach_y, p.stride_y, p.padding_y, row, lines)
    wide = unfolded = 0
    if r.strips == 1:
        wide, unfolded = p.size_x, p.wide_size
    else:
        wide = _read(p.size_x, p.reach_x, p.stride_x, p.padding_x, column, columns)
        if p.wide_size:
            unfolded = _read(p.wide_size, p.wide_reach, p.wide_stride, p.wide_padding, column, columns)
    if p.wide_size:
        unfolded *= _read(p.tall_size, p.tall_reach, p.tall_stride, p.tall_padding, row, lines)
    return lines, columns, high, wide, unfolded


@step
def prepare(p, h, r):
    """Fills in what follows from a schedule, but for buffers and kept weights (`buffers`)."""
    r.output_groups, r.channel_groups = ceil_div(p.outputs, p.columns), ceil_div(p.channels, p.rows)
    r.positions = p.kernel_y * p.kernel_x
    r.trips_i, r.trips_j = ceil_div(r.output_groups, h.A), ceil_div(r.channel_groups, h.B)
    r.trips_k = ceil_div(r.positions, h.D)
    r.strips, r.row_tiles = ceil_div(p.out_w, h.columns), ceil_div(p.out_h, h.rows)
    r.tiles = r.strips * r.row_tiles
    r.again = h.split or (h.outer and r.tiles > 1)
    r.sweeps = r.trips_i if r.again else 1
    r.again = r.sweeps > 1
    r.tile_channels = min(p.channels, h.B * p.rows) if h.split else p.channels
    r.tile_outputs = min(p.outputs, h.A * p.columns) if r.again else p.outputs
    r.spills = p.needed > p.map_bytes
    r.fetched = not p.dynamic or r.spills
    r.psum_cycles = psum_cycles_of(p)
    r.store_cycles = store_cycles(p)
    a, b = p.write_step, h.rows
    while b:
        a, b = b, a % b
    r.period = p.write_step // a


@step
def psum_cycles_of(p):
    """To read or write the stored psums of a pixel of one output group."""
    return ceil_div(ceil_div(p.columns * p.psum_bits, 64), p.psum_banks)


@step
def store_cycles(p):
    """Of a pixel of one output group."""
    lanes = p.wide_lanes if p.output_size == 4 else p.requant_lanes
    residual = ceil_div(ceil_div(p.columns, 8), p.ifmap_banks) if p.residual else 0
    return ceil_div(p.columns, lanes) + residual + (POOL_STAGES if p.pooled else 0)


@step
def line_bytes(p):
    """Of a pixel in the line that a pool keeps."""
    return WORD * words(0, min(p.columns, p.outputs), 1)


@step
def written_rows(p, h, r, tile):
    """(first, how many) output rows of a tile that are written, the first counted from that of the tile."""
    top = tile % r.row_tiles * h.rows
    lines = min(h.rows, p.out_h - top)
    first = max(0, ceil_div(top - p.write_first, p.write_step)) * p.write_step + p.write_first - top
    return first, ceil_div(lines - first, p.write_step)


@step
def fits(p, h, r):
    """Whether L1 holds what the schedule puts there, and how many buffers of each kind; needs `prepare`."""
    lines = min((h.rows - 1) * p.stride_y + p.reach_y, p.size_y)
    columns = p.size_x if r.strips == 1 else min((h.columns - 1) * p.stride_x + p.reach_x, p.size_x)
    most, _ = step_words(p.parts, p.channels, p.last_channels, r.tile_channels, 1)
    ifmap, residual, pixels = WORD * lines * columns * most, 0, h.rows * h.columns
    if p.residual:
        most, _ = step_words(p.parts, p.outputs, p.last_outputs, r.tile_outputs, 1)
        residual = WORD * pixels * most
    psums = 0
    if r.trips_j * r.trips_k > 1:
        psums = pixels * min(h.A * p.columns, p.outputs) * p.psum_bits // 8
    tokens = (r.channel_groups - (r.trips_j - 1) * h.B) * (r.positions - (r.trips_k - 1) * h.D) * p.split
    backlog = pixels * waiting_bytes(p, stripe_beats(p, h.A), tokens)
    r.ifmap_buffers = 2 if 2 * ifmap <= p.ifmap_bytes and 2 * residual <= p.residual_bytes else 1
    r.ofmap_buffers = 2 if 2 * backlog <= p.ofmap_bytes else 1
    r.keeps = _weight_beats(p, h, r) * p.port <= 8 * p.weight_bytes
    line = h.columns * line_bytes(p) if p.pooled else 0
    within = ifmap <= p.ifmap_bytes and max(residual, line) <= p.residual_bytes
    return within and psums <= p.psum_bytes and backlog <= p.ofmap_bytes


@step
def rows_sent(p, rows):
    """Rows of the stream, those of scales among them, of whole entries with so many channels together."""
    return rows + p.scale_rows * ceil_div(rows, p.scale_span)


@step
def bits_of(p, groups, all_groups):
    """Bits of a weight row of each of the first `groups` of a full part's output groups, together."""
    return groups * p.bits_wide - (p.bits_wide - p.bits_narrow if groups == all_groups else 0)


@step
def _weight_beats(p, h, r):
    """Beats that L2 keeps for the next tile: those of all steps over output groups, or of the first one."""
    steps = 1 if h.outer else r.trips_i
    total = 0
    for i in range(2):
        times = steps - 1 if i == 0 else 1
        first = 0 if i == 0 else steps - 1
        before = bits_of(p, first * h.A, r.output_groups) if first else 0
        bits = bits_of(p, min((first + 1) * h.A, r.output_groups), r.output_groups) - before
        beats = 0
        for last_j in range(2):
            times_j = 1 if last_j else r.trips_j - 1
            rows = min(h.B * p.rows, p.channels - (r.trips_j - 1) * h.B * p.rows * last_j)
            for last_k in range(2):
                times_k = 1 if last_k else r.trips_k - 1
                positions = min(h.D, r.positions - (r.trips_k - 1) * h.D * last_k)
                sent = rows_sent(p, rows) * positions * p.split * bits
                beats += times_j * times_k * ceil_div(sent, p.port)
        total += times * beats
    return total
