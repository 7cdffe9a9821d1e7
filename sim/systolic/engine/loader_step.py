"""One cycle of the weight loader (docs/timing.md section 3)."""

from __future__ import annotations

import numpy as np

from sim.systolic.engine.compiled import step
from sim.systolic.engine.decoding import Mode, decode_row, multipliers, rom_cycles, signed_byte
from sim.systolic.engine.state import NEVER


@step
def receive(t, p, core, counters):
    """A job begins when its beats are in L2 and its WRF bank is free; a beat a cycle."""
    loader, layer = core.loader[0], core.layer
    job = loader.job
    if (
        not loader.active
        and job < len(layer.chunks)
        and t >= loader.ready_at
        and t >= core.job_there[max(job, 0)]
        and (job < 0 or t >= loader.free_at[job % p.banks])
    ):
        loader.active = True
        if job >= 0:
            loader.free_at[job % p.banks] = NEVER
        loader.sent = loader.visible = loader.consumed = loader.entry = loader.row = 0
        loader.extra = -1
        loader.beats = (len(layer.codebook) - 1) * 64 // p.port if job < 0 else layer.chunks[job].beats
    if loader.active and loader.sent < loader.beats:
        loader.sent += 1
        counters.beats += 1
    if p.write_delay == 0:
        loader.visible = loader.sent * p.port


@step
def load_rows(t, p, core, counters):
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
        if loader.job >= 0:
            loader.written_before, loader.written = loader.written, t
        loader.job += 1
        loader.ready_at = t + 1


@step
def _write_weights(t, p, core, counters):
    """Writes the row whose turn it is into the WRF."""
    look_up, layer, job = core.look_up[p.write_delay // 2], core.layer, core.loader[0].job
    chunk, bank = layer.chunks[job], job % p.banks
    entry = bank * (p.wrf_depth // p.banks) + look_up.entry
    row = core.wrf[entry, look_up.row]
    stored = decode_row(
        row, layer.words, look_up.position, look_up.width, look_up.u, look_up.row, p, core.crf, layer.masks
    )
    tail = look_up.entry % chunk.A == chunk.A - 1
    kept = 0
    for c in range(p.columns):
        kept += row[c] != 0
    core.zeros[entry, look_up.row] = multipliers(chunk.columns_tail if tail else chunk.columns, p) - kept
    counters.wrf_write += stored
    counters.wrf_rows += 1
    if p.mode >= Mode.VQ:
        counters.crf_read += stored // p.q * p.d
    if look_up.last:
        core.loader[0].full_at[bank] = t + 1


@step
def _look_up(p, core):
    """Looks the next row up if its bits are there; returns whether the ROM serves it once more."""
    loader, look_up = core.loader[0], core.look_up[0]
    width, u, last_of_entry, last = _next_row(p, core)
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
    look_up.pending, look_up.last = True, last
    look_up.entry, look_up.row, look_up.u = loader.entry, loader.row, u
    look_up.position, look_up.width = position, width
    loader.consumed += width
    loader.row += 1
    if last_of_entry:
        loader.row = 0
        loader.entry += 1
    return False


@step
def _next_row(p, core):
    """Its bits, its part u of the codewords, and whether it is the last of its WRF entry and of its job."""
    loader = core.loader[0]
    if loader.job < 0:
        return np.int64(8 * p.d), np.int64(0), False, loader.row == p.codewords - 1
    chunk, entry = core.layer.chunks[loader.job], loader.entry
    s = entry % chunk.A
    u = entry // chunk.A % chunk.U
    r = entry // (chunk.A * chunk.U) % chunk.B
    width = np.int64(chunk.row_bits_tail if s == chunk.A - 1 else chunk.row_bits)
    last_of_entry = loader.row == (chunk.rows_tail if r == chunk.B - 1 else chunk.rows) - 1
    last_entry = entry == chunk.A * chunk.B * chunk.U * chunk.D - 1
    return width, u, last_of_entry, last_of_entry and last_entry
