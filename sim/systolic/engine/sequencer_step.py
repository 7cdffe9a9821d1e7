"""One cycle of the sequencer: slots, and what they wait for (docs/timing.md sections 2 and 5)."""

from __future__ import annotations

import numpy as np

from sim.systolic.engine.compiled import step
from sim.systolic.engine.counters import Cause
from sim.systolic.engine.state import NEVER


@step
def end_slot(t, core):
    """The slot is over, and with it perhaps the chunk and the visit."""
    sequencer, chunks = core.sequencer[0], core.layer.chunks
    asked = sequencer.asked_psums + sequencer.asked_fetch
    if not sequencer.in_slot or sequencer.elapsed < sequencer.length or asked > 0:
        return
    sequencer.in_slot = False
    sequencer.pixel += 1
    if sequencer.pixel == chunks[sequencer.chunk].pixels:
        sequencer.pixel = 0
        sequencer.chunk += 1
        n = sequencer.chunk
        if n < len(chunks) and chunks[n].visit != chunks[n - 1].visit:
            core.visit_end[chunks[n - 1].visit] = t


@step
def waits_for(t, p, core, rom_serves):
    """Why no slot can begin in cycle t, and until when for all that is known then; COMPUTE if one can."""
    sequencer, chunks = core.sequencer[0], core.layer.chunks
    n = sequencer.chunk
    if sequencer.pixel > 0:
        return np.int64(Cause.COMPUTE), t
    chunk, full_at = chunks[n], core.loader[0].full_at[n & p.banks - 1]
    opens = n == 0 or chunks[n - 1].visit != chunk.visit
    begin = np.int64(p.control)
    if opens and p.memory:
        begin = max(begin, core.tile_there[chunk.visit])
    left = sequencer.sent_off if p.ofmap_buffers == 1 else sequencer.sent_off_before
    cause, until = Cause.COMPUTE, t
    if t < p.control:
        cause, until = Cause.CONTROL, np.int64(p.control)
    elif t < full_at:
        cause, until = Cause.WEIGHT, full_at
        if t < core.job_there[n]:
            cause, until = Cause.DRAM, min(full_at, core.job_there[n])
        elif rom_serves:
            cause = Cause.ROM
    elif t < sequencer.fence_at:
        cause, until = Cause.PSUM, sequencer.fence_at
    elif chunk.last and p.memory and t < left:
        cause, until = Cause.STORE, left
    elif p.memory and opens and t < core.map_there[chunk.visit]:
        cause, until = Cause.DRAM, core.map_there[chunk.visit]
    elif p.memory and opens and t < core.tile_there[chunk.visit]:
        cause, until = Cause.DMA, core.tile_there[chunk.visit]
    elif (n == 0 or (p.memory and opens)) and t < begin + chunk.fetch_row:
        cause, until = Cause.IFMAP, begin + chunk.fetch_row
    return np.int64(cause), until


@step
def begin_slot(p, core, counters):
    """A slot begins, and at pixel 0 its chunk."""
    sequencer = core.sequencer[0]
    chunk, pixel = core.layer.chunks[sequencer.chunk], sequencer.pixel
    if pixel == 0:
        _begin_chunk(p, core, chunk)
    sequencer.in_slot = True
    sequencer.elapsed = 0
    if p.registers:
        count_fetches(counters, chunk, pixel, pixel + 1, p)
    _set_length(p, core)


@step
def _begin_chunk(p, core, chunk):
    sequencer = core.sequencer[0]
    core.loader[0].full_at[sequencer.chunk & p.banks - 1] = NEVER
    sequencer.tokens = chunk.A * chunk.B * chunk.U * chunk.D
    sequencer.issued = sequencer.computed = 0
    for e in range(sequencer.tokens):
        entry = core.entries[e]
        entry.s = e % chunk.A
        entry.r = e // (chunk.A * chunk.U) % chunk.B
        entry.position = e // (chunk.A * chunk.U * chunk.B) + chunk.position


@step
def _set_length(p, core):
    """Length of the slot: its tokens, the next pixel's vectors, its psums, and its rows in the storer."""
    sequencer, chunks = core.sequencer[0], core.layer.chunks
    n = sequencer.chunk
    chunk = chunks[n]
    ahead, words, read = np.int64(0), np.int64(0), np.int64(0)
    if sequencer.pixel + 1 < chunk.pixels:
        wraps = (sequencer.pixel + 1) % chunk.width == 0
        ahead = np.int64(chunk.fetch_row if wraps else chunk.fetch_in)
        words = np.int64(chunk.words_row if wraps else chunk.words_in)
        read = np.int64(chunk.psum_read)
    elif n + 1 < len(chunks):
        following = chunks[n + 1]
        ahead, words = np.int64(following.fetch_row), np.int64(following.words_row)
        read = np.int64(0 if following.fence else following.psum_read)
    write = chunk.psum_write
    psums = max(write, read) if p.psum_ports == 2 else write + read
    if p.pool:
        sequencer.asked_psums = ((write > 0) + (read > 0)) * chunk.A * p.psum_row_words
        sequencer.asked_fetch = words
        ahead = psums = 0
    most = max(ahead, psums, chunk.store)
    sequencer.length = max(sequencer.tokens, most)
    sequencer.stall = Cause.PSUM if psums == most else Cause.STORE if chunk.store == most else Cause.IFMAP


@step
def stall_of_slot(t, p, core):
    """What a cycle of the slot without a token goes to. Without bank groups, L1 serves its words."""
    sequencer = core.sequencer[0]
    cause = sequencer.stall
    if p.pool:
        if sequencer.elapsed >= sequencer.length:
            cause = np.int64(Cause.PSUM if sequencer.asked_psums else Cause.IFMAP)
        # DMA first, which cannot wait; then psums, then the next vectors.
        transfers = (t < core.memory[0].dma_free) + (t < sequencer.sent_off)
        room = max(p.pool - -(-p.dma_bits // 64) * transfers, 0)
        served = min(sequencer.asked_psums, room)
        sequencer.asked_psums -= served
        sequencer.asked_fetch -= min(sequencer.asked_fetch, room - served)
    return cause


@step
def count_fetches(counters, chunk, first, end, p):
    """Counts the L1 reads of the new, unpadded vectors of some pixels."""
    channels = (chunk.B - 1) * p.rows + chunk.rows_tail
    fetched = channels * vectors_inside(chunk, first, end, p.reuse, p)
    counters.l1_ifmap_read += fetched
    counters.arf_write += fetched


@step
def vectors_inside(chunk, first, end, reuse, p):
    """Vectors of a channel group that some pixels read inside the map, an output row after the other.

    With `reuse` without those that the ARF holds, since the pixel before read this column at a resident position.
    """
    total, pixel = np.int64(0), np.int64(first)
    while pixel < end:
        row, column = pixel // chunk.width, pixel % chunk.width
        lines = max((end - pixel) // chunk.width, 1) if column == 0 else np.int64(1)
        behind = min(np.int64(chunk.width), column + end - pixel)
        for position in range(chunk.position, chunk.position + chunk.D):
            ky, kx = position // p.kernel_x, position % p.kernel_x
            before = position + p.stride_x
            held = reuse and before // p.kernel_x == ky and before < chunk.position + chunk.D
            top, left = chunk.tile + row, chunk.left + column
            right = chunk.left + (min(behind, 1) if held else behind)
            total += _inside(top, top + lines, p.stride_y, ky * p.dilation_y - p.pad_y, p.height) * _inside(
                left, right, p.stride_x, kx * p.dilation_x - p.pad_x, p.width
            )
        pixel += (behind - column) * lines
    return total


@step
def _inside(first, end, stride, shift, size):
    """How many of the outputs read inside the map along an axis."""
    return max(min(end, -((shift - size) // stride)) - max(first, -(shift // stride)), 0)
