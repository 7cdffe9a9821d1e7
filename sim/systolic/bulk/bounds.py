"""What all schedules of a box take at least (`closed_form.bounds`), compiled."""

from __future__ import annotations

import numpy as np

from sim.shapes import WORD
from sim.systolic.bulk.accesses import ACCESSES, by_memory, core_of, pairs
from sim.systolic.bulk.boxes import fits_twice, is_single
from sim.systolic.bulk.compiled import step
from sim.systolic.bulk.factors import transfer
from sim.systolic.bulk.tiles import ceil_div, swept
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES

_AXES = ("y", "x", "u", "v")
LAYER = np.dtype(
    [(f"{what}_{axis}", np.int64) for axis in _AXES for what in ("once", "halo", "cut")]
    + [(name, np.int64) for name in ("stays", "from_dram", "fetched", "parts", "codebook", "outputs")]
)
"""Of a space. once, halo, cut, by rows, columns, and columns and rows before folding: ifmap lines read without halos,
those of a halo, and halos that padding may cut. parts: full ones. codebook: bytes of its job. outputs: bytes of the
ofmap.
"""


@step
def _axis(size, reach, stride, padding, outputs):
    """(once, halo, cut)."""
    if reach <= stride:
        return swept(size, reach, stride, padding, outputs, 1), 0, 0
    end = max(0, (outputs - 1) * stride + reach - padding - size)
    cut = max(0, ceil_div(padding, stride) - 1) + max(0, ceil_div(end, stride) - 1)
    return swept(size, reach, stride, padding, outputs, outputs), reach - stride, cut


@step
def layer_of(p, core, source, to):
    """Fills in LAYER and CORE; source: the one asked for, as in SOURCES."""
    core_of(p, core)
    to.once_y, to.halo_y, to.cut_y = _axis(p.size_y, p.reach_y, p.stride_y, p.padding_y, p.out_h)
    to.once_x, to.halo_x, to.cut_x = _axis(p.size_x, p.reach_x, p.stride_x, p.padding_x, p.out_w)
    if p.wide_size:
        found = _axis(p.wide_size, p.wide_reach, p.wide_stride, p.wide_padding, p.out_w)
        to.once_u, to.halo_u, to.cut_u = found
        found = _axis(p.tall_size, p.tall_reach, p.tall_stride, p.tall_padding, p.out_h)
        to.once_v, to.halo_v, to.cut_v = found
    to.from_dram = source == 2 or p.needed_unfolded > p.map_bytes
    to.stays = source == 0 and not p.folded and not to.from_dram
    to.fetched = not p.dynamic or p.needed > p.map_bytes
    to.parts = p.parts - (p.last_channels != p.channels)
    to.codebook = core.codebook * p.port // 8
    to.outputs = core.ofmap


@step
def _swept(once, halo, cut, outputs, width):
    return once + max(ceil_div(outputs, width) - 1 - cut, 0) * halo


@step
def bound(p, f, b, of, core, energy, limits, found, accesses, scores):
    """Fills in the least of each objective, float64 [OBJECTIVES], of the schedules of a box.

    Returns:
        whether one lies within the limit of an objective that is not found; if not, scores may not be filled in.
    """
    single = is_single(b)
    strips = ceil_div(p.out_w, b.columns)
    tiles = strips * ceil_div(p.out_h, b.rows)
    again = b.split or b.outer
    resident = of.stays and not b.split and b.low_rows == p.out_h and b.low_columns == p.out_w
    times = f.steps if again else 1
    visits = of.parts * tiles * times * (f.trips_j if b.split else 1)
    ifmap, residual, maps = _map_bytes(p, f, b, of, strips, times, int(again))
    if resident:
        ifmap = 0
    port = p.port // 8
    keeps = (f.step_beats if b.outer else f.beats) * p.port <= 8 * p.weight_bytes
    stored = of.parts * f.beats * port
    streamed = of.codebook + tiles * stored
    weights = (of.codebook + (1 if keeps else tiles) * stored) if of.fetched else 0
    reads, new = f.reads, f.new
    if b.columns == b.low_columns and b.columns != p.out_w:
        reads, new = pairs(p, f.D, b.columns)
    psums = core.outputs * (f.trips_j * f.trips_k - 1) * (p.psum_bits // 8)
    vectors = (p.channels * (p.parts - 1) + p.last_channels) * f.steps
    by_memory(p, core, tiles, psums, vectors, reads, new, ifmap + residual, maps, streamed, weights, accesses)
    # What is quick to say of the cycles comes first: most boxes are out with it.
    slots = of.parts * _slots(p, f, b, strips)
    moved = _moved(p, f, b, visits, resident, ifmap + residual)
    dram = _from_dram(p, f, of, tiles, visits, keeps, maps)
    score(max(slots, moved, dram), accesses, energy, scores)
    if not within(scores, limits, found):
        return False
    cycles = _cycles(p, f, b, of, single, tiles, visits, again, resident, keeps, slots, moved, dram)
    score(cycles, accesses, energy, scores)
    return within(scores, limits, found)


@step
def within(scores, limits, found):
    """Whether a score is not above its limit, of an objective that is not found."""
    for goal in range(len(limits)):  # noqa: SIM110
        if not found[goal] and scores[goal] <= limits[goal]:
            return True
    return False


@step
def _slots(p, f, b, strips):
    """Slots of a part: inside rows, at their ends, and of the last pixel of each tile."""
    most_tiles = ceil_div(p.out_h, b.low_rows) * ceil_div(p.out_w, b.low_columns)
    ends = p.out_h * strips
    return (p.out_h * p.out_w - ends) * f.inside + ends * f.wrap - most_tiles * (f.wrap - f.tokens)


@step
def score(cycles, accesses, energy, scores):
    """Energy-delay product, energy and cycles (`mapping.OBJECTIVES`), of counts."""
    spent = 0.0
    for n in range(ACCESSES):
        spent += accesses[n] * energy[n]
    spent += cycles * energy[ACCESSES]
    scores[0], scores[1], scores[2] = spent * cycles, spent, cycles


@step
def _map_bytes(p, f, b, of, strips, times, again):
    """Bytes of ifmap tiles and of residual ones, and of both from DRAM; exact for a single schedule."""
    wide, unfolded = p.size_x, p.wide_size
    if b.rows == b.low_rows:
        lines = swept(p.size_y, p.reach_y, p.stride_y, p.padding_y, p.out_h, b.rows)
    else:
        lines = _swept(of.once_y, of.halo_y, of.cut_y, p.out_h, b.rows)
    if strips > 1 and b.columns == b.low_columns:
        wide = swept(p.size_x, p.reach_x, p.stride_x, p.padding_x, p.out_w, b.columns)
        if p.wide_size:
            unfolded = swept(p.wide_size, p.wide_reach, p.wide_stride, p.wide_padding, p.out_w, b.columns)
    elif strips > 1:
        wide = _swept(of.once_x, of.halo_x, of.cut_x, p.out_w, b.columns)
        unfolded = _swept(of.once_u, of.halo_u, of.cut_u, p.out_w, b.columns)
    lines *= times
    line = WORD * wide * f.ifmap[b.split]
    residual = WORD * p.out_h * p.out_w * f.residual[again]
    if not of.from_dram:
        return lines * line, residual, 0
    dram = lines * line
    if p.wide_size:
        high = _swept(of.once_v, of.halo_v, of.cut_v, p.out_h, b.rows)
        if b.rows == b.low_rows:
            high = swept(p.tall_size, p.tall_reach, p.tall_stride, p.tall_padding, p.out_h, b.rows)
        dram = p.line_bytes // p.wide_size * unfolded * (times * high)
    return lines * line, residual, dram + residual


@step
def _cycles(p, f, b, of, single, tiles, visits, again, resident, keeps, slots, moved, dram):
    """The longest chain of waits."""
    chunks = f.steps * f.trips_j * f.trips_k
    jobs = tiles * chunks * of.parts
    loads = of.parts * tiles * (f.load + chunks)
    fenced = slots
    if b.rows * b.columns - 1 < p.tile_stages + f.psum:
        fenced += of.parts * tiles * f.fence
    start = max(_first_tile(p, f, b, of, resident), CONTROL_CYCLES) + f.first_fetch
    begin = max(start, f.loaded)
    done = begin + fenced
    if b.overlap:
        done = max(done, (slots + loads - jobs + (jobs - 2) * p.release) // 2)
    else:
        done = max(done, begin + slots + loads - f.first_load - 1 + (jobs - 1) * (p.release - 1))
    if not fits_twice(p, f, b):
        done = max(done, moved + slots)
    pixels = written = 1
    if single:
        rows, columns = (p.out_h - 1) % b.rows + 1, (p.out_w - 1) % b.columns + 1
        pixels, written = rows * columns, min(ceil_div(rows, p.write_step), p.written) * columns
    final = max(
        f.loaded - f.first_load + loads - 1,
        moved + (0 if again else pixels * (f.tokens - f.last_tokens)),
        begin + moved + _two_buffers(p, f, b, visits, again),
        dram,
        f.loaded + _staged(p, f, of, tiles, keeps),
        done - (pixels - 1) * f.last_wrap - f.last_tokens if single else 0,
    )
    behind = p.tile_stages + STORER_STAGES - 1 + f.last_store
    beats = 1
    if p.parts == of.parts:
        columns = p.outputs - (f.steps - 1) * f.A * p.columns
        beats = ceil_div(columns * p.output_size * 8, p.dma_bits)
    after = max((pixels - 1) * f.last_inside + beats, written * beats)
    sent = max(
        done + behind + beats, final + f.last_tokens + behind + after, begin + of.outputs * 8 // p.dma_bits
    )
    return sent + p.dma_start


@step
def _first_tile(p, f, b, of, resident):
    """When the first tile, and the residual one that belongs to it, are in L1."""
    lines = min(max((b.low_rows - 1) * p.stride_y + p.reach_y - p.padding_y, 0), p.size_y)
    columns = p.size_x
    if b.low_columns != p.out_w:
        columns = min(max((b.low_columns - 1) * p.stride_x + p.reach_x - p.padding_x, 0), p.size_x)
    channels = min(p.channels, f.B * p.rows) if b.split else p.channels
    size = WORD * lines * columns * ceil_div(channels, WORD)
    if resident or size == 0:
        return 0
    begin = 0
    if of.from_dram:
        begin = f.first_transfer + p.dram_latency
        if not p.wide_size:
            begin += transfer(p, size, 0)
    return begin + p.dma_start + ceil_div(size * 8, p.dma_bits)


@step
def _moved(p, f, b, visits, resident, into_l1):
    """All tiles, one descriptor after the other."""
    descriptors = 0 if resident or p.padding_y >= p.reach_y else visits
    if p.residual:
        descriptors += visits // (f.trips_j if b.split else 1)
    beats = into_l1 * 8 // p.dma_bits
    gaps = max(beats // 16 - descriptors, 0) * p.burst_gap
    return beats + gaps + descriptors * p.dma_start


@step
def _two_buffers(p, f, b, visits, again):
    """Less than all tiles by the first two: the third one waits for the slots of the first visit."""
    if visits <= 2:
        return -(1 << 40)
    lines = min((b.rows - 1) * p.stride_y + p.reach_y, p.size_y)
    columns = p.size_x
    if b.columns != p.out_w:
        columns = min((b.columns - 1) * p.stride_x + p.reach_x, p.size_x)
    words = lines * columns * f.ifmap_most[b.split] + f.residual_most[int(again)] * b.rows * b.columns
    beats = ceil_div(8 * WORD * words, p.dma_bits) + 1
    most = 2 * p.dma_start + beats + (beats // 16 + 1) * p.burst_gap
    return (0 if again else b.low_rows * b.low_columns * f.tokens) - 2 * most


@step
def _staged(p, f, of, tiles, keeps):
    """Jobs from DRAM, behind the first one, each of which waits for the load of the one two before."""
    if not of.fetched:
        return 0
    each = p.dram_latency + 1
    first = f.first_transfer + f.first_load + each
    every = f.dram + f.load + f.steps * f.trips_j * f.trips_k * each
    return max((1 if keeps else tiles) * of.parts * every - 2 * first, 0) // 2


@step
def _from_dram(p, f, of, tiles, visits, keeps, maps):
    """Transfers, one after the other, and the load of the last chunk where its weights come last."""
    busy = transfer(p, maps, visits if of.from_dram else 0) if maps > 0 else 0
    load = 0
    if of.fetched:
        busy += (1 if keeps else tiles) * of.parts * f.dram + of.codebook * 8 // p.dram_bits
        alone = f.steps * f.trips_j * f.trips_k * tiles == 1  # a single job comes before the map
        if not ((keeps and tiles > 1) or alone):
            load = f.last_load + 1
    return busy + (p.dram_latency if busy > 0 else 0) + load
