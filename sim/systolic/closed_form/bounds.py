"""What the closed form says at least of many schedules at once: for branch and bound in the mapping search.

Accesses are in `accesses`, beside the exact ones. The cycles are the largest demand on one resource; what
`recurrence` says of each is named.
"""

from __future__ import annotations

import numpy as np

from sim.shapes import WORD, ConvShape
from sim.systolic.candidates import Space
from sim.systolic.closed_form import demands
from sim.systolic.closed_form.accesses import (
    MapBytes,
    WeightBytes,
    least_accesses,
    least_map_bytes,
    least_weight_bytes,
    stored_bytes,
)
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES
from sim.technology import off_chip


def least_counts(space: Space, shape: ConvShape) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cycles and accesses by memory of every candidate are at least these.

    Args:
        space: of one candidate or more.
        shape: the layer itself, not folded.
    """
    maps, weights = least_map_bytes(space), least_weight_bytes(space)
    acc = space.base.accelerator
    slots = _slots(space)
    cycles = np.maximum(np.maximum(_first_tile(space, maps), CONTROL_CYCLES) + slots, _loading(space))
    cycles = np.maximum(cycles, _transfers(space, maps))
    cycles = np.maximum(cycles, shape.ofmap_bytes * 8 // acc.dma_bits)
    cycles = np.maximum(cycles, _dram(space, maps, weights))
    return cycles + _behind(space), least_accesses(space, shape, maps, weights)


def _rows_out(space: Space) -> int:
    """Psum rows that leave the array."""
    one, layer = space.base, space.base.shape
    return layer.out_h * layer.out_w * one.parts * one.output_groups


def _tokens(space: Space) -> int:
    """Cycles of the array itself; exactly as many (`Chunk.tokens`)."""
    one = space.base
    return _rows_out(space) * one.channel_groups * one.positions * one.split


def _slots(space: Space) -> np.ndarray:
    """Slots (`_Layer._slot`): tokens, the psum ports, or the storer's lanes."""
    one = space.base
    psums = _rows_out(space) * one.psum_cycles(1) * (space.chunks - 1) * (3 - one.accelerator.psum_ports)
    return np.maximum(np.maximum(_tokens(space), psums), _rows_out(space) * one.store_cycles(1))


def _loading(space: Space) -> np.ndarray:
    """Weight jobs (`demands.load_cycles`, `_Layer._load`): a beat, and a row of the WRF, a cycle at most; in
    turn with computing, after the chunk before has left.
    """
    one, acc = space.base, space.base.accelerator
    channels = one.channels * max(1, one.parts - 1)  # of full parts
    rows = space.tiles * channels * one.positions * one.split * one.output_groups
    loads = np.maximum(space.tiles * (stored_bytes(one) * 8 // acc.weight_port_bits), rows)
    jobs = space.tiles * space.trips_i * space.chunks * one.parts
    in_turn = (jobs - 1) * (acc.release + acc.loader_stages - 1)
    return np.where(space.overlap, loads, _tokens(space) + loads + in_turn)


def _behind(space: Space) -> int:
    """From the last token to the end of the layer (`_Layer._finish`)."""
    acc = space.base.accelerator
    return acc.latency + STORER_STAGES + acc.dma_setup + acc.l2_latency


def with_codebook(
    space: Space, cycles: np.ndarray, accesses: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """`least_counts`, and what all candidates have in common: the codebook, behind which all weights come."""
    one, acc = space.base, space.base.accelerator
    if not one.loads_codebook:
        return cycles, accesses
    size = demands.codebook_beats(one) * acc.weight_port_bits // 8
    memory = off_chip(acc)
    rows = -(-size // memory.row_bytes)
    there = memory.latency + size * 8 // memory.bits + rows * memory.row_cycles
    first = there + demands.load_cycles([(one.codewords, 8 * acc.codeword_length)], one)
    cycles = np.maximum(cycles, first + np.maximum(_slots(space), _loading(space)) + _behind(space))
    return cycles, accesses | {"dram": accesses["dram"] + size, "l2": accesses["l2"] + 2 * size}


def _first_tile(space: Space, maps: MapBytes) -> np.ndarray:
    """The first tile comes before the first token, every tile does where L1 holds only one
    (`_Layer._open`).
    """
    one, layer, acc = space.base, space.base.shape, space.base.accelerator
    reach = (space.rows - 1) * layer.stride[0] + (layer.kernel[0] - 1) * layer.dilation[0] + 1
    channels = np.where(space.split, np.minimum(one.channels, space.B * acc.rows), one.channels)
    line = WORD * len(one.tile_ifmap(0)[1]) * -(-channels // WORD)
    first = np.minimum(reach - layer.padding[0], layer.size[0]) * line * 8 // acc.dma_bits
    most, _ = space.ifmap_words()
    lines = np.minimum(reach, layer.size[0])
    single = 2 * WORD * lines * one.tiling.ifmap_tile_columns * most > acc.ifmap_bytes
    exposed = np.where(single, _transfers(space, maps), first)
    return np.where(space.resident, 0, acc.dma_setup + acc.l2_latency + exposed)


def _transfers(space: Space, maps: MapBytes) -> np.ndarray:
    """Beats of all tiles by DMA (`demands.visit`)."""
    return (maps.ifmap + maps.residual) * 8 // space.base.accelerator.dma_bits


def _dram(space: Space, maps: MapBytes, weights: WeightBytes) -> np.ndarray:
    """Transfers from DRAM (`_Layer._transfer`)."""
    memory = off_chip(space.base.accelerator)
    read = maps.dram + weights.dram
    return read * 8 // memory.bits + read // memory.row_bytes * memory.row_cycles
