"""The core, one cycle after another (docs/timing.md sections 1 to 6).

Values are kept at the level of psum rows: a token's row is computed when it issues, from what
the loader has written into the WRF by then.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

DENSE, SPLIT, VQ, MVQ = range(4)
NEVER = 1 << 60

# Counters of one run, in the order of COUNTERS.
COUNTERS = (
    "core_cycles", "compute", "weight", "psum", "store", "ifmap", "drain",
    "vectors", "wrf_rows", "beats", "psum_rows_read", "psum_rows_written", "finished_rows",
    "mac", "wrf_read", "wrf_write", "arf_read", "arf_write", "prf_read", "prf_write",
    "crf_read", "crf_write", "l1_ifmap_read", "l1_psum_read", "l1_psum_write", "tokens",
)
(CYCLES, COMPUTE, WEIGHT, PSUM, STORE, IFMAP, DRAIN, VECTORS, WRF_ROWS, BEATS, PSUM_ROWS_READ,
 PSUM_ROWS_WRITTEN, FINISHED, MAC, WRF_READ, WRF_WRITE, ARF_READ, ARF_WRITE, PRF_READ, PRF_WRITE,
 CRF_READ, CRF_WRITE, L1_IFMAP_READ, L1_PSUM_READ, L1_PSUM_WRITE, TOKENS) = range(len(COUNTERS))

# Integer parameters of a run, in the order of the unpacking in `run_core`.
PARAMETERS = (
    "rows", "columns", "stages", "port", "wrf_depth", "overlap", "mode", "d", "q", "codes",
    "mask_bits", "group", "index_bits", "codewords", "arf_reuse", "kernel_x", "stride_y",
    "stride_x", "pad_y", "pad_x", "height", "width", "psum_words", "sparse",
)


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
def _write_row(row, words, position, width, u, mode, d, q, codes, mask_bits, group, index_bits,
               crf, masks):
    """Decodes one weight row into `row` [L]; returns the number of weights it stores."""
    row[:] = 0
    if mode == DENSE:
        count = width // 8
        for c in range(count):
            row[c] = _signed_byte(words, position + 8 * c)
        return count
    if mode == SPLIT:
        count = width // 8
        for n in range(count):
            row[(n // q) * d + u * q + n % q] = _signed_byte(words, position + 8 * n)
        return count
    record_bits = codes * mask_bits + index_bits
    records = width // record_bits
    for n in range(records):
        at = position + n * record_bits
        index = _bits(words, at + codes * mask_bits, index_bits)
        if mode == VQ:
            for c in range(d):
                row[n * d + c] = crf[index, c]
        else:
            for g in range(codes):
                mask = masks[_bits(words, at + g * mask_bits, mask_bits)]
                for c in range(group):
                    if mask >> np.uint32(c) & np.uint32(1):
                        row[n * d + g * group + c] = crf[index, g * group + c]
    return records * q


@njit(cache=True, inline="always")
def _multiply(psum, weights, vector, low, rows, columns):
    """psum += vector[low:] @ weights; four rows at a time keep the psums in registers."""
    quads = rows // 4 * 4
    for h in range(0, quads, 4):
        x0, x1 = np.int32(vector[low + h]), np.int32(vector[low + h + 1])
        x2, x3 = np.int32(vector[low + h + 2]), np.int32(vector[low + h + 3])
        if x0 | x1 | x2 | x3 != 0:
            w0, w1, w2, w3 = weights[h], weights[h + 1], weights[h + 2], weights[h + 3]
            for c in range(columns):
                psum[c] += (x0 * np.int32(w0[c]) + x1 * np.int32(w1[c])
                            + x2 * np.int32(w2[c]) + x3 * np.int32(w3[c]))
    for h in range(quads, rows):
        x0, w0 = np.int32(vector[low + h]), weights[h]
        for c in range(columns):
            psum[c] += x0 * np.int32(w0[c])


@njit(cache=True)
def _fetch(counters, chunk, rows, pixel, p):
    """Counts the L1 reads of the new, unpadded vectors of one pixel."""
    (_, _, _, _, _, _, _, _, _, _, _, _, _, _, arf_reuse, kernel_x, stride_y, stride_x, pad_y,
     pad_x, height, width, _, _) = p
    oy, ox = chunk.tile + pixel // chunk.width, pixel % chunk.width
    channels = (chunk.b - 1) * rows + chunk.rows_tail
    for n in range(chunk.d):
        position = chunk.position + n
        ky, kx = position // kernel_x, position % kernel_x
        if arf_reuse and ox > 0:
            # In the ARF already if the pixel before read this column at a resident position.
            before = position + stride_x
            if before // kernel_x == ky and before < chunk.position + chunk.d:
                continue
        y, x = oy * stride_y + ky - pad_y, ox * stride_x + kx - pad_x
        if 0 <= y < height and 0 <= x < width:
            counters[L1_IFMAP_READ] += channels
            counters[ARF_WRITE] += channels


@njit(cache=True)
def run_core(p, chunks, words, codebook, masks, x, acc, trace_rows, trace_cycles, counters):
    """Runs one layer on one ifmap.

    Args:
        p: PARAMETERS as a tuple of ints.
        chunks: CHUNK records.
        words, codebook: flat uint64 streams, one spare word at the end.
        masks: uint32 mask table.
        x: int8 [H', W', C'], padded ifmap, channels last.
        acc: int32 [OH, OW, K], receives the finished psums.
        trace_rows, trace_cycles: int32 [n, L], int64 [n], receive every emitted row; may be empty.
        counters: int64 [len(COUNTERS)].
    """
    (rows, columns, stages, port, wrf_depth, overlap, mode, d, q, codes, mask_bits, group,
     index_bits, codewords, _, kernel_x, stride_y, stride_x, pad_y, pad_x, height, width,
     psum_words, sparse) = p
    latency = stages + 1
    banks = 2 if overlap else 1
    bank_depth = wrf_depth // banks
    n_chunks = len(chunks)
    wrf = np.zeros((wrf_depth, rows, columns), np.int8)
    crf = np.zeros((max(codewords, 1), d), np.int8)
    entry_q = np.zeros(wrf_depth, np.int64)
    entry_r = np.zeros(wrf_depth, np.int64)
    entry_s = np.zeros(wrf_depth, np.int64)
    depth_prf = 1
    most_pixels = 1
    for n in range(n_chunks):
        depth_prf = max(depth_prf, chunks[n].a)
        most_pixels = max(most_pixels, chunks[n].pixels)
    prf = np.zeros((depth_prf, columns), np.int32)
    stored = np.zeros((most_pixels * depth_prf, columns), np.int32)
    traced = 0

    # Loader. Job -1 is the codebook. `row_*` describe the row to look up next.
    job = -1 if codewords else 0
    active = False
    ready_at = 0
    sent = visible = consumed = job_beats = row_entry = row_index = 0
    pending = False
    pending_entry = pending_row = pending_position = pending_width = pending_u = 0
    pending_last = False
    full_at = np.full(2, -1, np.int64)
    free_at = np.zeros(2, np.int64)

    # Sequencer.
    current = 0
    in_slot = False
    pixel = elapsed = length = tokens = 0
    stall = PSUM
    fence_at = np.int64(0)
    oy = ox = 0
    drained = np.int64(-1)
    t = np.int64(0)

    while True:
        # ---- loader: write the row looked up a cycle ago
        finished_job = False
        if pending:
            pending = False
            if job < 0:
                for c in range(d):
                    crf[pending_row, c] = _signed_byte(codebook, pending_position + 8 * c)
                counters[CRF_WRITE] += d
            else:
                bank = job % banks
                stored_weights = _write_row(
                    wrf[bank * bank_depth + pending_entry, pending_row],
                    words, pending_position, pending_width, pending_u, mode, d, q, codes,
                    mask_bits, group, index_bits, crf, masks)
                counters[WRF_WRITE] += stored_weights
                counters[WRF_ROWS] += 1
                if mode >= VQ:
                    counters[CRF_READ] += stored_weights // q * d
                if pending_last:
                    full_at[bank] = t + 1
            finished_job = pending_last
        # ---- loader: look up
        if active and not pending_last:
            if job < 0:
                row_width, u = 8 * d, 0
                last_row = row_index == codewords - 1
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
                pending = True
                pending_entry, pending_row, pending_u = row_entry, row_index, u
                base = np.int64(0) if job < 0 else np.int64(chunks[job].beat) * port
                pending_position, pending_width = base + consumed, row_width
                pending_last = last_row
                consumed += row_width
                row_index += 1
                if job >= 0 and row_index == group_rows:
                    row_index, row_entry = 0, row_entry + 1
        # ---- loader: accept a beat
        if not active and job < n_chunks and t >= ready_at and (job < 0 or t >= free_at[job % banks]):
            active = True
            if job >= 0:
                free_at[job % banks] = NEVER
            sent = visible = consumed = row_entry = row_index = 0
            pending_last = False
            job_beats = (len(codebook) - 1) * 64 // port if job < 0 else chunks[job].beats
        if active and sent < job_beats:
            sent += 1
            counters[BEATS] += 1
        if finished_job:
            active = False
            pending_last = False
            job += 1
            ready_at = t + 1

        # ---- sequencer: slot over?
        if in_slot and elapsed == length:
            in_slot = False
            pixel += 1
            if pixel == chunks[current].pixels:
                pixel = 0
                current += 1
        # ---- sequencer: slot starts?
        cause = DRAIN
        if drained < 0:
            if not in_slot:
                chunk = chunks[current]
                bank = current % banks
                if pixel > 0:
                    in_slot = True
                elif full_at[bank] < 0 or t < full_at[bank]:
                    cause = WEIGHT
                elif t < fence_at:
                    cause = PSUM
                elif current == 0 and t < chunk.fetch_row:
                    cause = IFMAP
                else:
                    in_slot = True
                    full_at[bank] = -1
                    tokens = chunk.a * chunk.b * chunk.u * chunk.d
                    for e in range(tokens):
                        entry_s[e] = e % chunk.a
                        entry_r[e] = e // (chunk.a * chunk.u) % chunk.b
                        entry_q[e] = e // (chunk.a * chunk.u * chunk.b) + chunk.position
                if in_slot:
                    elapsed = 0
                    oy, ox = chunk.tile + pixel // chunk.width, pixel % chunk.width
                    _fetch(counters, chunk, rows, pixel, p)
                    if pixel + 1 < chunk.pixels:
                        ahead = chunk.fetch_row if (pixel + 1) % chunk.width == 0 else chunk.fetch_in
                        psums = chunk.psum_write + chunk.psum_read
                    elif current + 1 < n_chunks:
                        ahead = chunks[current + 1].fetch_row
                        psums = chunk.psum_write
                        if not chunks[current + 1].fence:
                            psums += chunks[current + 1].psum_read
                    else:
                        ahead, psums = 0, chunk.psum_write
                    length = max(tokens, ahead, psums, chunk.store)
                    most = max(ahead, psums, chunk.store)
                    stall = PSUM if psums == most else STORE if chunk.store == most else IFMAP
            if in_slot:
                cause = stall
                if elapsed < tokens:
                    cause = COMPUTE
                    # ---- a token
                    chunk = chunks[current]
                    e = elapsed
                    bank = current % banks
                    s, r = entry_s[e], entry_r[e]
                    group_rows = chunk.rows_tail if r == chunk.b - 1 else chunk.rows
                    group_columns = chunk.columns_tail if s == chunk.a - 1 else chunk.columns
                    ky, kx = entry_q[e] // kernel_x, entry_q[e] % kernel_x
                    vector = x[oy * stride_y + ky, ox * stride_x + kx]
                    low = chunk.channel + r * rows
                    psum = prf[s]
                    address = pixel * chunk.a + s
                    if e < chunk.a:
                        if chunk.first:
                            psum[:] = 0
                        else:
                            psum[:] = stored[address]
                            counters[PSUM_ROWS_READ] += 1
                            counters[L1_PSUM_READ] += group_columns * psum_words
                    else:
                        counters[PRF_READ] += group_columns
                    weights = wrf[bank * bank_depth + e]
                    _multiply(psum, weights, vector, low, group_rows, group_columns)
                    used = group_columns if not sparse else (group_columns + d - 1) // d * q
                    counters[TOKENS] += 1
                    counters[MAC] += group_rows * used
                    counters[WRF_READ] += group_rows * used
                    counters[PRF_WRITE] += group_columns
                    if e % (chunk.a * chunk.u) == 0:
                        counters[VECTORS] += 1
                        y, z = oy * stride_y + ky - pad_y, ox * stride_x + kx - pad_x
                        if 0 <= y < height and 0 <= z < width:
                            counters[ARF_READ] += group_rows
                    if e >= tokens - chunk.a:
                        counters[PRF_READ] += group_columns
                        if chunk.last:
                            first_output = chunk.output + s * columns
                            acc[oy, ox, first_output : first_output + group_columns] = (
                                psum[:group_columns])
                            counters[FINISHED] += 1
                        else:
                            stored[address] = psum
                            counters[PSUM_ROWS_WRITTEN] += 1
                            counters[L1_PSUM_WRITE] += group_columns * psum_words
                        if traced < len(trace_cycles):
                            trace_rows[traced] = psum
                            trace_cycles[traced] = t + latency
                            traced += 1
                    if e == tokens - 1 and pixel == chunk.pixels - 1:
                        free_at[bank] = t + stages
                        if current == n_chunks - 1:
                            drained = t + latency
                        elif chunks[current + 1].fence:
                            fence_at = t + latency + chunk.psum_write + chunks[current + 1].psum_read
                elapsed += 1
        counters[cause] += 1
        visible = sent * port
        if t == drained:
            break
        t += 1
    counters[CYCLES] = t + 1


@njit(cache=True, parallel=True)
def run_batch(p, chunks, words, codebook, masks, batch, acc, counters):
    """`run_core` on a batch: int8 [batch, H', W', C'] -> int32 [batch, OH, OW, K], counters [batch, n]."""
    no_rows = np.zeros((0, 1), np.int32)
    no_cycles = np.zeros(0, np.int64)
    for n in prange(len(batch)):
        run_core(p, chunks, words, codebook, masks, batch[n], acc[n], no_rows, no_cycles, counters[n])
