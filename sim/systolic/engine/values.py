"""What tokens compute: psum rows of single tokens, and of whole pixels as one matrix product.

A token's row depends on the WRF in the cycle in which it issues. So tokens may wait until the loader is about to write
a word that they use, or the chunk ends: `compute` comes before either, and the sums are those of the cycle of issue.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from sim.kept import kept
from sim.systolic.engine.compiled import SOURCES, part, step, whole
from sim.systolic.engine.decoding import multipliers
from sim.systolic.engine.pairs import HEIGHTS, LANES, WIDEST, tile1, tile2, tile4
from sim.systolic.engine.sequencer_step import count_fetches, vectors_inside
from sim.systolic.engine.token import compute_token

HEIGHT4, HEIGHT2, HEIGHT1 = HEIGHTS.get(4, 0), HEIGHTS[2], HEIGHTS[1]  # Numba cannot ask a dictionary
BLOCK = 96
"""Pixels that a processor takes at once: their activations stay in its cache while all columns pass."""
PARALLEL = 1 << 22
"""Multiplications from which a product is worth more than one processor: 20 us of one."""


class Product(NamedTuple):
    """Psums of whole pixels of a chunk.

    Attributes:
        ifmap: int16 [images * H' * W' * C' + 1].
        weights: int16 [pairs * 2 * columns], panels of at most WIDEST vectors, each [pairs, columns, 2].
        offsets: int64 [pairs], of two channels of a kernel position in the ifmap, from the pixel's first on.
        runs: int64 [D * B, 2], neighbouring channels: offset and how many.
        gates: int32 [D * B * H], multiplications that a zero activation gates beyond those with zero weights.
        stored: int32 [images, words * L].
        finished: int32 [images, OH * OW * K].
        partial: int64 [images, blocks], receives what zero activations gate.
    """

    ifmap: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    runs: np.ndarray
    gates: np.ndarray
    stored: np.ndarray
    finished: np.ndarray
    partial: np.ndarray


class Extent(NamedTuple):
    """Which pixels of the chunk, and where their rows go; in elements of the maps.

    Attributes:
        size: of an image's ifmap.
        first, end: pixels.
        top, left, width: of the chunk's output columns.
        down, right: distance of neighbouring pixels in the ifmap.
        rows: array rows H.
        columns, pitch: columns with meaning, and all of a pixel in the psum memory.
        continues, final: starts from stored psums; ends in finished ones.
        output, line, pixel: of the finished psums, first column, and distance of output rows and pixels.
    """

    size: int
    first: int
    end: int
    top: int
    left: int
    width: int
    down: int
    right: int
    rows: int
    columns: int
    pitch: int
    continues: bool
    final: bool
    output: int
    line: int
    pixel: int


@part
def compute(t, p, core, counters):
    """Computes and counts the tokens that have issued and wait."""
    sequencer = core.sequencer[0]
    tokens = sequencer.tokens
    while sequencer.computed < sequencer.issued:
        first = sequencer.computed // tokens
        end = sequencer.issued // tokens
        if sequencer.computed % tokens == 0 and end > first and len(core.trace.cycles) == 0:
            _compute_pixels(p, core, counters, first, end)
            _count_pixels(p, core, counters, first, end)
            sequencer.computed = end * tokens
        else:
            compute_token(t, p, core, counters)
            sequencer.computed += 1


@part
def _compute_pixels(p, core, counters, first, end):
    """All tokens of some pixels, of all images."""
    sequencer = core.sequencer[0]
    chunk = core.layer.chunks[sequencer.chunk]
    A, runs = np.int64(chunk.A), sequencer.tokens // (chunk.A * chunk.U)
    columns = (A - 1) * p.columns + chunk.columns_tail
    vectors = -(-columns // LANES)
    pairs = np.int64(0)
    for n in range(runs):
        pairs += (_rows(chunk, core.entries[n * A * chunk.U].r) + 1) // 2
    images, blocks = len(core.ifmap), -(-(end - first) // BLOCK)
    _, lines, across, channels = core.ifmap.shape
    product = Product(
        ifmap=core.flat,
        weights=np.zeros(pairs * vectors * LANES * 2, np.int16),
        offsets=np.empty(pairs, np.int64),
        runs=np.empty((runs, 2), np.int64),
        gates=np.zeros(runs * p.rows, np.int32),
        stored=core.stored.reshape(images, -1),
        finished=core.finished,
        partial=np.zeros((images, blocks), np.int64),
    )
    extent = Extent(
        size=lines * across * channels,
        first=first,
        end=end,
        top=np.int64(chunk.tile),
        left=np.int64(chunk.left),
        width=np.int64(chunk.width),
        down=p.stride_y * across * channels,
        right=p.stride_x * channels,
        rows=p.rows,
        columns=columns,
        pitch=A * p.columns,
        continues=not chunk.first,
        final=bool(chunk.last),
        output=np.int64(chunk.output),
        line=p.ofmap_width * p.outputs,
        pixel=p.outputs,
    )
    gated = _gather(p, core, chunk, product, across, channels) * (end - first)
    if p.threads > 1 and images * (end - first) * pairs * columns > PARALLEL:
        _multiply_all(product, extent)
    else:
        for image in range(images):
            for block in range(blocks):
                _multiply_block(product, extent, image, block)
    for image in range(images):
        core.gated[image] += gated + product.partial[image].sum()


@step
def _count_pixels(p, core, counters, first, end):
    """What the tokens of some pixels count: that of each token of one pixel, and for each the vectors in the map."""
    sequencer = core.sequencer[0]
    chunk, pixels = core.layer.chunks[sequencer.chunk], end - first
    A, channels = np.int64(chunk.A), np.int64((chunk.B - 1) * p.rows + chunk.rows_tail)
    columns = (A - 1) * chunk.columns + chunk.columns_tail
    used = (A - 1) * multipliers(np.int64(chunk.columns), p) + multipliers(np.int64(chunk.columns_tail), p)
    tokens = np.int64(sequencer.tokens)
    counters.tokens += pixels * tokens
    counters.mac += pixels * channels * chunk.U * chunk.D * used
    counters.wrf_read += pixels * channels * chunk.U * chunk.D * used
    counters.prf_write += pixels * columns * (tokens // A)
    counters.prf_read += pixels * columns * (tokens // A)
    if not chunk.first:
        counters.psum_rows_read += pixels * A
        counters.l1_psum_read += pixels * columns * p.psum_words
    if chunk.last:
        counters.finished_rows += pixels * A
    else:
        counters.psum_rows_written += pixels * A
        counters.l1_psum_write += pixels * columns * p.psum_words
    counters.vectors += pixels * chunk.B * chunk.D
    counters.arf_read += channels * vectors_inside(chunk, first, end, 0, p)
    count_fetches(counters, chunk, first, end, p)


@step
def _gather(p, core, chunk, product, across, channels):
    """What the chunk's WRF words hold now, as a matrix; returns what zero weights gate in a pixel."""
    A, U = np.int64(chunk.A), np.int64(chunk.U)
    bank = (core.sequencer[0].chunk & p.banks - 1) * (p.wrf_depth // p.banks)
    pair = zeros = np.int64(0)
    for n in range(len(product.runs)):
        entry = core.entries[n * A * U]
        r, ky, kx = entry.r, entry.position // p.kernel_x, entry.position % p.kernel_x
        rows = _rows(chunk, r)
        offset = (ky * p.dilation_y * across + kx * p.dilation_x) * channels + chunk.channel + r * p.rows
        product.runs[n, 0], product.runs[n, 1] = offset, rows
        for h in range((rows + 1) // 2):
            product.offsets[pair + h] = offset + 2 * h
        gates = product.gates[n * p.rows :]
        for k in range(A * U):
            word, s = bank + n * A * U + k, core.entries[n * A * U + k].s
            columns = np.int64(chunk.columns_tail if s == A - 1 else chunk.columns)
            used = multipliers(columns, p)
            for h in range(rows):
                zero = core.zeros[word, h]
                gates[h] += np.int32(used - zero)
                zeros += zero
            _place(product, core.wrf[word], pair, rows, s * p.columns, columns)
        pair += (rows + 1) // 2
    return zeros


@step
def _rows(chunk, r):
    """Array rows with a channel in channel group r."""
    return np.int64(chunk.rows_tail if r == chunk.B - 1 else chunk.rows)


@step
def _place(product, word, pair, rows, first, columns):
    """Adds a WRF word to the matrix, its columns from `first` on."""
    pairs = len(product.offsets)
    vectors = len(product.weights) // (pairs * 2 * LANES)
    done = np.int64(0)
    while done < columns:
        vector = (first + done) // LANES
        panel, width = _panel(vector, vectors)
        inside = first + done - panel * LANES
        count = min(columns - done, width * LANES - inside)
        for h in range(0, rows, 2):
            start = (panel * pairs + (pair + h // 2) * width) * LANES * 2 + inside * 2
            row = product.weights[start : start + 2 * count]
            upper, lower = word[h, done:], word[min(h + 1, rows - 1), done:]
            if h + 1 < rows:
                for c in range(count):
                    row[2 * c] += np.int16(upper[c])
                    row[2 * c + 1] += np.int16(lower[c])
            else:
                for c in range(count):
                    row[2 * c] += np.int16(upper[c])
        done += count


@step
def _panel(vector, vectors):
    """First vector and width of the panel that holds a vector: the widest ones come first."""
    start, width = np.int64(0), np.int64(WIDEST)
    while True:
        held = (vectors - start) // width * width
        if vector < start + held:
            return start + (vector - start) // width * width, width
        start += held
        width //= 2


@kept(parallel=True, forceinline=False, error_model="numpy", _nrt=True)
def _multiply_all(product, extent, sources=SOURCES):
    """`_multiply_block` of all images and blocks."""
    images, blocks = product.partial.shape
    for n in prange(images * blocks):
        _multiply_block(product, extent, n // blocks, n % blocks)


@whole
def _multiply_block(product, extent, image, block, sources=SOURCES):
    """Psum rows of BLOCK pixels of an image, and what their zero activations gate."""
    first = extent.first + block * BLOCK
    count = min(BLOCK, extent.end - first)
    bases, places = np.empty(BLOCK + HEIGHT1, np.int64), np.empty(BLOCK, np.int64)
    sums = np.empty(6 * 4 * 16, np.int32)
    y, x = first // extent.width, first % extent.width
    for n in range(count):
        oy, ox = extent.top + y, extent.left + x
        bases[n] = image * extent.size + oy * extent.down + ox * extent.right
        places[n] = oy * extent.line + ox * extent.pixel + extent.output
        x += 1
        if x == extent.width:
            y, x = y + 1, 0
    bases[count:] = bases[count - 1]
    ifmap, weights, offsets = product.ifmap, product.weights, product.offsets
    zeros = np.empty(len(product.gates), np.int32)
    product.partial[image, block] = _gated(product, ifmap, bases, count, zeros, extent.rows)
    pairs = len(offsets)
    vectors = len(weights) // (pairs * 2 * LANES)
    vector = np.int64(0)
    while vector < vectors:
        _, width = _panel(vector, vectors)
        start, pixel = vector * pairs * LANES * 2, np.int64(0)
        while pixel < count:
            if width == 4:
                tile4(ifmap, bases, pixel, offsets, weights, start, pairs, sums)
                height = np.int64(HEIGHT4)
            elif width == 2:
                tile2(ifmap, bases, pixel, offsets, weights, start, pairs, sums)
                height = np.int64(HEIGHT2)
            else:
                tile1(ifmap, bases, pixel, offsets, weights, start, pairs, sums)
                height = np.int64(HEIGHT1)
            held = min(height, count - pixel)
            _emit(product, extent, image, first, places[pixel : pixel + held], pixel, vector, width, sums)
            pixel += height
        vector += width


@step
def _emit(product, extent, image, first, places, pixel, vector, width, sums):
    """Rows of a register tile go to the psum memory or are finished."""
    column, pitch = vector * LANES, width * LANES
    meant = min(pitch, extent.columns - column)
    stored, finished = product.stored[image], product.finished[image]
    for n in range(len(places)):
        row = sums[n * pitch : n * pitch + meant]
        kept = stored[(first + pixel + n) * extent.pitch + column :]
        out = finished[places[n] + column :] if extent.final else kept
        if extent.continues:
            for c in range(meant):
                out[c] = kept[c] + row[c]
        else:
            for c in range(meant):
                out[c] = row[c]


@step
def _gated(product, ifmap, bases, count, zeros, rows):
    """Multiplications with a zero activation and a weight that is none; `zeros` receives the zeros of each channel."""
    zeros[:] = 0
    for n in range(count):
        for run in range(len(product.runs)):
            start, channels = bases[n] + product.runs[run, 0], product.runs[run, 1]
            x, found = ifmap[start : start + channels], zeros[run * rows : run * rows + channels]
            for h in range(channels):
                found[h] += np.int32(x[h] == 0)
    total = np.int64(0)
    for k in range(len(zeros)):
        total += np.int64(zeros[k]) * product.gates[k]
    return total
