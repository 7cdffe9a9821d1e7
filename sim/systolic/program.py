"""Lowering: a scheduled layer becomes chunk descriptors and a weight stream.

The same program drives the cycle engine and the RTL compiler. `docs/timing.md` sections 2 and 3
define the order and the terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.accelerator import Accelerator
from sim.formats import encoding
from sim.network import Conv, DenseWeight, pad
from sim.shapes import WORD, ConvShape, words
from sim.systolic.schedule import Schedule

CHUNK = np.dtype(
    [
        (name, np.int32)
        for name in (
            # extents and loader
            "a",
            "b",
            "u",
            "d",
            "rows",
            "rows_tail",
            "row_bits",
            "row_bits_tail",
            "beat",
            "beats",
            "dram_bytes",
            # slots
            "pixels",
            "width",
            "fetch_row",
            "fetch_in",
            "words_row",
            "words_in",
            "psum_read",
            "psum_write",
            "store",
            "write_beats",
            "write_words",
            "fence",
            "first",
            "last",
            # where the chunk lies in the layer
            "visit",
            "tile",
            "output",
            "channel",
            "position",
            "columns",
            "columns_tail",
        )
    ]
)
"""One chunk. `rows_tail` is the row count of its last channel group (r = b-1), `row_bits_tail` the
row width of its last output group (s = a-1), likewise columns; `beat`, `beats` locate its weights in
the stream; `dram_bytes` of them come from DRAM this time; `fetch_row`, `fetch_in` are fetch(p) at an
output row's start and inside, `words_row`, `words_in` their 64-bit words; `write_beats` leave by DMA for
each pixel of a last chunk, `write_words` are the words of these rows; `visit` is the row of VISIT; `tile`
is its first output row, `output`, `channel`, `position` the first of each that it covers."""

VISIT = np.dtype([(name, np.int64) for name in ("ifmap_bytes", "residual_bytes", "dram_bytes")])
"""One ifmap tile in L1: what the DMA brings from L2, and what DRAM must bring to L2 first."""


@dataclass(frozen=True, eq=False)
class Program:
    """A layer, ready to run.

    Attributes:
        chunks: CHUNK [n] in execution order.
        visits: VISIT [m] in execution order.
        beats: uint64 [m, weight_port_bits/64], the weight stream.
        codebook: uint64 [c, weight_port_bits/64], the codebook job, empty without one.
        ifmap_shape: (C, H, W) of the padded (and folded) ifmap that tokens read.
        rom: int8 [k, d] of the codebook ROM, [0, d] without one.
    """

    schedule: Schedule
    chunks: np.ndarray
    visits: np.ndarray
    beats: np.ndarray
    codebook: np.ndarray
    ifmap_shape: tuple[int, int, int]
    rom: np.ndarray


def _units(schedule: Schedule) -> Iterator[tuple[int, int, int, bool]]:
    """(part, i, tile, whether an ifmap tile must be brought in), in execution order."""
    trips_i, tiles = schedule.trips[0], schedule.tiles
    for part in range(schedule.parts):
        if schedule.outputs_outer:
            for i in range(trips_i):
                for tile in range(tiles):
                    yield part, i, tile, tiles > 1 or i == 0
        else:
            for tile in range(tiles):
                for i in range(trips_i):
                    yield part, i, tile, i == 0


def chunk_table(schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """CHUNK [n] and VISIT [m] of a scheduled layer; needs shapes only."""
    layer, acc = schedule.shape, schedule.accelerator
    trips_j, trips_k = schedule.trips[1:]
    steps = [divmod(step, trips_k) for step in range(trips_j * trips_k)]
    port = acc.weight_port_bits
    place: dict[tuple[int, int], int] = {}  # beat at which the weights of (part, i) begin
    beat = 0
    rows: list[tuple[int, ...]] = []
    visits: list[tuple[int, int, int]] = []
    codebook = schedule.codewords * acc.codeword_length * schedule.loads_codebook
    for part, i, tile, opens in _units(schedule):
        channels, outputs = schedule.part_of(part)
        channel0, output0 = part * schedule.channels, part * schedule.outputs
        a = min(schedule.a, -(-outputs // acc.columns) - i * schedule.a)
        columns = schedule.columns_of(i * schedule.a, outputs)
        columns_tail = schedule.columns_of(i * schedule.a + a - 1, outputs)
        pixels = schedule.tile_lines(tile) * layer.out_w
        again = (part, i) in place
        at = place.setdefault((part, i), beat)
        from_dram = not (again and schedule.tiling.keeps_weights) and (not layer.dynamic or schedule.spills)
        for j, k in steps:
            if k == 0 and (schedule.split_channels or (opens and j == 0)):
                visits.append(_visit(schedule, part, i, tile, j))
            b = min(schedule.b, -(-channels // acc.rows) - j * schedule.b)
            d = min(schedule.d, schedule.positions - k * schedule.d)
            full_rows = schedule.rows_of(j * schedule.b, channels)
            rows_tail = schedule.rows_of(j * schedule.b + b - 1, channels)
            bits, bits_tail = schedule.row_bits(columns), schedule.row_bits(columns_tail)
            sent = d * schedule.split * ((b - 1) * full_rows + rows_tail) * ((a - 1) * bits + bits_tail)
            beats = -(-sent // port)
            vectors = schedule.fetch_cycles(j * schedule.b, b, channels)
            vector_words = sum(schedule.vector_words(j * schedule.b, b, channels))
            at_start = schedule.new_vectors(k * schedule.d, row_start=True)
            inside = schedule.new_vectors(k * schedule.d, row_start=False)
            first, last = (j, k) == steps[0], (j, k) == steps[-1]
            psum = schedule.psum_cycles(a)
            rows.append(
                (
                    a,
                    b,
                    schedule.split,
                    d,
                    full_rows,
                    rows_tail,
                    bits,
                    bits_tail,
                    at,
                    beats,
                    from_dram * (beats * port // 8 + (not rows) * -(-codebook * 8 // port) * port // 8),
                    pixels,
                    layer.out_w,
                    vectors * at_start,
                    vectors * inside,
                    vector_words * at_start,
                    vector_words * inside,
                    0 if first else psum,
                    0 if last else psum,
                    schedule.store_cycles(a) if last else 0,
                    schedule.tiling.write_beats(part, i) if last else 0,
                    sum(schedule.tiling.write_words(part, i)) if last else 0,
                    not first and pixels - 1 < acc.latency + psum,
                    first,
                    last,
                    len(visits) - 1,
                    tile * schedule.tile_rows,
                    output0 + i * schedule.a * acc.columns,
                    channel0 + j * schedule.b * acc.rows,
                    k * schedule.d,
                    columns,
                    columns_tail,
                )
            )
            at += beats
        beat = max(beat, at)
    return np.array(rows, CHUNK), np.array(visits, VISIT)


def _visit(schedule: Schedule, part: int, i: int, tile: int, j: int) -> tuple[int, int, int]:
    layer, acc = schedule.shape, schedule.accelerator
    channels, outputs = schedule.part_of(part)
    channel0, output0 = part * schedule.channels, part * schedule.outputs
    lines = schedule.tile_ifmap_lines(tile)
    if schedule.ifmap_passes > 1:
        first = i * schedule.a * acc.columns
        outputs = min(first + schedule.a * acc.columns, outputs) - first
        output0 += first
    if schedule.split_channels:
        first = j * schedule.b * acc.rows
        channels = min(first + schedule.b * acc.rows, channels) - first
        channel0 += first
    residual = 0
    # The sum is needed with the last channels.
    if layer.residual and (j == schedule.trips[1] - 1 or not schedule.split_channels):
        residual = WORD * schedule.tile_lines(tile) * layer.out_w * words(output0, outputs)
    line = WORD * layer.size[1] * words(channel0, channels)
    from_dram = (lines * (layer.line_bytes or line) + residual) if schedule.source == "dram" else 0
    return (0 if schedule.source == "l1" else lines * line), residual, from_dram


def lower(layer: Conv, schedule: Schedule) -> Program:
    """The program of a layer of a network.

    Args:
        layer: the convolution; its weight must have the schedule's format (dense schedules
            take any weight, decoded).
    """
    shape, port = schedule.shape, schedule.accelerator.weight_port_bits
    chunks, visits = chunk_table(schedule)
    codebook = np.zeros((0, port // 64), np.uint64)
    rom = np.zeros((0, schedule.accelerator.codeword_length), np.int8)
    values = schedule.stream.pack(layer.weight, schedule.accelerator)
    width = schedule.stream.unit_bits(schedule.accelerator, schedule.codewords)
    if schedule.stream.coded:
        assert not isinstance(layer.weight, DenseWeight)
        if schedule.stream.universal:
            rom = layer.weight.codebook
        else:
            codebook = encoding.pack_bits(layer.weight.codebook, 8, port)
    values = _folded(values, shape)
    _, once = np.unique(chunks["beat"], return_index=True)
    beats = np.concatenate(
        [encoding.pack_bits(_stream(values, chunk, schedule), width, port) for chunk in chunks[once]]
    )
    folded = shape.channels != layer.weight.shape[1] * layer.groups
    top, left = shape.padding
    bottom, right = shape.padding if shape.padding_end is None else shape.padding_end
    wide = shape.size[1] if folded else shape.size[1] + left + right
    ifmap_shape = (shape.channels, shape.size[0] + top + bottom, wide)
    return Program(schedule, chunks, visits, beats, codebook, ifmap_shape, rom)


def _folded(values: np.ndarray, shape: ConvShape) -> np.ndarray:
    """[units, C, Ky, Kx] -> [units, C', positions]; kernel columns in channels where the shape folds.

    Columns beyond the kernel, when the groups do not divide it, hold zeros.
    """
    units, c, ky, kx = values.shape
    if shape.channels == c * shape.groups:
        return values.reshape(units, c, ky * kx)
    groups, width = shape.kernel[1], shape.channels // c
    padded = np.zeros((units, c, ky, groups * width), values.dtype)
    padded[..., :kx] = values
    split = padded.reshape(units, c, ky, groups, width)
    return split.transpose(0, 4, 1, 2, 3).reshape(units, width * c, ky * groups)


def _stream(values: np.ndarray, chunk: np.void, schedule: Schedule) -> np.ndarray:
    """Fields of one chunk in stream order; `values` is [units, C/groups, positions].

    A unit is what one column field of a row is: a weight (dense, split, block) or a record.
    """
    acc = schedule.accelerator
    unit = schedule.stream.unit(acc)
    inputs = values.shape[1]  # of one group: a part is one group, or lies on the diagonal
    parts = []
    for q in range(chunk["d"]):
        plane = values[:, :, chunk["position"] + q]
        if schedule.stream.diagonal:
            outputs = schedule.shape.outputs // schedule.shape.groups
            mine = plane[chunk["output"] : chunk["output"] + chunk["columns"]]
            parts.append(mine.reshape(-1, outputs, inputs).transpose(0, 2, 1))
            continue
        for r in range(chunk["b"]):
            low = chunk["channel"] % inputs + r * acc.rows
            rows = chunk["rows_tail"] if r == chunk["b"] - 1 else chunk["rows"]
            block = plane[:, low : low + rows]
            for u in range(chunk["u"]):
                for s in range(chunk["a"]):
                    start = chunk["output"] + s * acc.columns
                    columns = chunk["columns_tail"] if s == chunk["a"] - 1 else chunk["columns"]
                    part = block[start // unit : -(-(start + columns) // unit)].T
                    parts.append(_sub_record(part, u, acc) if schedule.stream.sub_records else part)
    return np.concatenate([part.ravel() for part in parts])


def _sub_record(part: np.ndarray, u: int, acc: Accelerator) -> np.ndarray:
    """Positions u*Q .. u*Q+Q-1 of each group of d columns; [rows, records * Q]."""
    rows, columns = part.shape
    d, q = acc.codeword_length, acc.multipliers_per_codeword
    padded = np.zeros((rows, -(-columns // d) * d), part.dtype)
    padded[:, :columns] = part
    return padded.reshape(rows, -1, d)[:, :, u * q : u * q + q].reshape(rows, -1)


def token_ifmap(ifmap: np.ndarray, layer: Conv, program: Program, zero_point: int) -> np.ndarray:
    """The padded (and folded) ifmap that tokens read: int8 [batch, C', H', W'].

    Args:
        ifmap: int8 [batch, C, H, W].
    """
    padded = pad(ifmap, layer.padding, zero_point)
    batch, c, height, _ = padded.shape
    if program.ifmap_shape[0] == c:
        return padded
    groups, width = program.schedule.shape.kernel[1], program.ifmap_shape[0] // c
    # The zero columns beyond the kernel may reach beyond the ifmap.
    reach = groups * width - layer.weight.shape[3]
    padded = np.pad(padded, [(0, 0)] * 3 + [(0, reach)], constant_values=zero_point)
    windows = np.lib.stride_tricks.sliding_window_view(padded, groups * width, 3)
    windows = windows[:, :, :, :: layer.stride[1]].reshape(batch, c, height, -1, groups, width)
    folded = windows.transpose(0, 5, 1, 2, 3, 4)
    return np.ascontiguousarray(folded).reshape(batch, width * c, height, -1)
