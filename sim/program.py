"""Lowering: a scheduled layer becomes chunk descriptors and a weight stream.

The same program drives the cycle engine and the RTL bench. `docs/timing.md` sections 2 and 3
define the order and the terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim import encoding
from sim.accelerator import Accelerator
from sim.network import CodebookWeight, Conv, pad
from sim.schedule import Schedule
from sim.shapes import ConvShape

CHUNK = np.dtype([(name, np.int32) for name in (
    # extents and loader
    "a", "b", "u", "d", "rows", "rows_tail", "row_bits", "row_bits_tail", "beat", "beats",
    # slots
    "pixels", "width", "fetch_row", "fetch_in", "psum_read", "psum_write", "store",
    "fence", "first", "last",
    # where the chunk lies in the layer
    "tile", "output", "channel", "position", "columns", "columns_tail",
)])
"""One chunk. `rows_tail` is the row count of its last channel group (r = b-1), `row_bits_tail` the
row width of its last output group (s = a-1), likewise columns; `beat`, `beats` locate its weights in
the stream; `fetch_row`, `fetch_in` are fetch(p) at an output row's start and inside; `tile` is its
first output row, `output`, `channel`, `position` the first of each that it covers."""


@dataclass(frozen=True, eq=False)
class Program:
    """A layer, ready to run.

    Attributes:
        chunks: CHUNK [n] in execution order.
        beats: uint64 [m, weight_port_bits/64], the weight stream.
        codebook: uint64 [c, weight_port_bits/64], the codebook job, empty without one.
        ifmap_shape: (C, H, W) of the padded (and folded) ifmap that tokens read.
    """

    schedule: Schedule
    chunks: np.ndarray
    beats: np.ndarray
    codebook: np.ndarray
    ifmap_shape: tuple[int, int, int]


def chunk_table(schedule: Schedule) -> np.ndarray:
    """CHUNK [n] of a scheduled layer; needs shapes only."""
    layer, acc = schedule.shape, schedule.accelerator
    trips_i, trips_j, trips_k = schedule.trips
    last_of_group = trips_j * trips_k - 1
    rows = []
    beats = 0
    for tile in range(schedule.tiles):
        tile_row = tile * schedule.tile_rows
        pixels = min(schedule.tile_rows, layer.out_h - tile_row) * layer.out_w
        beat = 0
        for i in range(trips_i):
            a = min(schedule.a, schedule.output_groups - i * schedule.a)
            columns = schedule.columns_of(i * schedule.a)
            columns_tail = schedule.columns_of(i * schedule.a + a - 1)
            bits, bits_tail = schedule.row_bits(columns), schedule.row_bits(columns_tail)
            psum, store = schedule.psum_cycles(a), schedule.store_cycles(a)
            for step in range(last_of_group + 1):
                j, k = divmod(step, trips_k)
                b = min(schedule.b, schedule.channel_groups - j * schedule.b)
                d = min(schedule.d, schedule.positions - k * schedule.d)
                full_rows = schedule.rows_of(j * schedule.b)
                rows_tail = schedule.rows_of(j * schedule.b + b - 1)
                total_rows = (b - 1) * full_rows + rows_tail
                total = d * schedule.split * total_rows * ((a - 1) * bits + bits_tail)
                beats = -(-total // acc.weight_port_bits)
                vectors = sum(schedule.vector_cycles[j * schedule.b : j * schedule.b + b])
                first, last = step == 0, step == last_of_group
                read = 0 if first else psum
                write = 0 if last else psum
                fence = not first and pixels - 1 < acc.latency + psum
                rows.append((
                    a, b, schedule.split, d, full_rows, rows_tail, bits, bits_tail, beat, beats,
                    pixels, layer.out_w,
                    vectors * schedule.new_vectors(k * schedule.d, True),
                    vectors * schedule.new_vectors(k * schedule.d, False),
                    read, write, store if last else 0, fence, first, last,
                    tile_row, i * schedule.a * acc.columns, j * schedule.b * acc.rows,
                    k * schedule.d, columns, columns_tail,
                ))
                beat += beats
    return np.array(rows, CHUNK)


def lower(layer: Conv, schedule: Schedule) -> Program:
    """The program of a layer of a network.

    Args:
        layer: the convolution; its weight must have the schedule's format (dense schedules
            take any weight, decoded).
    """
    shape = schedule.shape
    chunks = chunk_table(schedule)
    once = chunks[chunks["tile"] == 0]
    codebook = np.zeros((0, schedule.accelerator.weight_port_bits // 64), np.uint64)
    port = schedule.accelerator.weight_port_bits
    if schedule.format in ("dense", "split"):
        values, width = layer.weight.decode().astype(np.int64), 8
    else:
        assert isinstance(layer.weight, CodebookWeight)
        values = _records(layer.weight, schedule)
        width = schedule.accelerator.record_bits(schedule.codewords)
        codebook = encoding.pack_bits(layer.weight.codebook, 8, port)
    values = _folded(values, shape)
    beats = np.concatenate([
        encoding.pack_bits(_stream(values, chunk, schedule), width, port) for chunk in once
    ])
    folded = shape.channels != layer.weight.shape[1]
    height = shape.size[0] + 2 * shape.padding[0]
    wide = shape.size[1] if folded else shape.size[1] + 2 * shape.padding[1]
    return Program(schedule, chunks, beats, codebook, (shape.channels, height, wide))


def _folded(values: np.ndarray, shape: ConvShape) -> np.ndarray:
    """[units, C, Ky, Kx] -> [units, C', positions]; kernel columns in channels where the shape folds.

    Columns beyond the kernel, when the groups do not divide it, hold zeros.
    """
    units, c, ky, kx = values.shape
    if shape.channels == c:
        return values.reshape(units, c, ky * kx)
    groups, width = shape.kernel[1], shape.channels // c
    padded = np.zeros((units, c, ky, groups * width), values.dtype)
    padded[..., :kx] = values
    split = padded.reshape(units, c, ky, groups, width)
    return split.transpose(0, 4, 1, 2, 3).reshape(units, width * c, ky * groups)


def _records(weight: CodebookWeight, schedule: Schedule) -> np.ndarray:
    """int64 [K/d, C, Ky, Kx] records."""
    records = weight.assignments.astype(np.int64)
    if weight.mask_codes is not None:
        bits = schedule.accelerator.mask_code_bits
        for group in reversed(range(weight.mask_codes.shape[-1])):
            records = records << bits | weight.mask_codes[..., group].astype(np.int64)
    return records


def _stream(values: np.ndarray, chunk: np.void, schedule: Schedule) -> np.ndarray:
    """Fields of one chunk in stream order; `values` is [units, C, positions].

    A unit is what one column field of a row is: a weight (dense, split) or a record.
    """
    acc = schedule.accelerator
    unit = 1 if schedule.format in ("dense", "split") else acc.codeword_length
    parts = []
    for q in range(chunk["d"]):
        plane = values[:, :, chunk["position"] + q]
        for r in range(chunk["b"]):
            low = chunk["channel"] + r * acc.rows
            rows = chunk["rows_tail"] if r == chunk["b"] - 1 else chunk["rows"]
            block = plane[:, low : low + rows]
            for u in range(chunk["u"]):
                for s in range(chunk["a"]):
                    start = chunk["output"] + s * acc.columns
                    columns = chunk["columns_tail"] if s == chunk["a"] - 1 else chunk["columns"]
                    part = block[start // unit : -(-(start + columns) // unit)].T
                    parts.append(_sub_record(part, u, acc) if schedule.format == "split" else part)
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
