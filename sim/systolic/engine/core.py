"""One scheduled layer on the cycle engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.errors import InputError
from sim.formats import encoding
from sim.systolic.engine import kernel
from sim.systolic.program import Program
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES, Handover

_MODES = {
    "dense": kernel.DENSE,
    "split": kernel.SPLIT,
    "block": kernel.BLOCK,
    "vq": kernel.VQ,
    "mvq": kernel.MVQ,
    "ssvq": kernel.SSVQ,
    "rom": kernel.ROM,
}


@dataclass(frozen=True, eq=False)
class LayerRun:
    """What one layer did.

    Attributes:
        acc: int32 [batch, K, OH, OW], psums without bias.
        counters: by name, of the first image; `core_cycles` and the cycles by cause among them.
        handover: what the next layer finds, after the first image.
        rows, row_cycles: with `trace`, int32 [emitted, L] and int64 [emitted]: every psum row of
            the first image in emission order and the cycle in which it is visible.
    """

    acc: np.ndarray
    counters: dict[str, int]
    handover: Handover
    rows: np.ndarray
    row_cycles: np.ndarray


def run_program(
    program: Program,
    token_ifmap: np.ndarray,
    trace: bool = False,
    found: Handover | None = None,
    registers: bool = False,
    arbitrated: bool = False,
) -> LayerRun:
    """Runs a layer cycle by cycle.

    Args:
        program: from `sim.systolic.program.lower`.
        token_ifmap: int8 [batch, C', H', W'] from `sim.systolic.program.token_ifmap`.
        trace: record every emitted psum row (first image only).
        found: what the layer before left; None runs the core alone: weights and
            ifmap are there in time, and nothing follows.
        registers: clock every register of the array.
        arbitrated: DMA, psums and fetches share all banks of L1, first come by that priority, instead of
            owning a group each. There is no closed form of it.

    Raises:
        InputError: registers of an idealised array, which has other ones.
    """
    if registers and not program.schedule.accelerator.edge_registers:
        raise InputError(
            "edge_registers",
            False,
            "an idealised array has no registers to clock",
            "set edge_registers = true",
        )
    layer = program.schedule.shape
    x = np.ascontiguousarray(np.moveaxis(token_ifmap, 1, -1))
    acc = np.zeros((len(x), layer.out_h, layer.out_w, layer.outputs), np.int32)
    counters = np.zeros((len(x), len(kernel.COUNTERS)), np.int64)
    states = np.tile(np.array(found or Handover(), np.int64), (len(x), 1))
    columns = program.schedule.accelerator.columns
    emitted = int((program.chunks["pixels"] * program.chunks["a"]).sum()) if trace else 0
    rows, cycles = np.zeros((emitted, columns), np.int32), np.zeros(emitted, np.int64)
    parameters = _parameters(program, found is not None, registers, arbitrated)
    arguments = (
        parameters,
        program.chunks.view(np.recarray),
        program.visits.view(np.recarray),
        _flat(program.beats),
        _flat(program.codebook),
        _masks(program),
        program.rom,
    )
    if trace:
        kernel.run_core(*arguments, states[0], x[0], acc[0], rows, cycles, counters[0])
    else:
        kernel.run_batch(*arguments, states, x, acc, counters)
    named = dict(zip(kernel.COUNTERS, counters[0].tolist(), strict=True))
    return LayerRun(np.moveaxis(acc, -1, 1), named, Handover(*states[0].tolist()), rows, cycles)


def _flat(beats: np.ndarray) -> np.ndarray:
    return np.append(beats.ravel(), np.uint64(0))


def _masks(program: Program) -> np.ndarray:
    acc = program.schedule.accelerator
    if not program.schedule.stream.masks:
        return np.zeros(1, np.uint32)
    # The table is read-only, which Numba takes for another type and compiles everything again.
    return encoding.mask_table(acc.keep, acc.group).copy()


def _parameters(program: Program, memory: bool, registers: bool, arbitrated: bool) -> kernel.Parameters:
    schedule, layer = program.schedule, program.schedule.shape
    acc = schedule.accelerator
    coded = schedule.stream.coded
    return kernel.Parameters(
        rows=acc.rows,
        columns=acc.columns,
        tile_rows=acc.tile_rows,
        tile_columns=acc.tile_columns,
        registers=int(registers),
        latency=acc.latency,
        release=acc.release,
        registered=int(acc.edge_registers),
        port=acc.weight_port_bits,
        wrf_depth=acc.wrf_depth,
        overlap=int(schedule.overlap),
        mode=_MODES[schedule.format],
        d=acc.codeword_length,
        q=acc.multipliers_per_codeword,
        codes=acc.codeword_length // acc.group if schedule.stream.masks else 0,
        mask_bits=acc.mask_code_bits,
        group=acc.group,
        index_bits=encoding.index_bits(schedule.codewords) if coded else 0,
        codewords=schedule.codewords if coded else 0,
        rom_banks=acc.rom_banks,
        rom_ports=acc.rom_ports,
        block_inputs=layer.channels // layer.groups,
        block_outputs=layer.outputs // layer.groups,
        reuse=int(schedule.reuses),
        kernel_x=layer.kernel[1],
        stride_y=layer.stride[0],
        stride_x=layer.stride[1],
        dilation_y=layer.dilation[0],
        dilation_x=layer.dilation[1],
        pad_y=layer.padding[0],
        pad_x=layer.padding[1],
        height=layer.size[0],
        width=layer.size[1],
        psum_words=acc.psum_store_bits // 8,
        psum_ports=acc.psum_ports,
        pool=(acc.ifmap_banks + acc.psum_banks) * arbitrated,
        psum_row_words=-(-acc.columns * acc.psum_store_bits // 64),
        sparse=int(acc.sparse_tile),
        memory=int(memory),
        control=CONTROL_CYCLES if memory else 0,
        store_stages=STORER_STAGES,
        write_tail=acc.dma_setup + acc.l2_latency,
        ifmap_buffers=schedule.tiling.ifmap_buffers,
        ofmap_buffers=schedule.tiling.ofmap_buffers,
        dma_start=acc.dma_setup + acc.l2_latency,
        dma_bits=acc.dma_bits,
        dma_gap=acc.dma_burst_gap,
        dram_bits=acc.dram_bits,
        dram_latency=acc.dram_latency,
        dram_row=acc.dram_row_bytes,
        dram_row_cycles=acc.dram_row_cycles,
    )
