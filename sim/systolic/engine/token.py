"""One token: its psum row, what it counts, and what its slot leaves behind (docs/timing.md section 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.systolic.engine import registers
from sim.systolic.engine.compiled import step
from sim.systolic.engine.decoding import multipliers
from sim.systolic.engine.sequencer_step import count_fetches


class Token(NamedTuple):
    """A vector meets a WRF entry.

    Attributes:
        y, x: ifmap pixel.
        word: WRF address, bank included.
        s: PRF word.
        low, rows: first channel, and how many of array rows have one.
        columns: columns with meaning.
        fresh: it is the first one of its vector.
        first, stored: replaces the PRF word, with 0 or with row `address` of the psum memory.
        last, final: emits the PRF word; to row `address` of the psum memory unless final.
        place: where a final row begins among the finished psums.
    """

    y: int
    x: int
    word: int
    s: int
    low: int
    rows: int
    columns: int
    fresh: bool
    first: bool
    stored: bool
    last: bool
    final: bool
    address: int
    place: int


@step
def issue(p, core, array, counters):
    """The slot's next token. At value level, without an array, it waits for `values.compute`."""
    sequencer = core.sequencer[0]
    sequencer.issued += 1
    if array is not None:
        token = _token(p, core, sequencer.pixel, sequencer.elapsed)
        vector = core.ifmap[0, token.y, token.x]
        _issue_to_registers(array, token, vector)
        _count(p, core, token, counters)
        core.gated[0] += _gated(p, core, token, vector)
        sequencer.computed = sequencer.issued


@step
def compute_token(t, p, core, counters):
    """The first token that waits, of all images; its row is visible `latency` cycles after t."""
    sequencer = core.sequencer[0]
    tokens = sequencer.tokens
    token = _token(p, core, sequencer.computed // tokens, sequencer.computed % tokens)
    _count(p, core, token, counters)
    if sequencer.computed % tokens == 0:
        pixel = sequencer.computed // tokens
        count_fetches(counters, core.layer.chunks[sequencer.chunk], pixel, pixel + 1, p)
    for image in range(len(core.ifmap)):
        vector = core.ifmap[image, token.y, token.x]
        _accumulate(p, core, image, token, vector)
        core.gated[image] += _gated(p, core, token, vector)
    if token.last:
        record(t + p.latency, core, core.prf[0, token.s])


@step
def _token(p, core, pixel, e):
    """Token e of a pixel of the chunk at hand."""
    sequencer = core.sequencer[0]
    chunk = core.layer.chunks[sequencer.chunk]
    entry = core.entries[e]
    oy, ox = chunk.tile + pixel // chunk.width, chunk.left + pixel % chunk.width
    first, last = e < chunk.A, e >= sequencer.tokens - chunk.A
    return Token(
        y=oy * p.stride_y + entry.position // p.kernel_x * p.dilation_y,
        x=ox * p.stride_x + entry.position % p.kernel_x * p.dilation_x,
        word=(sequencer.chunk & p.banks - 1) * (p.wrf_depth // p.banks) + e,
        s=entry.s,
        low=chunk.channel + entry.r * p.rows,
        rows=np.int64(chunk.rows_tail if entry.r == chunk.B - 1 else chunk.rows),
        columns=np.int64(chunk.columns_tail if entry.s == chunk.A - 1 else chunk.columns),
        fresh=e % (chunk.A * chunk.U) == 0,
        first=first,
        stored=first and not chunk.first,
        last=last,
        final=last and chunk.last,
        address=pixel * chunk.A + entry.s,
        place=(oy * p.ofmap_width + ox) * p.outputs + chunk.output + entry.s * p.columns,
    )


@step
def _issue_to_registers(array, token, vector):
    registers.issue(
        array,
        token.word,
        token.s,
        token.first,
        token.stored,
        token.last,
        token.final,
        token.address,
        token.columns,
        vector,
        token.low,
        token.rows,
        token.place,
    )


@step
def clock_array(t, core, array):
    """One cycle of the array's registers, before the loader writes; an emitted row is visible in t + 1."""
    slot = registers.clock(array, core.wrf, core.stored[0])
    if slot >= 0:
        tag, row = array.tags[slot], array.row
        if tag[registers.Tag.FINAL]:
            for c in range(tag[registers.Tag.COLUMNS]):
                core.finished[0, tag[registers.Tag.PLACE] + c] = row[c]
        record(t + 1, core, row)


@step
def watch(t, core, array):
    """Registers as visible in cycle t, where a window of them is recorded."""
    n, waves = t - core.trace.since[0], core.trace.registers
    if 0 <= n < len(waves.row):
        registers.show(array, n, waves)


@step
def _accumulate(p, core, image, token, vector):
    """The psum row of an image."""
    psum, stored, columns = core.prf[image, token.s], core.stored[image, token.address], token.columns
    if token.first:
        for c in range(p.columns):
            psum[c] = stored[c] if token.stored else 0
    _multiply(psum[:columns], core.wrf[token.word], vector, token.low, token.rows)
    if token.last:
        if token.final:
            for c in range(columns):
                core.finished[image, token.place + c] = psum[c]
        else:
            for c in range(p.columns):
                stored[c] = psum[c]


@step
def record(t, core, row):
    """Records a row that is visible in cycle t, while there is room."""
    n, trace = core.sequencer[0].traced, core.trace
    if n < len(trace.cycles):
        for c in range(len(row)):
            trace.rows[n, c] = row[c]
        trace.cycles[n] = t
        core.sequencer[0].traced += 1


@step
def _count(p, core, token, counters):
    """Multiplications of a token, and its accesses to vectors, psums and weights."""
    rows, columns, used = token.rows, token.columns, multipliers(token.columns, p)
    counters.tokens += 1
    counters.mac += rows * used
    counters.wrf_read += rows * used
    counters.prf_write += columns
    if not token.first:
        counters.prf_read += columns
    if token.stored:
        counters.psum_rows_read += 1
        counters.l1_psum_read += columns * p.psum_words
    if token.last:
        counters.prf_read += columns
        if token.final:
            counters.finished_rows += 1
        else:
            counters.psum_rows_written += 1
            counters.l1_psum_write += columns * p.psum_words
    if token.fresh:
        counters.vectors += 1
        if 0 <= token.y - p.pad_y < p.height and 0 <= token.x - p.pad_x < p.width:
            counters.arf_read += rows


@step
def end_tokens(t, p, core):
    """The slot's last token has issued: when its rows have left, and when the chunk's WRF bank is free."""
    sequencer, chunks = core.sequencer[0], core.layer.chunks
    n = sequencer.chunk
    chunk = chunks[n]
    if chunk.last:
        done = t + p.latency + p.store_stages + chunk.store
        if sequencer.pixel == 0:
            sequencer.sent_off_before = sequencer.sent_off
            core.times[n + 1].rows[0] = t - chunk.A + 1 + p.latency
        row = chunk.tile + sequencer.pixel // chunk.width
        if row >= p.write_first and (row - p.write_first) % p.write_step == 0:
            sent = max(sequencer.sent_off, done)
            if sequencer.pixel == 0 or (
                sequencer.pixel % chunk.width == 0 and row - p.write_step < chunk.tile
            ):
                core.times[n + 1].sent[0] = sent
            sequencer.sent_off = sent + chunk.write_beats
        if sequencer.pixel == chunk.pixels - 1:
            core.times[n + 1].rows[1], core.times[n + 1].sent[1] = done, sequencer.sent_off
    if sequencer.pixel == chunk.pixels - 1:
        core.times[n + 1].tokens[1] = t + 1
        core.loader[0].free_at[n & p.banks - 1] = t + p.release
        if n == len(chunks) - 1:
            sequencer.drained = sequencer.sent_off + p.write_tail - 1 if p.memory else t + p.latency
        elif chunks[n + 1].fence:
            sequencer.fence_at = t + p.latency + chunk.psum_write + chunks[n + 1].psum_read


@step
def _multiply(psum, weights, vector, low, rows):
    """psum += vector[low:] @ weights."""
    for h in range(rows):
        x = np.int32(vector[low + h])
        for c in range(len(psum)):
            psum[c] += x * np.int32(weights[h, c])


@step
def _gated(p, core, token, vector):
    """Multiplications of a token that a zero operand gates; `zeros` counts a row's zero weights."""
    used, zeros, total = multipliers(token.columns, p), core.zeros[token.word], np.int64(0)
    for h in range(token.rows):
        total += used if vector[token.low + h] == 0 else zeros[h]
    return total
