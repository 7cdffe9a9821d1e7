"""Lowering: a scheduled layer becomes chunk descriptors and a weight stream.

The same program drives the cycle engine and the RTL compiler. `docs/timing.md` sections 2 and 3
define the order and the terms.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import sha256
from math import prod
from typing import NamedTuple

import numpy as np

from sim.formats import encoding
from sim.network import Conv, Weight, pad
from sim.shapes import WORD, ConvShape, words
from sim.systolic.packing import Layout, pack_chunks
from sim.systolic.schedule import Schedule

CHUNK = np.dtype(
    [
        (name, np.int32)
        for name in (
            # extents and loader
            "A",
            "B",
            "U",
            "D",
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
            "left",
            "output",
            "channel",
            "position",
            "columns",
            "columns_tail",
        )
    ]
)
"""One chunk. `rows_tail` is the row count of its last channel group (r = B-1), `row_bits_tail` the
row width of its last output group (s = A-1), likewise columns; `beat`, `beats` locate its weights in
the stream; `dram_bytes` of them come from DRAM this time; `fetch_row`, `fetch_in` are fetch(p) at an
output row's start and inside, `words_row`, `words_in` their 64-bit words; `write_beats` leave by DMA for
each pixel of a last chunk, `write_words` are the words of these rows; `visit` is the row of VISIT; `tile`
is its first output row, `left` its first output column, `output`, `channel`, `position` the first of each that
it covers; `width` are its output columns."""

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
        l2_holds_all: L2 holds weights and maps before the run, and takes what exceeds its share.
    """

    schedule: Schedule
    chunks: np.ndarray
    visits: np.ndarray
    beats: np.ndarray
    codebook: np.ndarray
    ifmap_shape: tuple[int, int, int]
    rom: np.ndarray
    l2_holds_all: bool = False


class _Loops(NamedTuple):
    """The loops of a layer, flattened: stripes in execution order, and the steps of each of them.

    Attributes:
        part, i, tile: int64 [n, 1], of the stripe.
        opens: bool [n, 1], whether an ifmap tile must be brought in for it.
        channels, outputs: int64 [n, 1], of its part.
        j, k: int64 [m], of the step.
    """

    part: np.ndarray
    i: np.ndarray
    tile: np.ndarray
    opens: np.ndarray
    channels: np.ndarray
    outputs: np.ndarray
    j: np.ndarray
    k: np.ndarray

    @classmethod
    def of(cls, schedule: Schedule) -> _Loops:
        (trips_i, trips_j, trips_k), tiles = schedule.trips, schedule.tiles
        if schedule.outputs_outer:
            part, i, tile = (axis.reshape(-1, 1) for axis in np.indices((schedule.parts, trips_i, tiles)))
            opens = (i == 0) | (tiles > 1)
        else:
            part, tile, i = (axis.reshape(-1, 1) for axis in np.indices((schedule.parts, tiles, trips_i)))
            opens = i == 0
        of_part = np.array([schedule.part_of(number) for number in range(schedule.parts)])
        channels, outputs = of_part[part, 0], of_part[part, 1]
        j, k = (axis.ravel() for axis in np.indices((trips_j, trips_k)))
        return cls(part, i, tile, opens, channels, outputs, j, k)


def chunk_table(schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """CHUNK [n] and VISIT [m] of a scheduled layer; needs shapes only."""
    loops = _Loops.of(schedule)
    chunks = np.zeros((len(loops.part), len(loops.j)), CHUNK)
    _set_extents(chunks, schedule, loops)
    _set_weights(chunks, schedule, loops)
    _set_slots(chunks, schedule, loops)
    _set_fetches(chunks, schedule, loops)
    brought = (loops.k == 0) & (loops.opens & (loops.j == 0) | schedule.split_channels)
    chunks["visit"] = (np.cumsum(brought) - 1).reshape(brought.shape)
    visits = [
        _visit(schedule, int(loops.part[n, 0]), int(loops.i[n, 0]), int(loops.tile[n, 0]), int(loops.j[step]))
        for n, step in np.argwhere(brought)
    ]
    return chunks.ravel(), np.array(visits, VISIT)


def _set_extents(chunks: np.ndarray, schedule: Schedule, loops: _Loops) -> None:
    """How far a chunk reaches, and where in the layer it lies."""
    acc = schedule.accelerator
    group = loops.i * schedule.A  # the first output group of the chunk, in its part
    A = np.minimum(schedule.A, -(-loops.outputs // acc.columns) - group)
    chunks["A"] = A
    chunks["columns"] = np.minimum(acc.columns, loops.outputs - group * acc.columns)
    chunks["columns_tail"] = np.minimum(acc.columns, loops.outputs - (group + A - 1) * acc.columns)
    chunks["output"] = loops.part * schedule.outputs + group * acc.columns
    group = loops.j * schedule.B  # the first channel group
    B = np.minimum(schedule.B, -(-loops.channels // acc.rows) - group)
    chunks["B"] = B
    chunks["rows"] = np.minimum(acc.rows, loops.channels - group * acc.rows)
    chunks["rows_tail"] = np.minimum(acc.rows, loops.channels - (group + B - 1) * acc.rows)
    chunks["channel"] = loops.part * schedule.channels + group * acc.rows
    chunks["U"] = schedule.split
    chunks["position"] = loops.k * schedule.D
    chunks["D"] = np.minimum(schedule.D, schedule.positions - loops.k * schedule.D)
    strip, row = np.divmod(loops.tile, schedule.row_tiles)
    chunks["tile"], chunks["left"] = row * schedule.tile_rows, strip * schedule.tile_width
    chunks["width"] = np.minimum(schedule.tile_width, schedule.shape.out_w - chunks["left"])
    lines = np.minimum(schedule.tile_rows, schedule.shape.out_h - chunks["tile"])
    chunks["pixels"] = lines * chunks["width"]


def _set_weights(chunks: np.ndarray, schedule: Schedule, loops: _Loops) -> None:
    """Bits of the rows, and where they lie in the stream: once for all tiles."""
    layer, port = schedule.shape, schedule.accelerator.weight_port_bits
    for name, columns in (("row_bits", "columns"), ("row_bits_tail", "columns_tail")):
        distinct, which = np.unique(chunks[columns], return_inverse=True)
        bits = np.array([schedule.row_bits(int(count)) for count in distinct])
        chunks[name] = bits[which].reshape(chunks.shape)
    stream, acc = schedule.stream, schedule.accelerator
    n, span = stream.scale_rows(acc), stream.scale_span(acc)
    full, tail = (chunks[name] + n * -(-chunks[name] // span) for name in ("rows", "rows_tail"))
    rows = (chunks["B"] - 1) * full + tail
    bits = (chunks["A"] - 1) * chunks["row_bits"] + chunks["row_bits_tail"]
    beats = -(-(chunks["D"] * chunks["U"] * rows).astype(np.int64) * bits // port)
    # The stripes of the first tile come in the order of their weights.
    of_stripe = beats[loops.tile[:, 0] == 0].sum(axis=1)
    begin = np.cumsum(of_stripe) - of_stripe
    stripe = loops.part * schedule.trips[0] + loops.i
    chunks["beat"] = begin[stripe] + np.cumsum(beats, axis=1) - beats
    chunks["beats"] = beats
    if not layer.dynamic or schedule.spills:
        kept = (loops.tile > 0) & schedule.tiling.keeps_weights
        chunks["dram_bytes"] = np.where(kept, 0, beats * port // 8)
        if schedule.loads_codebook:
            codebook = schedule.codewords * schedule.accelerator.codeword_length
            chunks["dram_bytes"][0, 0] += -(-codebook * 8 // port) * port // 8


def _set_slots(chunks: np.ndarray, schedule: Schedule, loops: _Loops) -> None:
    """What each slot of a chunk needs of psum memory and storer."""
    chunks["first"][:, 0] = 1
    chunks["last"][:, -1] = 1
    psum = schedule.psum_cycles(1) * chunks["A"]
    chunks["psum_read"][:, 1:] = psum[:, 1:]
    chunks["psum_write"][:, :-1] = psum[:, :-1]
    late = chunks["pixels"] - 1 < schedule.accelerator.latency + psum
    chunks["fence"][:, 1:] = late[:, 1:]
    chunks["store"][:, -1] = schedule.store_cycles(1) * chunks["A"][:, -1]
    steps = [(part, i) for part in range(schedule.parts) for i in range(schedule.trips[0])]
    stripe = (loops.part * schedule.trips[0] + loops.i)[:, 0]
    beats = np.array([schedule.tiling.write_beats(part, i) for part, i in steps])
    words_written = np.array([sum(schedule.tiling.write_words(part, i)) for part, i in steps])
    chunks["write_beats"][:, -1] = beats[stripe]
    chunks["write_words"][:, -1] = words_written[stripe]


def _set_fetches(chunks: np.ndarray, schedule: Schedule, loops: _Loops) -> None:
    """Cycles and words that the ifmap loader takes for a pixel, at an output row's start and inside."""
    trips_j, trips_k = schedule.trips[1:]
    for channels in np.unique(loops.channels).tolist():
        groups = [
            (j * schedule.B, min(schedule.B, -(-channels // schedule.accelerator.rows) - j * schedule.B))
            for j in range(trips_j)
        ]
        cycles = np.array([schedule.fetch_cycles(first, count, channels) for first, count in groups])
        vectors = np.array([sum(schedule.vector_words(first, count, channels)) for first, count in groups])
        mine = (loops.channels == channels)[:, 0]
        for when, row_start in (("row", True), ("in", False)):
            new = np.array([schedule.new_vectors(k * schedule.D, row_start) for k in range(trips_k)])
            chunks[f"fetch_{when}"][mine] = cycles[loops.j] * new[loops.k]
            chunks[f"words_{when}"][mine] = vectors[loops.j] * new[loops.k]


def _visit(schedule: Schedule, part: int, i: int, tile: int, j: int) -> tuple[int, int, int]:
    layer, acc = schedule.shape, schedule.accelerator
    channels, outputs = schedule.part_of(part)
    channel0, output0 = part * schedule.channels, part * schedule.outputs
    lines, columns = (len(read) for read in schedule.tile_ifmap(tile))
    if schedule.ifmap_sweeps > 1:
        first = i * schedule.A * acc.columns
        outputs = min(first + schedule.A * acc.columns, outputs) - first
        output0 += first
    if schedule.split_channels:
        first = j * schedule.B * acc.rows
        channels = min(first + schedule.B * acc.rows, channels) - first
        channel0 += first
    residual = 0
    # The sum is needed with the last channels.
    if layer.residual and (j == schedule.trips[1] - 1 or not schedule.split_channels):
        residual = WORD * prod(schedule.tile_size(tile)) * words(output0, outputs)
    line = WORD * columns * words(channel0, channels)
    from_dram = (schedule.tile_dram(tile, lines * line) + residual) if schedule.source == "dram" else 0
    return (0 if schedule.source == "l1" else lines * line), residual, from_dram


_lowered: dict[tuple[object, ...], Program] = {}
"""Programs by all that they depend on, the latest last."""

REMEMBERED = 64 << 20
"""Bytes of weight streams that are remembered: those of ResNet-50 in any format, twice."""


def lower(layer: Conv, schedule: Schedule, l2_holds_all: bool = False) -> Program:
    """The program of a layer of a network; to be read only, since it is remembered.

    Args:
        layer: the convolution; its weight must have the schedule's format (dense schedules
            take any weight, decoded).
        l2_holds_all: nothing comes from DRAM.
    """
    if schedule.shape.dynamic:
        return _lower(layer, schedule, l2_holds_all)
    key = (schedule, l2_holds_all, layer.groups, _digest(layer.weight))
    found = _lowered.get(key)
    if found is None:
        found = _lowered[key] = _lower(layer, schedule, l2_holds_all)
        while len(_lowered) > 1 and sum(kept.beats.nbytes for kept in _lowered.values()) > REMEMBERED:
            del _lowered[next(iter(_lowered))]
    return found


def _digest(weight: Weight) -> bytes:
    """Of a weight's kind and of all that it holds."""
    found = sha256(weight.format.encode())
    for held in fields(weight):
        value = getattr(weight, held.name)
        if isinstance(value, np.ndarray):
            found.update(f"{held.name} {value.dtype} {value.shape}".encode())
            found.update(np.ascontiguousarray(value).data)
        else:
            found.update(f"{held.name} {value!r}".encode())
    return found.digest()


def _lower(layer: Conv, schedule: Schedule, l2_holds_all: bool) -> Program:
    shape, port = schedule.shape, schedule.accelerator.weight_port_bits
    chunks, visits = chunk_table(schedule)
    if l2_holds_all:
        chunks["dram_bytes"] = 0
        visits["dram_bytes"] = 0
    codebook = np.zeros((0, port // 64), np.uint64)
    rom = np.zeros((0, schedule.accelerator.codeword_length), np.int8)
    if schedule.stream.books:
        codewords: np.ndarray = layer.weight.codebook  # type: ignore[union-attr]
        if schedule.stream.universal:
            rom = codewords
        else:
            codebook = encoding.pack_bits(codewords, 8, port)
    top, left = shape.padding
    bottom, right = shape.padding if shape.padding_end is None else shape.padding_end
    wide = shape.size[1] if shape.unfolded else shape.size[1] + left + right
    ifmap_shape = (shape.channels, shape.size[0] + top + bottom, wide)
    beats = _beats(layer, schedule, chunks)
    return Program(schedule, chunks, visits, beats, codebook, ifmap_shape, rom, l2_holds_all)


def _beats(layer: Conv, schedule: Schedule, chunks: np.ndarray) -> np.ndarray:
    """uint64 [m, weight_port_bits/64]: each chunk's weights once, whatever the tiles."""
    acc, stream = schedule.accelerator, schedule.stream
    values = _folded(stream.pack(layer.weight, acc), schedule.shape)
    _, once = np.unique(chunks["beat"], return_index=True)
    layout = Layout(
        width=stream.unit_bits(acc, schedule.codewords),
        port=acc.weight_port_bits,
        rows=acc.rows,
        columns=acc.columns,
        unit=stream.unit(acc),
        d=acc.codeword_length,
        q=acc.multipliers_per_codeword if stream.sub_records else 0,
        block=schedule.shape.outputs // schedule.shape.groups if stream.diagonal else 0,
        scale_rows=stream.scale_rows(acc),
        scale_span=stream.scale_span(acc),
    )
    distinct = chunks[once]
    lanes = acc.weight_port_bits // 64
    words = np.zeros(int(distinct["beats"].sum()) * lanes + 1, np.uint64)
    pack_chunks(np.ascontiguousarray(values), distinct.view(np.recarray), layout, words)
    return words[:-1].reshape(-1, lanes)


def _folded(values: np.ndarray, shape: ConvShape) -> np.ndarray:
    """[units, C, Ky, Kx] -> [units, C', positions]; positions of the kernel in channels where the shape folds.

    Zeros where columns lie beyond the kernel, and rows beyond it or in the folded row before.
    """
    units, c, ky, kx = values.shape
    if shape.unfolded is None:
        return values.reshape(units, c, ky * kx)
    (y, _, high, width), (rows, groups) = shape.unfolded, shape.kernel
    pitch = y.stride // shape.stride[0]
    padded = np.zeros((units, c, rows, high, groups * width), values.dtype)
    for line in range(ky):
        row = max(0, -(-(line - high + 1) // pitch))
        padded[:, :, row, line - row * pitch, :kx] = values[:, :, line]
    split = padded.reshape(units, c, rows, high, groups, width)
    return split.transpose(0, 3, 5, 1, 2, 4).reshape(units, high * width * c, rows * groups)


def token_ifmap(ifmap: np.ndarray, layer: Conv, program: Program, zero_point: int) -> np.ndarray:
    """The padded (and folded) ifmap that tokens read: int8 [batch, C', H', W'].

    Args:
        ifmap: int8 [batch, C, H, W].
    """
    padded, shape = pad(ifmap, layer.padding, zero_point), program.schedule.shape
    if shape.unfolded is None:
        return padded
    batch, c, height, _ = padded.shape
    (y, _, high, width), groups = shape.unfolded, shape.kernel[1]
    lines = np.arange(program.ifmap_shape[1])[:, None] * (y.stride // shape.stride[0]) + np.arange(high)
    # The zero rows and columns beyond the kernel may reach beyond the ifmap.
    beyond = [
        (0, 0),
        (0, 0),
        (0, max(0, lines.max() + 1 - height)),
        (0, groups * width - layer.weight.shape[3]),
    ]
    padded = np.pad(padded, beyond, constant_values=zero_point)
    windows = np.lib.stride_tricks.sliding_window_view(padded, groups * width, 3)
    windows = windows[:, :, lines, :: layer.stride[1]].reshape(batch, c, *lines.shape, -1, groups, width)
    folded = windows.transpose(0, 3, 6, 1, 2, 4, 5)
    return np.ascontiguousarray(folded).reshape(batch, high * width * c, len(lines), -1)
