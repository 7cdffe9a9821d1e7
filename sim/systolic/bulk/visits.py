"""Ifmap tiles that come into L1, in the order of the loops (docs/timing.md section 7), compiled."""

from __future__ import annotations

from sim.shapes import WORD
from sim.systolic.bulk.compiled import step
from sim.systolic.bulk.factors import transfer
from sim.systolic.bulk.tiles import ceil_div, extents, words

LONG_AGO = -(1 << 60)


@step
def open_tile(p, h, r, c, j, first):
    """Brings an ifmap tile into L1, and starts the DRAM transfer of the tile after it; when DRAM has brought it."""
    dma, size = _visit(p, h, r, c.part, c.i, c.tile, j)
    if first:
        c.next_map = _map(p, c, size, 0)
    map_there, c.next_map = c.next_map, LONG_AGO
    following = _after(p, h, r, c, j)
    if following >= 0:
        c.next_map = _map(p, c, following, 0 if first else c.tile_there)
    before = c.visit_end
    c.visit_end = LONG_AGO if first else c.end
    buffer = c.visit_end if r.ifmap_buffers == 1 else before
    c.tile_there = max(c.tile_there, map_there, buffer, 0) + dma
    return map_there


@step
def _map(p, c, size, earliest):
    if not size:
        return LONG_AGO
    c.dram = max(c.dram, earliest) + transfer(p, size, 0)
    return c.dram + p.dram_latency


@step
def _after(p, h, r, c, j):
    """Bytes from DRAM of the tile that follows; -1 at the end of the layer."""
    part, i, tile = c.part, c.i, c.tile
    if h.split and j + 1 < r.trips_j:
        j += 1
    elif not h.outer and h.split and i + 1 < r.trips_i:
        i, j = i + 1, 0
    elif tile + 1 < r.tiles:
        i, tile, j = (i if h.outer else 0), tile + 1, 0
    elif h.outer and r.again and i + 1 < r.trips_i:
        i, tile, j = i + 1, 0, 0
    elif part + 1 < p.parts:
        part, i, tile, j = part + 1, 0, 0, 0
    else:
        return -1
    return _visit(p, h, r, part, i, tile, j)[1]


@step
def _visit(p, h, r, part, i, tile, j):
    """(cycles of the DMA descriptors, bytes from DRAM) of an ifmap tile and its residual one."""
    last = part == p.parts - 1
    lines, columns, high, wide, unfolded = extents(p, h, r, tile)
    low = j * r.tile_channels if h.split else 0
    channels = (p.last_channels if last else p.channels) - low
    line = WORD * wide * words(part * p.channels + low, min(r.tile_channels, channels), 1)
    residual = 0
    if p.residual and (j == r.trips_j - 1 or not h.split):
        low = i * r.tile_outputs if r.again else 0
        outputs = (p.last_outputs if last else p.outputs) - low
        residual = WORD * lines * columns * words(part * p.outputs + low, min(r.tile_outputs, outputs), 1)
    dma = 0
    for size in (high * line if h.source else 0, residual):
        if size:
            beats = ceil_div(size * 8, p.dma_bits)
            dma += p.dma_start + beats + (ceil_div(beats, 16) - 1) * p.burst_gap
    if h.source != 2:
        return dma, 0
    size = p.line_bytes // p.wide_size * unfolded if p.wide_size else high * line
    return dma, size + residual
