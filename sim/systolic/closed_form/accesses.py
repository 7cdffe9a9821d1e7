"""Accesses of a convolution in closed form, exact for a schedule and at least for the boxes of a search.

Formulas over shapes (docs/timing.md sections 6 and 8), never a loop over pixels. The bound of each resource
stands beside its exact count. Written from the page, sharing nothing with the engine but the Schedule.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sim.shapes import WORD, ConvShape
from sim.systolic.schedule import Schedule
from sim.systolic.tiling import swept

Count = Any
"""An int of a schedule, or int64 [n] of the boxes of a search."""


class MapBytes(NamedTuple):
    """Bytes of ifmap tiles (halos included) and of residual tiles brought into L1, and of both from DRAM."""

    ifmap: Count
    residual: Count
    dram: Count


class WeightBytes(NamedTuple):
    """Bytes of the weight stream that the weight port accepts, and those of them that DRAM delivers."""

    streamed: Count
    dram: Count


# ---- all of a layer


def layer_accesses(schedule: Schedule, shape: ConvShape, weights: WeightBytes) -> dict[str, int]:
    """Accesses of a convolution by memory (docs/timing.md section 8), and `mac`."""
    return _by_memory(schedule, shape, core_counts(schedule), map_bytes(schedule), weights)


def least_accesses(
    one: Schedule,
    shape: ConvShape,
    base: dict[str, int],
    factors: np.ndarray,
    boxes: np.ndarray,
    tiles: np.ndarray,
    maps: MapBytes,
    weights: WeightBytes,
) -> dict[str, np.ndarray]:
    """What `layer_accesses` are at least, of all schedules of boxes; but for maps and weights exact for a single one.

    Args:
        one: a schedule of the layer as the array sees it.
        base: its `core_counts`.
        factors, boxes: of the search space (`candidates.FACTORS`, `candidates.BOX`), [n] each.
        tiles: of the schedules of a box, at least.
    """
    trips_i = -(-one.output_groups // factors["A"])
    chunks = -(-one.channel_groups // factors["B"]) * -(-one.positions // factors["D"])
    words = one.accelerator.psum_store_bits // 8
    stored = shape.outputs * shape.out_h * shape.out_w * (chunks - 1) * words
    widths = np.where(boxes["columns"] == boxes["low_columns"], boxes["columns"], shape.out_w)
    keys, which = np.unique(factors["D"] * (shape.out_w + 1) + widths, return_inverse=True)
    pairs = [divmod(key, shape.out_w + 1) for key in keys.tolist()]
    found = [ifmap_reads(one.shape, D, one.reuses, width) for D, width in pairs]
    reads, new = np.array(found, np.int64)[which].T
    vectors = one.shape.channels * trips_i
    core = base | {"l1_psum_read": stored, "l1_psum_write": stored}
    core |= {"arf_read": vectors * reads, "arf_write": vectors * new, "l1_ifmap_read": vectors * new}
    core |= {name: base[name] // one.tiles * tiles for name in ("wrf_write", "crf_read")}
    return _by_memory(one, shape, core, maps, weights)


def _by_memory(
    schedule: Schedule, shape: ConvShape, core: dict[str, Count], maps: MapBytes, weights: WeightBytes
) -> dict[str, Count]:
    """Accesses by memory of a layer, whose ofmap is the same in every schedule."""
    line = WORD * shape.out_w * schedule.tiling.ofmap_words
    ofmap = len(shape.written) * line
    added = ofmap if shape.residual else shape.merged * line
    ofmap_dram = shape.ofmap_bytes if schedule.spills else 0
    into_l1 = maps.ifmap + maps.residual
    psums = core["l1_psum_read"] + core["l1_psum_write"]
    return {
        "dram": weights.dram + maps.dram + ofmap_dram,
        "l2": weights.dram + weights.streamed + maps.dram + into_l1 + ofmap + ofmap_dram,
        "l1": into_l1 + core["l1_ifmap_read"] + psums + 2 * ofmap + added,
        "arf": core["arf_read"] + core["arf_write"],
        "wrf": core["wrf_read"] + core["wrf_write"],
        "prf": core["prf_read"] + core["prf_write"],
        "crf": (core["crf_read"] + core["crf_write"]) * (not schedule.stream.universal),
        "rom": core["crf_read"] * schedule.stream.universal,
        "mac": core["mac"],
    }


# ---- the core


def core_counts(schedule: Schedule) -> dict[str, int]:
    """Every access counter of the core (docs/timing.md sections 6 and 8), by the engine's names."""
    counts = _part_counts(schedule, *schedule.part_of(schedule.parts - 1))
    if schedule.parts > 1:
        full = _part_counts(schedule, *schedule.part_of(0))
        counts = {name: (schedule.parts - 1) * full[name] + counts[name] for name in full}
    codebook = schedule.codewords * schedule.accelerator.codeword_length
    counts["crf_write"] = codebook * schedule.loads_codebook
    return counts


def _part_counts(schedule: Schedule, channels: int, outputs: int) -> dict[str, int]:
    layer, acc = schedule.shape, schedule.accelerator
    pixels = layer.out_h * layer.out_w
    trips_i, trips_j, trips_k = schedule.trips
    taps = schedule.positions * schedule.split
    groups, channel_groups = -(-outputs // acc.columns), -(-channels // acc.rows)
    d, q = acc.codeword_length, acc.multipliers_per_codeword
    unit = schedule.stream.unit(acc)
    records = -(-outputs // d)  # of all output groups: where there are records, d divides the columns
    # Multipliers that the rows of all output groups use, and weights they store: whole records but for dense.
    used = records * q if acc.sparse_tile else outputs
    kept = used if acc.sparse_tile else -(-outputs // unit) * unit
    if schedule.stream.diagonal:
        used = kept = layer.outputs // layer.groups
    words = acc.psum_store_bits // 8
    reads, new = ifmap_reads(layer, schedule.D, schedule.reuses, schedule.tile_width)
    spilled = pixels * (trips_j * trips_k - 1)
    return {
        "tokens": pixels * groups * channel_groups * taps,
        "vectors": pixels * trips_i * channel_groups * schedule.positions,
        "wrf_rows": schedule.tiles * channels * taps * groups,
        "psum_rows_read": groups * spilled,
        "psum_rows_written": groups * spilled,
        "finished_rows": pixels * groups,
        "mac": pixels * channels * taps * used,
        "wrf_read": pixels * channels * taps * used,
        "wrf_write": schedule.tiles * channels * taps * kept,
        "arf_read": trips_i * channels * reads,
        "arf_write": trips_i * channels * new,
        "l1_ifmap_read": trips_i * channels * new,
        "prf_read": pixels * channel_groups * taps * outputs,
        "prf_write": pixels * channel_groups * taps * outputs,
        "crf_read": schedule.tiles * channels * schedule.positions * records * d * schedule.stream.books,
        "l1_psum_read": outputs * spilled * words,
        "l1_psum_write": outputs * spilled * words,
    }


def _inside(low: int, high: int, offset: int, stride: int, size: int) -> int:
    """How many o in low..high-1 have 0 <= o*stride + offset < size."""
    first = max(low, -(offset // stride))  # ceil(-offset / stride)
    last = min(high - 1, (size - 1 - offset) // stride)
    return max(0, last - first + 1)


@lru_cache(maxsize=1024)
def ifmap_reads(layer: ConvShape, resident: int, reuses: bool, width: int) -> tuple[int, int]:
    """Unpadded (pixel, position) pairs: all of them, and those that a fetch must deliver.

    Args:
        resident: D, kernel positions at a time.
        reuses: the ARF keeps a sliding window.
        width: output columns of a strip, at whose left edge a window begins anew.
    """
    (_, kx), (sy, sx), (py, px) = layer.kernel, layer.stride, layer.padding
    positions = layer.kernel[0] * kx
    reads = new = 0
    for position in range(positions):
        y, x = divmod(position, kx)
        in_rows = _inside(0, layer.out_h, y * layer.dilation[0] - py, sy, layer.size[0])
        offset = x * layer.dilation[1] - px
        first = sum(
            _inside(left, left + 1, offset, sx, layer.size[1]) for left in range(0, layer.out_w, width)
        )
        others = _inside(0, layer.out_w, offset, sx, layer.size[1]) - first
        reads += in_rows * (first + others)
        # The last resident position of this kernel row; closer than a stride to it is new.
        end = min((position // resident + 1) * resident, (y + 1) * kx, positions)
        fresh = not reuses or position + sx >= end
        new += in_rows * (first + others * fresh)
    return reads, new


# ---- maps


def map_bytes(schedule: Schedule) -> MapBytes:
    layer, tiling = schedule.shape, schedule.tiling
    lines = schedule.ifmap_sweeps * swept(layer.axes[0], layer.out_h, schedule.tile_rows)
    line = WORD * tiling.ifmap_columns * tiling.ifmap_words(tiling.tile_channels)[1]
    residual = WORD * layer.out_h * layer.out_w * tiling.residual_words(tiling.tile_outputs)[1]
    return MapBytes(
        0 if schedule.source == "l1" else lines * line,
        residual,
        tiling.dram_bytes(lines * line) + residual if schedule.source == "dram" else 0,
    )
