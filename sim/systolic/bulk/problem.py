"""What a layer on a machine is, in numbers: all that counts and search depend on, and so what they are remembered by.

The compiled code gets nothing else. A field of the accelerator that is not read here changes no count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim import formats
from sim.accelerator import Accelerator
from sim.shapes import ConvShape, PassShape, map_bytes
from sim.systolic.closed_form.demands import expected_lookups
from sim.systolic.folding import ways
from sim.systolic.results import MEMORIES
from sim.systolic.schedule import least_rows, packs
from sim.technology import mapping_energy, off_chip

ENERGIES = (*MEMORIES, "mac", "cycle")
"""Columns of energies: pJ by access, and of a cycle."""
SOURCES = ("l1", "l2", "dram")
"""Numbers of the places where a layer may find its ifmap."""

_LAYER = (
    *("kernel_y", "kernel_x", "stride_y", "stride_x", "padding_y", "padding_x", "size_y", "size_x"),
    *("reach_y", "reach_x", "dilation_y", "dilation_x", "out_h", "out_w", "residual", "output_size"),
    *("line_bytes", "wide_size", "wide_reach", "wide_stride", "wide_padding"),
    *("tall_size", "tall_reach", "tall_stride", "tall_padding", "dynamic", "folded"),
    *("pooled", "written", "write_first", "write_step", "merged", "least_rows"),
    *("all_outputs", "group_outputs", "macs", "needed", "needed_unfolded"),
    *("parts", "tail_groups", "channels", "outputs", "last_channels", "last_outputs"),
    *("split", "unit", "books", "universal", "on_diagonal", "codewords", "scale_rows", "scale_span"),
    *("bits_wide", "bits_narrow", "bits_last"),
)
"""Of a layer as an array of some size and format sees it, folded or not; no wide_ and tall_ sizes without `unfolded`.
pooled: the storer pools along y; written: rows that it writes, each write_step one from write_first on; merged: rows
that it keeps and reads; least_rows: of a tile, so that it ends a window. needed: bytes of its maps in L2. unit: output
channels of a record; books: codebooks that it reads. bits_: of a weight row that serves all columns, the last ones of a
full part and of the last.
"""
_MACHINE = (
    *("rows", "columns", "tile_stages", "release", "loader_stages", "weight_overlap", "stationary"),
    *(
        "fixed_A",
        "fixed_B",
        "fixed_D",
        "wrf_depth",
        "arf_depth",
        "prf_depth",
        "arf_reuse",
        "port",
        "psum_ports",
    ),
    *(
        "psum_bits",
        "psum_banks",
        "ifmap_banks",
        "requant_lanes",
        "wide_lanes",
        "codeword_length",
        "multipliers",
    ),
    *(
        "sparse_tile",
        "ifmap_bytes",
        "psum_bytes",
        "ofmap_bytes",
        "residual_bytes",
        "weight_bytes",
        "map_bytes",
    ),
    *("dma_bits", "dma_start", "burst_gap", "dram_bits", "dram_latency", "row_bytes", "row_cycles"),
)
"""Of a machine. tile_stages: LAT. fixed_: of the extension, 0 without one. dma_start: set-up and latency of L2."""
_LOOKUPS = ("lookups_wide", "lookups_narrow", "lookups_last")
"""Expected cycles in which a ROM serves a row; of the same rows as bits_."""
PROBLEM = np.dtype(
    [(name, np.int64) for name in _LAYER + _MACHINE] + [(name, np.float64) for name in _LOOKUPS]
)
"""A layer on a machine; its bytes are the key of what is remembered."""
HOW = np.dtype(
    [
        (name, np.int64)
        for name in ("A", "B", "D", "rows", "columns", "overlap", "outer", "split", "source", "folded")
    ]
)
"""A schedule of a problem: columns are those of a tile, of the whole map too; source as in SOURCES; folded: by which
of the problems of a layer. A of 0: none fits.
"""
PASS = np.dtype(
    [(name, np.int64) for name in ("read", "written", "work", "results", "channels")]
    + [(name, np.int64) for name in ("lanes", "needed", "stored", "operands", "operand", "under")]
)
"""A pass over feature maps on a machine with so many lanes."""


def machine_fields(acc: Accelerator) -> tuple[int, ...]:
    """Of _MACHINE, in its order."""
    memory = off_chip(acc)
    fixed = acc.extension or (0, 0, 0)
    return (
        *(acc.rows, acc.columns, acc.latency, acc.release, acc.loader_stages, acc.weight_overlap),
        *(acc.dataflow == "ws", *fixed, acc.wrf_depth, acc.arf_depth, acc.prf_depth, acc.arf_reuse),
        *(acc.weight_port_bits, acc.psum_ports, acc.psum_store_bits, acc.psum_banks, acc.ifmap_banks),
        *(
            acc.requant_lanes,
            acc.wide_lanes,
            acc.codeword_length,
            acc.multipliers_per_codeword,
            acc.sparse_tile,
        ),
        *(
            acc.ifmap_bytes,
            acc.psum_bytes,
            acc.ofmap_bytes,
            acc.residual_bytes,
            acc.weight_bytes,
            acc.map_bytes,
        ),
        *(acc.dma_bits, acc.dma_setup + acc.l2_latency, acc.dma_burst_gap),
        *(memory.bits, memory.latency, memory.row_bytes, memory.row_cycles),
    )


def energies(acc: Accelerator) -> np.ndarray:
    """float64 [ENERGIES], of the mapping."""
    _, found = mapping_energy(acc)
    return np.array([found[name] for name in ENERGIES])


class Array:
    """The layers of networks as one array sees them; arrays alike share it (`array_of`)."""

    def __init__(self, acc: Accelerator) -> None:
        self._acc = acc
        self._known: dict[tuple[ConvShape, str, int], np.ndarray] = {}

    def seen(self, shape: ConvShape, form: str, codewords: int) -> np.ndarray:
        """PROBLEM [n], fields of the layer alone: as it is, and folded where those are other ways."""
        key = shape, form, codewords
        if key not in self._known:
            every = ways(shape, self._acc, form)
            found = np.zeros(len(every), PROBLEM)
            for n, way in enumerate(every):
                fields = _layer_fields(way, self._acc, form, codewords)
                for name, value in zip((*_LAYER, *_LOOKUPS), fields, strict=True):
                    found[n][name] = value
                found[n]["folded"], found[n]["needed_unfolded"] = n, found[0]["needed"]
            self._known[key] = found
        return self._known[key]


_DECIDE = (
    *("rows", "columns", "format", "sparse_tile"),
    *("codeword_length", "codebook_entries", "keep", "group", "scale_group"),
)


_arrays: dict[tuple[Any, ...], Array] = {}


def array_of(acc: Accelerator) -> Array:
    """The same object for all accelerators whose arrays see layers alike."""
    key = (*(getattr(acc, field) for field in _DECIDE), acc.rom_banks, acc.rom_ports)
    if key not in _arrays:
        if len(_arrays) >= 1024:
            _arrays.clear()
        _arrays[key] = Array(acc)
    return _arrays[key]


def machine_row(acc: Accelerator) -> np.ndarray:
    """PROBLEM [1] without a layer."""
    row = np.zeros(1, PROBLEM)
    for name, value in zip(_MACHINE, machine_fields(acc), strict=True):
        row[name] = value
    return row


def problems(acc: Accelerator, layers: Sequence[tuple[ConvShape, str, int]]) -> list[np.ndarray]:
    """PROBLEM [n] of each layer, of (shape, stream format, k)."""
    if not layers:
        return []
    array, machine = array_of(acc), machine_row(acc)[0]
    seen = [array.seen(*layer) for layer in layers]
    every = joined(seen)
    for name in _MACHINE:
        every[name] = machine[name]
    ends = np.cumsum([len(found) for found in seen]).tolist()
    return [every[end - len(found) : end] for found, end in zip(seen, ends, strict=True)]


def joined(rows: Sequence[np.ndarray]) -> np.ndarray:
    """PROBLEM [n] of some, one behind the other; as bytes, since NumPy copies field by field."""
    return np.frombuffer(bytearray(b"".join(part.tobytes() for part in rows)), PROBLEM)


def _layer_fields(shape: ConvShape, acc: Accelerator, form: str, k: int) -> list[float]:
    """Of _LAYER and of _LOOKUPS, in their order."""
    stream = formats.stream(form)
    y, x = shape.axes
    tall, wide = shape.unfolded[:2] if shape.unfolded else ((0, 1, 1, 0),) * 2
    packed = packs(shape, acc) if stream.diagonal else 1
    parts = -(-shape.groups // packed)
    tail = shape.groups - (parts - 1) * packed
    inputs, outputs = shape.channels // shape.groups, shape.outputs // shape.groups
    widths = [acc.columns, *((most - 1) % acc.columns + 1 for most in (outputs * packed, outputs * tail))]
    bits = [stream.row_bits(acc, columns, k, outputs) for columns in widths]
    looks = [
        expected_lookups(-(-columns // acc.codeword_length), acc.rom_banks, acc.rom_ports)
        if stream.universal
        else 0.0
        for columns in widths
    ]
    return [
        *(*shape.kernel, *shape.stride, *shape.padding, *shape.size, y.reach, x.reach, *shape.dilation),
        *(shape.out_h, shape.out_w, bool(shape.residual), shape.output_size, shape.line_bytes, *wide, *tall),
        *(
            shape.dynamic,
            False,
            *_pool_fields(shape),
            shape.outputs,
            outputs,
            shape.macs,
            needed_bytes(shape),
            0,
        ),
        *(parts, tail, inputs * packed, outputs * packed, inputs * tail, outputs * tail),
        *(stream.parts(acc), stream.unit(acc), stream.books, stream.universal, stream.diagonal, k),
        *(stream.scale_rows(acc), stream.scale_span(acc), *bits),
        *looks,
    ]


def _pool_fields(shape: ConvShape) -> tuple[int, ...]:
    """From pooled to least_rows."""
    rows = shape.written
    least = 1 if shape.pool is None else least_rows(shape.pool)
    return shape.pool is not None, len(rows), rows.start, rows.step, shape.merged, least


def needed_bytes(shape: ConvShape | PassShape) -> int:
    """Bytes of all maps of a layer in L2, both operands of a matrix product among them."""
    if isinstance(shape, PassShape):
        return shape.held_bytes + shape.ofmap_bytes
    ifmap = shape.unfolded.y.size * shape.line_bytes if shape.unfolded else shape.ifmap_bytes
    operands = shape.weights if shape.dynamic else 0
    residual = map_bytes(shape.outputs, shape.out_h * shape.out_w) if shape.residual else 0
    return ifmap + operands + residual + shape.ofmap_bytes


def pass_fields(shape: PassShape, lanes: int) -> tuple[int, ...]:
    """Of PASS, in its order."""
    return (
        *(shape.ifmap_bytes, shape.ofmap_bytes, shape.cycles(lanes), shape.results, shape.channels),
        *(lanes, needed_bytes(shape), shape.stored, shape.operands, shape.operand, shape.under),
    )
