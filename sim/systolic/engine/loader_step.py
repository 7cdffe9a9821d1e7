"""Cycles of the weight loader (docs/timing.md section 3)."""

from __future__ import annotations

import numpy as np

from sim.systolic.engine.compiled import step
from sim.systolic.engine.decoding import (
    Mode,
    decode_row,
    multipliers,
    nonzero,
    rom_cycles,
    signed_byte,
    take_scales,
)
from sim.systolic.engine.state import NEVER
from sim.systolic.engine.values import compute


@step
def load(t, end, p, core, counters):
    """Cycles of the loader from t up to `end`, or to the end of a job or a full bank, for which others wait.

    Returns:
        the first cycle not taken, and whether in the last one the ROM served a row once more.
    """
    loader, again = core.loader[0], False
    while t < end:
        if not loader.active:
            begin = begins(p, core)
            if begin > t:
                t = min(begin, end)
                continue
        job, bank = loader.job, loader.job & p.banks - 1
        full_at = loader.full_at[bank]
        _receive(t, p, core, counters)
        again = _load_rows(t, p, core, counters)
        loader.visible = loader.sent * p.port
        t += 1
        if loader.job != job or loader.full_at[bank] != full_at:
            break
    return t, again


@step
def begins(p, core):
    """The first cycle in which the job at hand can begin: its beats are in L2, its WRF bank is free."""
    loader = core.loader[0]
    job = loader.job
    if job == len(core.layer.chunks):
        return np.int64(NEVER)
    begin = max(loader.ready_at, core.job_there[max(job, 0)])
    return begin if job < 0 else max(begin, loader.free_at[job & p.banks - 1])


@step
def _receive(t, p, core, counters):
    """A job begins; a beat a cycle."""
    loader, layer = core.loader[0], core.layer
    job = loader.job
    if not loader.active:
        loader.active = True
        if job >= 0:
            loader.free_at[job & p.banks - 1] = NEVER
        loader.sent = loader.taken = loader.visible = loader.consumed = loader.entry = loader.row = 0
        loader.extra = -1
        loader.beats = (len(layer.codebook) - 1) * 64 // p.port if job < 0 else layer.chunks[job].beats
        core.times[job + 1].load[0] = core.times[job + 1].beats[0] = t
    if loader.taken < loader.beats and loader.taken * p.port - loader.consumed <= p.buffer_room:
        loader.taken += 1
        core.times[job + 1].beats[1] = t + 1
    if loader.active and loader.sent < loader.beats:
        loader.sent += 1
        counters.beats += 1
    if p.write_delay == 0:
        loader.visible = loader.sent * p.port


@step
def _load_rows(t, p, core, counters):
    """Writes a row and looks one up; returns whether the ROM serves the row at hand once more.

    A row is written `write_delay` cycles after its look-up; no other job is looked up meanwhile.
    """
    rows, again = core.look_up, False
    if p.write_delay > 0:
        _write(t, p, core, counters)
        rows[1] = rows[0]
        rows[0].pending = rows[0].last = False
    if core.loader[0].active and not (rows[1].last and p.write_delay == 2):
        again = _look_up(p, core)
    if p.write_delay == 0:
        _write(t, p, core, counters)
        rows[0].last = False
    return again


@step
def _write(t, p, core, counters):
    """Writes the row whose turn it is, if there is one, into CRF or WRF."""
    loader, look_up = core.loader[0], core.look_up[p.write_delay // 2]
    if not look_up.pending:
        return
    look_up.pending = False
    if loader.job < 0:
        for c in range(p.d):
            core.crf[look_up.row, c] = signed_byte(core.layer.codebook, look_up.position + 8 * c)
        counters.crf_write += p.d
    else:
        _write_weights(t, p, core, counters)
    if look_up.last:
        loader.active = False
        core.times[loader.job + 1].load[1] = t + 1
        if loader.job >= 0:
            loader.written_before, loader.written = loader.written, t
        loader.job += 1
        loader.ready_at = t + 1


@step
def _write_weights(t, p, core, counters):
    """Writes the row whose turn it is into the WRF."""
    look_up, job = core.look_up[p.write_delay // 2], core.loader[0].job
    chunk, bank = core.layer.chunks[job], job & p.banks - 1
    entry = bank * (p.wrf_depth // p.banks) + look_up.entry
    if (
        core.sequencer[0].computed < core.sequencer[0].issued
        and (core.sequencer[0].chunk & p.banks - 1) == bank
    ):
        compute(t, p, core, counters)  # what has issued still multiplies the words of before
    if look_up.scale:
        take_scales(core, look_up.scale - 1, look_up.position, look_up.width, p)
        return
    stored = decode_row(core, entry, look_up.row, look_up.position, look_up.width, look_up.u, p)
    tail = look_up.entry % chunk.A == chunk.A - 1
    used = multipliers(chunk.columns_tail if tail else chunk.columns, p)
    core.zeros[entry, look_up.row] = used - nonzero(core, entry, look_up.row, p)
    counters.wrf_write += stored
    counters.wrf_rows += 1
    counters.crf_read += stored // p.q * p.d * p.books
    if look_up.last:
        core.loader[0].full_at[bank] = t + 1


@step
def _look_up(p, core):
    """Looks the next row up if its bits are there; returns whether the ROM serves it once more."""
    loader, look_up = core.loader[0], core.look_up[0]
    if loader.row == 0:
        _begin_entry(p, core)
    width, last_of_entry = loader.width, loader.row == loader.rows - 1
    if loader.visible - loader.consumed < width:
        return False
    position = loader.consumed
    if loader.job >= 0:
        position += np.int64(core.layer.chunks[loader.job].beat) * p.port
    if loader.extra < 0:
        loader.extra = 0
        if p.mode == Mode.ROM:
            loader.extra = rom_cycles(core.layer.words, position, width, p, core.bank_load) - 1
    if loader.extra > 0:
        loader.extra -= 1
        return True
    loader.extra = -1
    look_up.pending, look_up.last = True, last_of_entry and loader.last_entry
    look_up.entry, look_up.row, look_up.scale, look_up.u = loader.entry, loader.row, 0, loader.u
    if p.scale_rows:
        group, row = divmod(loader.row, p.scale_rows + p.scale_span)
        look_up.scale = row + 1 if row < p.scale_rows else 0
        look_up.row = group * p.scale_span + max(row - p.scale_rows, 0)
    look_up.position, look_up.width = position, width
    loader.consumed += width
    loader.row += 1
    if last_of_entry:
        loader.row = 0
        loader.entry += 1
    return False


@step
def _begin_entry(p, core):
    """Rows of the WRF entry at hand, or of the codebook: how many, their bits, their part u of the codewords."""
    loader = core.loader[0]
    if loader.job < 0:
        loader.width, loader.u, loader.rows, loader.last_entry = 8 * p.d, 0, p.codewords, True
        return
    chunk, entry = core.layer.chunks[loader.job], loader.entry
    s = entry % chunk.A
    r = entry // (chunk.A * chunk.U) % chunk.B
    loader.width = chunk.row_bits_tail if s == chunk.A - 1 else chunk.row_bits
    loader.u = entry // chunk.A % chunk.U
    loader.rows = chunk.rows_tail if r == chunk.B - 1 else chunk.rows
    loader.rows += (loader.rows + p.scale_span - 1) // p.scale_span * p.scale_rows
    loader.last_entry = entry == chunk.A * chunk.B * chunk.U * chunk.D - 1
