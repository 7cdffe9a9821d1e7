"""Extension factors of a layer, and what all chunks of a full part take with them on one spatial tile, compiled."""

from __future__ import annotations

from math import ceil

import numpy as np

from sim.systolic.bulk.accesses import pairs
from sim.systolic.bulk.chunks import even_load, new_vectors
from sim.systolic.bulk.compiled import step
from sim.systolic.bulk.tiles import (
    bits_of,
    ceil_div,
    psum_cycles_of,
    rows_sent,
    step_words,
    store_cycles,
    stripe_beats,
    waiting_bytes,
)

_SUMS = ("tokens", "inside", "wrap", "load", "beats", "dram", "fence")
FACTORS = np.dtype(
    [(name, np.int64) for name in ("A", "B", "D", "psums", "waiting", "trips_j", "trips_k", "reads", "new")]
    + [(name, np.int64, 2) for name in ("ifmap", "ifmap_most", "residual", "residual_most")]
    + [(name, np.int64) for name in (*_SUMS, "steps", "psum", "first_load", "first_beats", "first_fetch")]
    + [(f"last_{name}", np.int64) for name in ("load", "tokens", "inside", "wrap", "store")]
    + [(name, np.int64) for name in ("step_beats", "loaded", "first_transfer")]
)
"""As `candidates.FACTORS` and `sweeps.SWEEP`. reads, new: pairs of a map in one strip. loaded: when the first weights
may be used; first_transfer: cycles of DRAM for them.
"""

_STEP = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("times", "A", "B", "rows", "vectors", "bits", "first_bits", "first", "last", "begins", "ends"),
        )
    ]
    + [("lookups", np.float64)]
)
"""A kind of step over output groups and channel groups (`sweeps._Steps`). begins, ends: with it the layer does."""


@step
def transfer(p, size, rows):
    """Cycles of DRAM for so many bytes in at least so many rows."""
    return ceil_div(size * 8, p.dram_bits) + max(ceil_div(size, p.row_bytes), rows) * p.row_cycles


@step
def limits(p):
    """Largest A, B and D that are of use, as the dataflow allows."""
    if p.stationary:
        return 1, 1, 1
    most_A = 1 if p.pooled else ceil_div(p.outputs, p.columns)
    return most_A, ceil_div(p.channels, p.rows), p.kernel_y * p.kernel_x


@step
def triples(p):
    """int64 [n, 4]: legal A, B, D, and whether two banks hold them; small ones first."""
    most_A, most_B, most_D = limits(p)
    if p.fixed_A:
        A, B, D = min(most_A, p.fixed_A), min(most_B, p.fixed_B), min(most_D, p.fixed_D)
        tokens = A * B * D * p.split
        legal = tokens <= p.wrf_depth and p.prf_depth >= A and p.arf_depth >= 2 * B * D
        found = np.empty((1 if legal else 0, 4), np.int64)
        if legal:
            found[0, 0], found[0, 1], found[0, 2] = A, B, D
            found[0, 3] = p.weight_overlap and 2 * tokens <= p.wrf_depth
        return found
    depth = p.wrf_depth // p.split
    n = 0
    for A in range(1, min(most_A, depth, p.prf_depth) + 1):
        for B in range(1, min(most_B, depth // A) + 1):
            n += max(0, min(most_D, depth // (A * B), p.arf_depth // (2 * B)))
    found = np.empty((n, 4), np.int64)
    n = 0
    for A in range(1, min(most_A, depth, p.prf_depth) + 1):
        for B in range(1, min(most_B, depth // A) + 1):
            for D in range(1, min(most_D, depth // (A * B), p.arf_depth // (2 * B)) + 1):
                found[n, 0], found[n, 1], found[n, 2] = A, B, D
                found[n, 3] = p.weight_overlap and p.wrf_depth // 2 // p.split >= A * B * D
                n += 1
    return found


@step
def factors_of(p, found_triples, codebook, fetched):
    """FACTORS [n] of legal triples."""
    found = np.zeros(len(found_triples), FACTORS)
    positions = p.kernel_y * p.kernel_x
    output_groups, channel_groups = ceil_div(p.outputs, p.columns), ceil_div(p.channels, p.rows)
    # (most, all) words of a pixel, in steps of so many groups and whole; stripes by A.
    all_ifmap = step_words(p.parts, p.channels, p.last_channels, p.channels, 1)
    all_residual = step_words(p.parts, p.outputs, p.last_outputs, p.outputs, 1)
    known = 0
    stripes = stripe_beats(p, 1)
    step_residual = all_residual
    for n in range(len(found)):
        f = found[n]
        A, B, D = found_triples[n, 0], found_triples[n, 1], found_triples[n, 2]
        f.A, f.B, f.D = A, B, D
        f.steps, f.trips_j, f.trips_k = (
            ceil_div(output_groups, A),
            ceil_div(channel_groups, B),
            ceil_div(positions, D),
        )
        if known != A:
            known, stripes = A, stripe_beats(p, A)
            if p.residual:
                step_residual = step_words(
                    p.parts, p.outputs, p.last_outputs, min(p.outputs, A * p.columns), 1
                )
        columns = min(A * p.columns, p.outputs)
        f.psums = columns * p.psum_bits // 8 if f.trips_j * f.trips_k > 1 else 0
        tokens = (channel_groups - (f.trips_j - 1) * B) * (positions - (f.trips_k - 1) * D) * p.split
        f.waiting = waiting_bytes(p, stripes, tokens)
        step_ifmap = step_words(p.parts, p.channels, p.last_channels, min(p.channels, B * p.rows), 1)
        f.ifmap_most[0], f.ifmap[0] = all_ifmap
        f.ifmap_most[1], f.ifmap[1] = step_ifmap
        if p.residual:
            f.residual_most[0], f.residual[0] = all_residual
            f.residual_most[1], f.residual[1] = step_residual
        f.reads, f.new = pairs(p, D, p.out_w)
        _sweep(p, f, output_groups, channel_groups)
        size = codebook + f.first_beats * p.port // 8
        f.loaded = f.first_load + 1
        if fetched:
            f.loaded += transfer(p, size, 0) + p.dram_latency
            f.first_transfer = transfer(p, f.first_beats * p.port // 8, 0)
        if codebook:
            f.loaded += even_load(p, p.codewords, 8 * p.codeword_length) + 1
    return found


@step
def _sweep(p, f, output_groups, channel_groups):
    """Fills in the sums over all chunks (`closed_form.sweeps`)."""
    psum_cycles, kinds = psum_cycles_of(p), np.zeros(1, _STEP)
    last_A = output_groups - (f.steps - 1) * f.A
    f.psum = last_A * psum_cycles
    waits = f.steps * (p.tile_stages - 1) + 2 * output_groups * psum_cycles
    f.fence = (f.trips_j * f.trips_k - 1) * waits
    vector = ceil_div(ceil_div(p.rows, 8), p.ifmap_banks)
    tail_vector = ceil_div(ceil_div(p.channels - (channel_groups - 1) * p.rows, 8), p.ifmap_banks)
    s = kinds[0]
    for last_i in range(2):
        times_i = 1 if last_i else f.steps - 1
        if not times_i:
            continue
        s.A = last_A if last_i else f.A
        s.bits = bits_of(p, s.A, s.A) if last_i else s.A * p.bits_wide
        s.first_bits = p.bits_narrow if last_i and last_A == 1 else p.bits_wide
        s.lookups = s.A * p.lookups_wide - (p.lookups_wide - p.lookups_narrow) * last_i
        before = f.beats
        for kind in range(3):
            s.last = kind == 2
            s.times = (1 if f.trips_j > 1 else 0, max(f.trips_j - 2, 0), 1)[kind] * times_i
            if not s.times:
                continue
            s.B = channel_groups - (f.trips_j - 1) * f.B if s.last else f.B
            s.rows = p.channels - (f.trips_j - 1) * f.B * p.rows if s.last else s.B * p.rows
            s.vectors = s.B * vector - (vector - tail_vector) * s.last
            s.first = f.trips_j == 1 if s.last else kind == 0
            s.begins = s.first and (f.steps == 1 or not last_i)
            s.ends = last_i and s.last
            _chunks(p, f, s, psum_cycles)
        if last_i and f.steps == 1:
            f.step_beats = f.beats
        elif not last_i:
            f.step_beats = (f.beats - before) // times_i


@step
def _chunks(p, f, s, psum_cycles):
    """Adds the chunks of one kind of step, as often as there are some."""
    psum, stores, positions = s.A * psum_cycles, store_cycles(p), p.kernel_y * p.kernel_x
    known = load = beats = cycles = 0
    for k in range(f.trips_k):
        depth = min(f.D, positions - k * f.D)
        if depth != known:
            known, sent = depth, rows_sent(p, s.rows) * depth * p.split
            beats = ceil_div(sent * s.bits, p.port)
            load = max(beats, sent * s.A + ceil_div(s.first_bits, p.port) - 1) - 1 + p.loader_stages
            if p.universal:
                load = max(load, ceil(s.lookups * depth * s.rows) + p.loader_stages - 1)
            cycles = transfer(p, beats * p.port // 8, 0)
        fresh = new_vectors(p, k * f.D, f.D, False)
        first, last = s.first and k == 0, s.last and k == f.trips_k - 1
        read, write = (0 if first else psum), (0 if last else psum)
        psums = max(read, write) if p.psum_ports == 2 else read + write
        tokens, store = s.A * s.B * depth * p.split, (s.A * stores if last else 0)
        inside = max(tokens, s.vectors * fresh, psums, store)
        wrap = max(tokens, s.vectors * depth, psums, store)
        f.tokens += s.times * tokens
        f.inside += s.times * inside
        f.wrap += s.times * wrap
        f.load += s.times * load
        f.beats += s.times * beats
        f.dram += s.times * cycles
        if s.begins and k == 0:
            f.first_load, f.first_beats, f.first_fetch = load, beats, s.vectors * depth
        if s.ends and k == f.trips_k - 1:
            f.last_load, f.last_tokens, f.last_inside = load, tokens, inside
            f.last_wrap, f.last_store = wrap, store
