"""One token: its psum row, what it counts, and what its slot leaves behind (docs/timing.md section 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.systolic.engine import registers
from sim.systolic.engine.compiled import step
from sim.systolic.engine.decoding import Mode, multipliers


class Token(NamedTuple):
    """A vector meets a WRF entry.

    Attributes:
        entry: of the chunk, counted from 0.
        word: WRF address, bank included.
        s: PRF word.
        low, rows: first channel, and how many of array rows have one.
        columns: columns with meaning.
        first, stored: replaces the PRF word, with 0 or with row `address` of the psum memory.
        last, final: emits the PRF word; to row `address` of the psum memory unless final.
        place: where a final row begins among the finished psums.
    """

    entry: int
    word: int
    s: int
    low: int
    rows: int
    columns: int
    first: bool
    stored: bool
    last: bool
    final: bool
    address: int
    place: int


@step
def issue(t, p, core, counters):
    """The slot's next token."""
    sequencer = core.sequencer[0]
    chunk = core.layer.chunks[sequencer.chunk]
    token = _next_token(p, core, chunk)
    position = core.entries[token.entry].position
    ky, kx = position // p.kernel_x, position % p.kernel_x
    y = sequencer.oy * p.stride_y + ky * p.dilation_y
    z = sequencer.ox * p.stride_x + kx * p.dilation_x
    vector = core.ifmap[y, z]
    if p.registers:
        _issue_to_registers(core, token, vector)
    else:
        _accumulate(t, p, core, token, vector)
    _count(p, core, token, vector, counters)
    if token.entry % (chunk.A * chunk.U) == 0:
        counters.vectors += 1
        if 0 <= y - p.pad_y < p.height and 0 <= z - p.pad_x < p.width:
            counters.arf_read += token.rows


@step
def _next_token(p, core, chunk):
    sequencer = core.sequencer[0]
    e = sequencer.elapsed
    s, r = core.entries[e].s, core.entries[e].r
    first, last = e < chunk.A, e >= sequencer.tokens - chunk.A
    pixel = sequencer.oy * p.ofmap_width + sequencer.ox
    return Token(
        entry=e,
        word=sequencer.chunk % p.banks * (p.wrf_depth // p.banks) + e,
        s=s,
        low=chunk.channel + r * p.rows,
        rows=np.int64(chunk.rows_tail if r == chunk.B - 1 else chunk.rows),
        columns=np.int64(chunk.columns_tail if s == chunk.A - 1 else chunk.columns),
        first=first,
        stored=first and not chunk.first,
        last=last,
        final=last and chunk.last,
        address=sequencer.pixel * chunk.A + s,
        place=pixel * p.outputs + chunk.output + s * p.columns,
    )


@step
def _issue_to_registers(core, token, vector):
    registers.issue(
        core.array,
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
def clock_array(t, core):
    """One cycle of the array's registers, before the loader writes; an emitted row is visible in t + 1."""
    slot = registers.clock(core.array, core.wrf, core.stored)
    if slot >= 0:
        tag, row = core.array.tags[slot], core.array.row
        if tag[registers.Tag.FINAL]:
            for c in range(tag[registers.Tag.COLUMNS]):
                core.finished[tag[registers.Tag.PLACE] + c] = row[c]
        _record(t + 1, core, row)


@step
def _accumulate(t, p, core, token, vector):
    """Value level: the psum row is computed in the cycle in which its token issues."""
    psum, stored, columns = core.prf[token.s], core.stored[token.address], token.columns
    if token.first:
        for c in range(p.columns):
            psum[c] = stored[c] if token.stored else 0
    if p.mode == Mode.BLOCK:
        _multiply_block(psum, core.wrf[token.word], vector, token.low, token.rows, p)
    else:
        _multiply(psum[:columns], core.wrf[token.word], vector, token.low, token.rows)
    if token.last:
        if token.final:
            for c in range(columns):
                core.finished[token.place + c] = psum[c]
        else:
            for c in range(p.columns):
                stored[c] = psum[c]
        _record(t + p.latency, core, psum)


@step
def _record(t, core, row):
    """Records a row that is visible in cycle t, while there is room."""
    n, trace = core.sequencer[0].traced, core.trace
    if n < len(trace.cycles):
        for c in range(len(row)):
            trace.rows[n, c] = row[c]
        trace.cycles[n] = t
        core.sequencer[0].traced += 1


@step
def _count(p, core, token, vector, counters):
    """Multiplications of a token, and its accesses to psums and weights."""
    rows, columns, used = token.rows, token.columns, multipliers(token.columns, p)
    operands = vector[token.low : token.low + rows]
    counters.tokens += 1
    counters.mac += rows * used
    counters.wrf_read += rows * used
    counters.gated += _gated(operands, used, core.zeros[token.word])
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
        sequencer.sent_off = max(sequencer.sent_off, done) + chunk.write_beats
    if sequencer.pixel == chunk.pixels - 1:
        core.loader[0].free_at[n % p.banks] = t + p.release
        if n == len(chunks) - 1:
            sequencer.drained = sequencer.sent_off + p.write_tail - 1 if p.memory else t + p.latency
        elif chunks[n + 1].fence:
            sequencer.fence_at = t + p.latency + chunk.psum_write + chunks[n + 1].psum_read


@step
def _multiply(psum, weights, vector, low, rows):
    """psum += vector[low:] @ weights; four rows at a time keep the psums in registers."""
    quads = rows // 4 * 4
    for h in range(0, quads, 4):
        x0, x1 = np.int32(vector[low + h]), np.int32(vector[low + h + 1])
        x2, x3 = np.int32(vector[low + h + 2]), np.int32(vector[low + h + 3])
        if x0 | x1 | x2 | x3 != 0:
            w0, w1, w2, w3 = weights[h], weights[h + 1], weights[h + 2], weights[h + 3]
            for c in range(len(psum)):
                psum[c] += (
                    x0 * np.int32(w0[c]) + x1 * np.int32(w1[c]) + x2 * np.int32(w2[c]) + x3 * np.int32(w3[c])
                )
    for h in range(quads, rows):
        x0, w0 = np.int32(vector[low + h]), weights[h]
        for c in range(len(psum)):
            psum[c] += x0 * np.int32(w0[c])


@step
def _multiply_block(psum, weights, vector, low, rows, p):
    """As `_multiply`, groups on the diagonal."""
    for h in range(rows):
        first = h // p.block_inputs * p.block_outputs
        x = np.int32(vector[low + h])
        for c in range(first, first + p.block_outputs):
            psum[c] += x * np.int32(weights[h, c])


@step
def _gated(vector, used, zeros):
    """Multiplications of one token that a zero operand gates; `zeros` counts a row's zero weights."""
    total = np.int32(0)
    for h in range(len(vector)):
        total += np.int32(used) if vector[h] == 0 else zeros[h]
    return total
