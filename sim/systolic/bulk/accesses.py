"""Accesses of a layer by memory (docs/timing.md sections 6 and 8), compiled: exact ones, and constants of bounds."""

from __future__ import annotations

import numpy as np

from sim.shapes import WORD
from sim.systolic.bulk.compiled import step
from sim.systolic.bulk.tiles import ceil_div, step_words, swept
from sim.systolic.results import MEMORIES

CORE = np.dtype(
    [
        (name, np.int64)
        for name in (
            *(
                "mac",
                "prf",
                "wrf_rows",
                "crf_rows",
                "crf_write",
                "ofmap_words",
                "ofmap",
                "codebook",
                "outputs",
            ),
        )
    ]
)
"""Of a layer whatever its schedule: multiplications; accesses of the PRF; of the WRF and the codebook memory by spatial
tile; bytes of the codebook; bytes of finished rows in L1 and in L2; the codebook in whole beats; output elements.
"""
ACCESSES = len(MEMORIES) + 1
(DRAM, L2, L1, ARF, WRF, PRF, CRF, ROM, MAC) = range(ACCESSES)


@step
def core_of(p, core):
    """Fills in CORE."""
    pixels, taps = p.out_h * p.out_w, p.kernel_y * p.kernel_x * p.split
    for last in range(2):
        times = 1 if last else p.parts - 1
        channels, outputs = (p.last_channels, p.last_outputs) if last else (p.channels, p.outputs)
        d = p.codeword_length
        records = ceil_div(outputs, d)
        used = records * p.multipliers if p.sparse_tile else outputs
        kept = used if p.sparse_tile else ceil_div(outputs, p.unit) * p.unit
        if p.on_diagonal:
            used = kept = p.group_outputs
        core.mac += times * pixels * channels * taps * used
        core.prf += times * 2 * pixels * ceil_div(channels, p.rows) * taps * outputs
        core.wrf_rows += times * channels * taps * kept
        core.crf_rows += times * channels * p.kernel_y * p.kernel_x * records * d * p.books
    if p.books and not p.universal:
        core.crf_write = p.codewords * p.codeword_length
        core.codebook = ceil_div(core.crf_write * 8, p.port)
    core.ofmap_words = step_words(p.parts, p.outputs, p.last_outputs, p.columns, p.output_size)[1]
    core.ofmap = WORD * p.written * p.out_w * ceil_div(p.all_outputs * p.output_size, WORD)
    core.outputs = p.all_outputs * pixels


@step
def by_memory(p, core, tiles, psums, vectors, reads, new, into_l1, maps, streamed, weights, found):
    """Fills in int64 [ACCESSES].

    Args:
        psums: bytes of stored psums, written; as many are read.
        vectors, reads, new: activation words of a pair, and pairs that are read and fetched.
        into_l1, maps: bytes of tiles brought into L1, and of them from DRAM.
        streamed, weights: bytes of the weight stream, and of them from DRAM.
    """
    line = WORD * p.out_w * core.ofmap_words
    ofmap = p.written * line
    spilled = core.ofmap if p.needed > p.map_bytes else 0
    fetched = vectors * new
    found[DRAM] = weights + maps + spilled
    found[L2] = weights + streamed + maps + into_l1 + ofmap + spilled
    found[L1] = into_l1 + fetched + 2 * psums + 2 * ofmap + (ofmap if p.residual else p.merged * line)
    found[ARF] = vectors * reads + fetched
    found[WRF] = core.mac + tiles * core.wrf_rows
    found[PRF] = core.prf
    looked = tiles * core.crf_rows
    found[CRF] = 0 if p.universal else looked + core.crf_write
    found[ROM] = looked if p.universal else 0
    found[MAC] = core.mac


@step
def count(p, h, r, core, chunks, found):
    """Fills in int64 [ACCESSES] of a schedule."""
    stored = 0
    for last_part in range(int(p.parts == 1), 2):
        for last_i in range(int(r.trips_i == 1), 2):
            times = (1 if last_part else p.parts - 1) * (1 if last_i else r.trips_i - 1)
            for kind in range(3):
                alike = max(r.trips_j - 2, 0) if kind == 1 else 1 if kind == 2 or r.trips_j > 1 else 0
                for k in range(r.trips_k):
                    stored += times * alike * chunks[last_part, last_i, kind, k].beats
    port = p.port // 8
    streamed = (core.codebook + r.tiles * stored) * port
    weights = (core.codebook + (1 if r.keeps else r.tiles) * stored) * port * r.fetched
    psums = core.outputs * (r.trips_j * r.trips_k - 1) * (p.psum_bits // 8)
    reads, new = pairs(p, h.D, h.columns)
    vectors = (p.channels * (p.parts - 1) + p.last_channels) * r.trips_i
    ifmap, residual, maps = _map_bytes(p, h, r)
    by_memory(p, core, r.tiles, psums, vectors, reads, new, ifmap + residual, maps, streamed, weights, found)


@step
def _map_bytes(p, h, r):
    """(ifmap, residual, from DRAM)."""
    lines = r.sweeps * swept(p.size_y, p.reach_y, p.stride_y, p.padding_y, p.out_h, h.rows)
    wide = p.size_x
    if r.strips > 1:
        wide = swept(p.size_x, p.reach_x, p.stride_x, p.padding_x, p.out_w, h.columns)
    line = WORD * wide * step_words(p.parts, p.channels, p.last_channels, r.tile_channels, 1)[1]
    residual = 0
    if p.residual:
        words = step_words(p.parts, p.outputs, p.last_outputs, r.tile_outputs, 1)[1]
        residual = WORD * p.out_h * p.out_w * words
    if h.source != 2:
        return (lines * line if h.source else 0), residual, 0
    dram = lines * line
    if p.wide_size:
        wide = p.wide_size
        if r.strips > 1:
            wide = swept(p.wide_size, p.wide_reach, p.wide_stride, p.wide_padding, p.out_w, h.columns)
        high = r.sweeps * swept(p.tall_size, p.tall_reach, p.tall_stride, p.tall_padding, p.out_h, h.rows)
        dram = p.line_bytes // p.wide_size * wide * high
    return lines * line, residual, dram + residual


@step
def _inside(high, offset, stride, size):
    """How many o in 0..high-1 have 0 <= o*stride + offset < size."""
    first = max(0, -(offset // stride))
    return max(0, min(high - 1, (size - 1 - offset) // stride) - first + 1)


@step
def pairs(p, resident, width):
    """Unpadded (pixel, position) pairs: all, and those that a fetch must deliver (`closed_form.ifmap_reads`)."""
    reads = new = 0
    reuses, strips = p.arf_reuse and p.dilation_x == 1, ceil_div(p.out_w, width)
    positions = p.kernel_y * p.kernel_x
    for position in range(positions):
        y, x = position // p.kernel_x, position % p.kernel_x
        rows = _inside(p.out_h, y * p.dilation_y - p.padding_y, p.stride_y, p.size_y)
        offset = x * p.dilation_x - p.padding_x
        edges = _inside(strips, offset, p.stride_x * width, p.size_x)
        others = _inside(p.out_w, offset, p.stride_x, p.size_x) - edges
        reads += rows * (edges + others)
        end = min((position // resident + 1) * resident, (y + 1) * p.kernel_x, positions)
        fresh = not reuses or position + p.stride_x >= end
        new += rows * (edges + (others if fresh else 0))
    return reads, new
