"""The machine, one cycle after another (docs/timing.md).

Two depths share this loop. At value level a token's psum row is computed when it issues, from what the
loader has written into the WRF by then; at register level `engine.registers` clocks every register.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from sim.systolic.engine import registers

DENSE, SPLIT, BLOCK, VQ, MVQ, SSVQ, ROM = range(7)
NEVER = 1 << 60

# Counters of one run, in the order of COUNTERS.
COUNTERS = (
    "core_cycles",
    "compute",
    "dram",
    "dma",
    "rom",
    "weight",
    "psum",
    "store",
    "ifmap",
    "control",
    "drain",
    "vectors",
    "wrf_rows",
    "beats",
    "psum_rows_read",
    "psum_rows_written",
    "finished_rows",
    "mac",
    "gated",
    "wrf_read",
    "wrf_write",
    "arf_read",
    "arf_write",
    "prf_read",
    "prf_write",
    "crf_read",
    "crf_write",
    "l1_ifmap_read",
    "l1_psum_read",
    "l1_psum_write",
    "tokens",
)
(
    CYCLES,
    COMPUTE,
    BY_DRAM,
    BY_DMA,
    BY_ROM,
    WEIGHT,
    PSUM,
    STORE,
    IFMAP,
    CONTROL,
    DRAIN,
    VECTORS,
    WRF_ROWS,
    BEATS,
    PSUM_ROWS_READ,
    PSUM_ROWS_WRITTEN,
    FINISHED,
    MAC,
    GATED,
    WRF_READ,
    WRF_WRITE,
    ARF_READ,
    ARF_WRITE,
    PRF_READ,
    PRF_WRITE,
    CRF_READ,
    CRF_WRITE,
    L1_IFMAP_READ,
    L1_PSUM_READ,
    L1_PSUM_WRITE,
    TOKENS,
) = range(len(COUNTERS))


class Parameters(NamedTuple):
    """Integers of a run. With `memory` 0 the core runs alone: its weights and ifmap are there in time."""

    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    registers: int  # clock every register of the array
    latency: int
    release: int
    registered: int  # loader stages are clocked
    port: int
    wrf_depth: int
    overlap: int
    mode: int
    d: int
    q: int
    codes: int
    mask_bits: int
    group: int
    index_bits: int
    codewords: int
    rom_banks: int
    rom_ports: int
    block_inputs: int
    block_outputs: int
    reuse: int
    kernel_x: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    pad_y: int
    pad_x: int
    height: int
    width: int
    psum_words: int
    psum_ports: int
    pool: int  # 64-bit words a cycle of an arbitrated L1, 0 with a bank group for each client
    psum_row_words: int
    sparse: int
    memory: int
    control: int
    store_stages: int
    write_tail: int
    ifmap_buffers: int
    ofmap_buffers: int
    dma_start: int
    dma_bits: int
    dma_gap: int
    dram_bits: int
    dram_latency: int
    dram_row: int
    dram_row_cycles: int


@njit(cache=True, inline="always")
def _bits(words, position, count):
    """`count` <= 57 bits at bit `position` of a little-endian uint64 array."""
    word, shift = position >> 6, position & 63
    value = words[word] >> np.uint64(shift)
    if shift + count > 64:
        value |= words[word + 1] << np.uint64(64 - shift)
    return np.int64(value & ((np.uint64(1) << np.uint64(count)) - np.uint64(1)))


@njit(cache=True, inline="always")
def _signed_byte(words, position):
    byte = _bits(words, position, 8)
    return np.int8(byte - 256 if byte > 127 else byte)


@njit(cache=True)
def _write_row(row, words, position, width, u, h, p, crf, masks):
    """Decodes one weight row into `row` [L]; returns the number of weights it stores."""
    row[:] = 0
    if p.mode == DENSE:
        count = width // 8
        for c in range(count):
            row[c] = _signed_byte(words, position + 8 * c)
        return count
    if p.mode == SPLIT:
        count = width // 8
        for n in range(count):
            row[(n // p.q) * p.d + u * p.q + n % p.q] = _signed_byte(words, position + 8 * n)
        return count
    if p.mode == BLOCK:
        first = h // p.block_inputs * p.block_outputs
        for c in range(p.block_outputs):
            row[first + c] = _signed_byte(words, position + 8 * c)
        return p.block_outputs
    low_bits = p.codes * p.mask_bits + (p.d if p.mode == SSVQ else 0)
    record_bits = low_bits + p.index_bits
    records = width // record_bits
    for n in range(records):
        at = position + n * record_bits
        index = _bits(words, at + low_bits, p.index_bits)
        if p.mode == MVQ:
            for g in range(p.codes):
                mask = masks[_bits(words, at + g * p.mask_bits, p.mask_bits)]
                for c in range(p.group):
                    if mask >> np.uint32(c) & np.uint32(1):
                        row[n * p.d + g * p.group + c] = crf[index, g * p.group + c]
        else:
            signs = _bits(words, at, p.d) if p.mode == SSVQ else np.int64(0)
            for c in range(p.d):
                value = crf[index, c]
                row[n * p.d + c] = -value if signs >> c & 1 else value
    return records * p.q


@njit(cache=True)
def _rom_cycles(words, position, width, p, load):
    """Cycles in which the banks serve the codewords of one row: the fullest one decides."""
    load[:] = 0
    worst = 0
    for n in range(width // p.index_bits):
        bank = _bits(words, position + n * p.index_bits, p.index_bits) % p.rom_banks
        load[bank] += 1
        worst = max(worst, load[bank])
    return -(-worst // p.rom_ports)


@njit(cache=True, inline="always")
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


@njit(cache=True)
def _multiply_block(psum, weights, vector, low, rows, p):
    """As `_multiply`, groups on the diagonal."""
    for h in range(rows):
        first = h // p.block_inputs * p.block_outputs
        x = np.int32(vector[low + h])
        for c in range(first, first + p.block_outputs):
            psum[c] += x * np.int32(weights[h, c])


@njit(cache=True, inline="always")
def _used(columns, p):
    """Multipliers of an array row that serve `columns` output channels."""
    if p.mode == BLOCK:
        return np.int64(p.block_outputs)
    if p.sparse:
        return np.int64((columns + p.d - 1) // p.d * p.q)
    return np.int64(columns)


@njit(cache=True)
def _gated(vector, used, zeros):
    """Multiplications of one token that a zero operand gates; `zeros` counts a row's zero weights."""
    total = np.int32(0)
    for h in range(len(vector)):
        total += np.int32(used) if vector[h] == 0 else zeros[h]
    return total


@njit(cache=True)
def _fetch(counters, chunk, pixel, p):
    """Counts the L1 reads of the new, unpadded vectors of one pixel."""
    oy, ox = chunk.tile + pixel // chunk.width, pixel % chunk.width
    channels = (chunk.b - 1) * p.rows + chunk.rows_tail
    for n in range(chunk.d):
        position = chunk.position + n
        ky, kx = position // p.kernel_x, position % p.kernel_x
        if p.reuse and ox > 0:
            # In the ARF already if the pixel before read this column at a resident position.
            before = position + p.stride_x
            if before // p.kernel_x == ky and before < chunk.position + chunk.d:
                continue
        y = oy * p.stride_y + ky * p.dilation_y - p.pad_y
        x = ox * p.stride_x + kx * p.dilation_x - p.pad_x
        if 0 <= y < p.height and 0 <= x < p.width:
            counters[L1_IFMAP_READ] += channels
            counters[ARF_WRITE] += channels


@njit(cache=True, inline="always")
def _dma(size, p):
    """Cycles of one DMA descriptor of `size` bytes."""
    if size == 0:
        return np.int64(0)
    beats = -(-size * 8 // p.dma_bits)
    return p.dma_start + beats + (-(-beats // 16) - 1) * p.dma_gap


@njit(cache=True, inline="always")
def _dram(size, p):
    """Cycles for which a transfer of `size` bytes occupies DRAM."""
    return -(-size * 8 // p.dram_bits) + -(-size // p.dram_row) * p.dram_row_cycles


@njit(cache=True)
def run_core(
    p, chunks, visits, words, codebook, masks, rom, state, x, acc, trace_rows, trace_cycles, counters
):
    """Runs one layer on one ifmap.

    With `p.registers` the array is that of `sim.systolic.engine.registers`.

    Args:
        p: Parameters.
        chunks, visits: CHUNK and VISIT records.
        words, codebook: flat uint64 streams, one spare word at the end.
        masks: uint32 mask table.
        rom: int8 [k, d], contents of the codebook ROM.
        state: int64 [5], the Handover that the layer finds; receives the one that it leaves.
        x: int8 [H', W', C'], padded ifmap, channels last.
        acc: int32 [OH, OW, K], receives the finished psums.
        trace_rows, trace_cycles: int32 [n, L], int64 [n], receive every emitted row; may be empty.
        counters: int64 [len(COUNTERS)].
    """
    banks = 2 if p.overlap else 1
    bank_depth = p.wrf_depth // banks
    n_chunks, n_visits = len(chunks), len(visits)
    wrf = np.zeros((p.wrf_depth, p.rows, p.columns), np.int8)
    zeros = np.zeros((p.wrf_depth, p.rows), np.int32)
    crf = rom if p.mode == ROM else np.zeros((max(p.codewords, 1), p.d), np.int8)
    bank_load = np.zeros(p.rom_banks, np.int64)
    entry_q = np.zeros(p.wrf_depth, np.int64)
    entry_r = np.zeros(p.wrf_depth, np.int64)
    entry_s = np.zeros(p.wrf_depth, np.int64)
    depth_prf = 1
    most_pixels = 1
    for n in range(n_chunks):
        depth_prf = max(depth_prf, chunks[n].a)
        most_pixels = max(most_pixels, chunks[n].pixels)
    prf = np.zeros((depth_prf, p.columns), np.int32)
    stored = np.zeros((most_pixels * depth_prf, p.columns), np.int32)
    traced = 0
    array = registers.reset(p.rows, p.columns, p.tile_rows, p.tile_columns, depth_prf)
    places = acc.reshape(-1)

    # Loader. Job -1 is the codebook. `row_*` describe the row to look up next.
    job = -1 if p.codewords and p.mode != ROM else 0
    active = False
    ready_at = np.int64(0)
    sent = visible = consumed = job_beats = row_entry = row_index = 0
    extra = -1  # look-ups still to come for the row at hand, -1 before the first
    pending = False
    pending_entry = pending_row = pending_position = pending_width = pending_u = 0
    pending_last = False
    full_at = np.full(2, NEVER, np.int64)
    free_at = np.zeros(2, np.int64)

    # Memory: what DRAM and DMA bring, and when it is there.
    job_there = np.full(n_chunks + 1, NEVER, np.int64)
    map_there = np.full(n_visits, NEVER, np.int64)
    tile_there = np.full(n_visits, NEVER, np.int64)
    visit_end = np.full(n_visits, NEVER, np.int64)
    next_job = next_map = next_tile = maps_first = 0
    dram_free = dma_free = np.int64(0)
    written, written_before = np.int64(-1), np.int64(-1)
    sent_off, sent_off_before = np.int64(-NEVER), np.int64(-NEVER)  # finished rows of output groups

    # Sequencer.
    current = 0
    in_slot = False
    pixel = elapsed = length = tokens = 0
    asked_psums = asked_fetch = 0  # words of an arbitrated L1 that a slot still waits for
    stall = PSUM
    fence_at = np.int64(-NEVER)
    oy = ox = 0
    drained = np.int64(NEVER)
    t = np.int64(0)
    if p.memory:
        written, written_before, dram_free = state[0], state[1], state[4]
        ready_at = written + 1
        free_at[0], free_at[1] = state[3], state[2]
        if banks == 1:
            free_at[0] = max(state[2], state[3])
        t = min(t, dram_free, ready_at)
    for n in range(n_chunks):
        if not p.memory or chunks[n].dram_bytes == 0:
            job_there[n] = -NEVER
    for n in range(n_visits):
        if visits[n].dram_bytes == 0:
            map_there[n] = -NEVER

    while True:
        if p.registers:
            # ---- array: before the loader writes; an emitted row is visible in t + 1
            slot = registers.clock(array, wrf, stored)
            if slot >= 0:
                tag = array.tags[slot]
                if tag[registers.FINAL]:
                    for c in range(tag[registers.COLUMNS]):
                        places[tag[registers.PLACE] + c] = array.row[c]
                if traced < len(trace_cycles):
                    trace_rows[traced] = array.row
                    trace_cycles[traced] = t + 1
                    traced += 1
        # ---- sequencer: slot over?
        if in_slot and elapsed >= length and asked_psums + asked_fetch == 0:
            in_slot = False
            pixel += 1
            if pixel == chunks[current].pixels:
                pixel = 0
                current += 1
                if current < n_chunks and chunks[current].visit != chunks[current - 1].visit:
                    visit_end[chunks[current - 1].visit] = t
        if p.memory:
            # ---- DMA: ifmap tiles
            while next_tile < n_visits and t >= 0:
                if t < dma_free or t < map_there[next_tile]:
                    break
                if next_tile >= p.ifmap_buffers and t < visit_end[next_tile - p.ifmap_buffers]:
                    break
                dma_free = (
                    t + _dma(visits[next_tile].ifmap_bytes, p) + _dma(visits[next_tile].residual_bytes, p)
                )
                tile_there[next_tile] = dma_free
                next_tile += 1
            # ---- DRAM: weights of jobs and tiles of maps in a fixed order
            while next_job < n_chunks or next_map < n_visits:
                if next_map < n_visits and (next_map < maps_first or next_job == n_chunks):
                    size = visits[next_map].dram_bytes
                    if size == 0:
                        next_map += 1
                        continue
                    if t < dram_free or t < 0 or (next_map >= 2 and t < tile_there[next_map - 2]):
                        break
                    dram_free = t + _dram(size, p)
                    map_there[next_map] = dram_free + p.dram_latency
                    next_map += 1
                else:
                    size = np.int64(chunks[next_job].dram_bytes)
                    if size > 0:
                        if t < dram_free or next_job > max(job, 0) + 1:
                            break
                        if (next_job == 0 and t <= written_before) or (
                            next_job == max(job, 0) + 1 and t <= written
                        ):
                            break
                        dram_free = t + _dram(size, p)
                        job_there[next_job] = dram_free + p.dram_latency
                    visit = chunks[next_job].visit
                    if next_job == 0 or chunks[next_job - 1].visit != visit:
                        maps_first = visit + 2
                    next_job += 1

        # ---- loader: accept a beat
        if (
            not active
            and job < n_chunks
            and t >= ready_at
            and t >= job_there[max(job, 0)]
            and (job < 0 or t >= free_at[job % banks])
        ):
            active = True
            if job >= 0:
                free_at[job % banks] = NEVER
            sent = visible = consumed = row_entry = row_index = 0
            extra = -1
            pending_last = False
            job_beats = (len(codebook) - 1) * 64 // p.port if job < 0 else chunks[job].beats
        if active and sent < job_beats:
            sent += 1
            counters[BEATS] += 1
        if not p.registered:
            visible = sent * p.port
        looking_up_again = False
        for turn in range(2):
            # ---- loader: write the row looked up a cycle ago, or in this one without registers
            if pending and (turn == 0 or not p.registered):
                pending = False
                if job < 0:
                    for c in range(p.d):
                        crf[pending_row, c] = _signed_byte(codebook, pending_position + 8 * c)
                    counters[CRF_WRITE] += p.d
                else:
                    bank = job % banks
                    entry = bank * bank_depth + pending_entry
                    row = wrf[entry, pending_row]
                    stored_weights = _write_row(
                        row, words, pending_position, pending_width, pending_u, pending_row, p, crf, masks
                    )
                    chunk = chunks[job]
                    tail = pending_entry % chunk.a == chunk.a - 1
                    used = _used(chunk.columns_tail if tail else chunk.columns, p)
                    kept = 0
                    for c in range(p.columns):
                        kept += row[c] != 0
                    zeros[entry, pending_row] = used - kept
                    counters[WRF_WRITE] += stored_weights
                    counters[WRF_ROWS] += 1
                    if p.mode >= VQ:
                        counters[CRF_READ] += stored_weights // p.q * p.d
                    if pending_last:
                        full_at[bank] = t + 1
                if pending_last:
                    active = False
                    pending_last = False
                    if job >= 0:
                        written_before, written = written, t
                    job += 1
                    ready_at = t + 1
            # ---- loader: look up
            if turn == 0 and active and not pending_last:
                if job < 0:
                    row_width, u = 8 * p.d, 0
                    last_row = row_index == p.codewords - 1
                else:
                    chunk = chunks[job]
                    s = row_entry % chunk.a
                    u = row_entry // chunk.a % chunk.u
                    r = row_entry // (chunk.a * chunk.u) % chunk.b
                    row_width = chunk.row_bits_tail if s == chunk.a - 1 else chunk.row_bits
                    group_rows = chunk.rows_tail if r == chunk.b - 1 else chunk.rows
                    last_entry = row_entry == chunk.a * chunk.b * chunk.u * chunk.d - 1
                    last_row = last_entry and row_index == group_rows - 1
                if visible - consumed >= row_width:
                    base = np.int64(0) if job < 0 else np.int64(chunks[job].beat) * p.port
                    if extra < 0:
                        extra = 0
                        if p.mode == ROM:
                            extra = _rom_cycles(words, base + consumed, row_width, p, bank_load) - 1
                    if extra > 0:
                        extra -= 1
                        looking_up_again = True
                    else:
                        extra = -1
                        pending = True
                        pending_entry, pending_row, pending_u = row_entry, row_index, u
                        pending_position, pending_width = base + consumed, row_width
                        pending_last = last_row
                        consumed += row_width
                        row_index += 1
                        if job >= 0 and row_index == group_rows:
                            row_index, row_entry = 0, row_entry + 1

        # ---- sequencer: slot starts?
        cause = DRAIN
        if drained == NEVER:
            if not in_slot:
                chunk = chunks[current]
                bank = current % banks
                visit = chunk.visit
                opens = current == 0 or chunks[current - 1].visit != visit
                begin = np.int64(p.control)
                if opens and p.memory:
                    begin = max(begin, tile_there[visit])
                if pixel > 0:
                    in_slot = True
                elif t < p.control:
                    cause = CONTROL
                elif t < full_at[bank]:
                    cause = WEIGHT
                    if t < job_there[current]:
                        cause = BY_DRAM
                    elif looking_up_again:
                        cause = BY_ROM
                elif t < fence_at:
                    cause = PSUM
                elif chunk.last and p.memory and t < (sent_off if p.ofmap_buffers == 1 else sent_off_before):
                    cause = STORE
                elif p.memory and opens and t < map_there[visit]:
                    cause = BY_DRAM
                elif p.memory and opens and t < tile_there[visit]:
                    cause = BY_DMA
                elif (current == 0 or (p.memory and opens)) and t < begin + chunk.fetch_row:
                    cause = IFMAP
                else:
                    in_slot = True
                    full_at[bank] = NEVER
                    tokens = chunk.a * chunk.b * chunk.u * chunk.d
                    for e in range(tokens):
                        entry_s[e] = e % chunk.a
                        entry_r[e] = e // (chunk.a * chunk.u) % chunk.b
                        entry_q[e] = e // (chunk.a * chunk.u * chunk.b) + chunk.position
                if in_slot:
                    elapsed = 0
                    oy, ox = chunk.tile + pixel // chunk.width, pixel % chunk.width
                    _fetch(counters, chunk, pixel, p)
                    write, read = chunk.psum_write, chunk.psum_read
                    if pixel + 1 < chunk.pixels:
                        ahead = chunk.fetch_row if (pixel + 1) % chunk.width == 0 else chunk.fetch_in
                    elif current + 1 < n_chunks:
                        ahead = chunks[current + 1].fetch_row
                        read = 0 if chunks[current + 1].fence else chunks[current + 1].psum_read
                    else:
                        ahead = read = 0
                    psums = max(write, read) if p.psum_ports == 2 else write + read
                    if p.pool:
                        asked_psums = ((write > 0) + (read > 0)) * chunk.a * p.psum_row_words
                        asked_fetch = 0
                        if pixel + 1 < chunk.pixels:
                            wraps = (pixel + 1) % chunk.width == 0
                            asked_fetch = chunk.words_row if wraps else chunk.words_in
                        elif current + 1 < n_chunks:
                            asked_fetch = chunks[current + 1].words_row
                        ahead = psums = 0
                    length = max(tokens, ahead, psums, chunk.store)
                    most = max(ahead, psums, chunk.store)
                    stall = PSUM if psums == most else STORE if chunk.store == most else IFMAP
            if in_slot:
                cause = stall
                if p.pool and elapsed >= length:
                    cause = PSUM if asked_psums else IFMAP
                if p.pool:
                    # DMA first, which cannot wait; then psums, then the next vectors.
                    room = p.pool
                    room -= -(-p.dma_bits // 64) * ((t < dma_free) + (t < sent_off))
                    served = min(asked_psums, max(room, 0))
                    asked_psums -= served
                    asked_fetch -= min(asked_fetch, max(room - served, 0))
                if elapsed < tokens:
                    cause = COMPUTE
                    # ---- a token
                    chunk = chunks[current]
                    e = elapsed
                    bank = current % banks
                    s, r = entry_s[e], entry_r[e]
                    group_rows = chunk.rows_tail if r == chunk.b - 1 else chunk.rows
                    group_columns = chunk.columns_tail if s == chunk.a - 1 else chunk.columns
                    ky, kx = entry_q[e] // p.kernel_x, entry_q[e] % p.kernel_x
                    vector = x[oy * p.stride_y + ky * p.dilation_y, ox * p.stride_x + kx * p.dilation_x]
                    low = chunk.channel + r * p.rows
                    address = pixel * chunk.a + s
                    word = bank * bank_depth + e
                    starts, emits = e < chunk.a, e >= tokens - chunk.a
                    place = (oy * acc.shape[1] + ox) * acc.shape[2] + chunk.output + s * p.columns
                    if p.registers:
                        registers.issue(
                            array,
                            word,
                            s,
                            starts,
                            starts and not chunk.first,
                            emits,
                            chunk.last,
                            address,
                            group_columns,
                            vector,
                            low,
                            group_rows,
                            place,
                        )
                    else:
                        psum = prf[s]
                        if starts:
                            if chunk.first:
                                psum[:] = 0
                            else:
                                psum[:] = stored[address]
                        if p.mode == BLOCK:
                            _multiply_block(psum, wrf[word], vector, low, group_rows, p)
                        else:
                            _multiply(psum[:group_columns], wrf[word], vector, low, group_rows)
                        if emits:
                            if chunk.last:
                                places[place : place + group_columns] = psum[:group_columns]
                            else:
                                stored[address] = psum
                            if traced < len(trace_cycles):
                                trace_rows[traced] = psum
                                trace_cycles[traced] = t + p.latency
                                traced += 1
                    used = _used(group_columns, p)
                    if starts and not chunk.first:
                        counters[PSUM_ROWS_READ] += 1
                        counters[L1_PSUM_READ] += group_columns * p.psum_words
                    if not starts:
                        counters[PRF_READ] += group_columns
                    counters[TOKENS] += 1
                    counters[MAC] += group_rows * used
                    counters[GATED] += _gated(vector[low : low + group_rows], used, zeros[word])
                    counters[WRF_READ] += group_rows * used
                    counters[PRF_WRITE] += group_columns
                    if e % (chunk.a * chunk.u) == 0:
                        counters[VECTORS] += 1
                        y = oy * p.stride_y + ky * p.dilation_y - p.pad_y
                        z = ox * p.stride_x + kx * p.dilation_x - p.pad_x
                        if 0 <= y < p.height and 0 <= z < p.width:
                            counters[ARF_READ] += group_rows
                    if emits:
                        counters[PRF_READ] += group_columns
                        if chunk.last:
                            counters[FINISHED] += 1
                        else:
                            counters[PSUM_ROWS_WRITTEN] += 1
                            counters[L1_PSUM_WRITE] += group_columns * p.psum_words
                    if e == tokens - 1:
                        if chunk.last:
                            done = t + p.latency + p.store_stages + chunk.store
                            if pixel == 0:
                                sent_off_before = sent_off
                            sent_off = max(sent_off, done) + chunk.write_beats
                        if pixel == chunk.pixels - 1:
                            free_at[bank] = t + p.release
                            if current == n_chunks - 1:
                                drained = t + p.latency
                                if p.memory:
                                    drained = sent_off + p.write_tail - 1
                            elif chunks[current + 1].fence:
                                fence_at = t + p.latency + chunk.psum_write + chunks[current + 1].psum_read
                elapsed += 1
        if t >= 0:
            counters[cause] += 1
        visible = sent * p.port
        if t == drained:
            break
        t += 1
    counters[CYCLES] = t + 1
    # Times that no next job or transfer could use any more are brought forward.
    state[0], state[1] = written - t - 1, written_before - t - 1
    state[2] = max(free_at[(n_chunks - 1) % banks], written + 1) - t - 1
    state[3] = max(free_at[n_chunks % banks], written + 1) - t - 1
    state[4] = max(dram_free, written_before + 1) - t - 1


@njit(cache=True, parallel=True)
def run_batch(p, chunks, visits, words, codebook, masks, rom, states, batch, acc, counters):
    """`run_core` on a batch: int8 [batch, H', W', C'] -> int32 [batch, OH, OW, K], counters [batch, n]."""
    no_rows = np.zeros((0, 1), np.int32)
    no_cycles = np.zeros(0, np.int64)
    for n in prange(len(batch)):
        run_core(
            p,
            chunks,
            visits,
            words,
            codebook,
            masks,
            rom,
            states[n],
            batch[n],
            acc[n],
            no_rows,
            no_cycles,
            counters[n],
        )
