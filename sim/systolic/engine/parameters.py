"""Integers of a run of the cycle engine: of the machine, the schedule and the layer."""

from __future__ import annotations

from typing import NamedTuple

from numba import get_num_threads

from sim.accelerator import Accelerator
from sim.systolic.engine.decoding import Mode
from sim.systolic.program import Program
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES
from sim.technology import off_chip


class Parameters(NamedTuple):
    """Integers of a run. With `memory` 0 the core runs alone: its weights and ifmap are there in time."""

    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    registers: int  # clock every register of the array
    threads: int  # processors that share a product
    operand_stages: int  # from the issue of a token to the request of its vector
    latency: int
    release: int
    write_delay: int  # cycles from the look-up of a row to its write
    port: int
    buffer_room: int  # bits in the loader's buffer with which it takes one more beat
    wrf_depth: int
    banks: int  # of the WRF: 2 where loading overlaps computing
    mode: int
    d: int
    q: int
    codes: int
    mask_bits: int
    group: int
    eights: int  # rows, codewords and masks are whole 64-bit words
    record_bits: int  # or of a weight
    books: int  # codebooks that a record reads
    index_bits: int
    scale_rows: int  # before the rows of so many channels:
    scale_span: int
    codewords: int
    rom_banks: int
    rom_ports: int
    block_inputs: int
    block_outputs: int
    outputs: int  # of the layer
    ofmap_width: int
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
    write_first: int  # output row
    write_step: int
    dma_start: int
    dma_bits: int
    dma_gap: int
    dram_bits: int
    dram_latency: int
    dram_row: int
    dram_row_cycles: int


def _buffer_bits(acc: Accelerator) -> int:
    """Capacity of the loader's buffer (docs/timing.md section 3)."""
    form, port = acc.weights, acc.weight_port_bits
    widest = 8 * acc.columns // acc.split
    narrowest = 8
    if acc.coded:
        records = acc.columns // acc.codeword_length * acc.record_bits(acc.codebook_entries)
        widest = max(widest, records, 8 * acc.codeword_length)
        narrowest = min(8, acc.record_bits(2))
    rows = acc.rows + form.scale_rows(acc) * (acc.rows // form.scale_span(acc))
    gains = (acc.dataflow == "ews" or form.universal) and widest > port
    needed = (rows * (port - narrowest) if gains else 0) + 2 * widest + 3 * port
    line = port << (-(-widest // port) - 1).bit_length()
    return max(2 * line, 1 << (needed - 1).bit_length())


def parameters(program: Program, memory: bool, registers: bool, arbitrated: bool) -> Parameters:
    schedule, layer = program.schedule, program.schedule.shape
    acc = schedule.accelerator
    dram = off_chip(acc)
    stream = schedule.stream
    return Parameters(
        rows=acc.rows,
        columns=acc.columns,
        tile_rows=acc.tile_rows,
        tile_columns=acc.tile_columns,
        registers=int(registers),
        threads=get_num_threads(),
        operand_stages=acc.operand_stages,
        latency=acc.latency,
        release=acc.release,
        write_delay=max(0, acc.loader_stages - 1),
        port=acc.weight_port_bits,
        buffer_room=_buffer_bits(acc) - 2 * acc.weight_port_bits,
        wrf_depth=acc.wrf_depth,
        banks=2 if schedule.overlap else 1,
        mode=int(Mode[schedule.format.upper()]),  # Numba is slow to tell the type of an enumeration
        d=acc.codeword_length,
        q=acc.multipliers_per_codeword,
        codes=acc.codeword_length // acc.group if stream.masks else 0,
        mask_bits=acc.mask_code_bits,
        group=acc.group,
        eights=int(not any(n % 8 for n in (acc.columns, acc.codeword_length, acc.group))),
        record_bits=stream.unit_bits(acc, schedule.codewords),
        books=stream.books,
        index_bits=stream.index_bits(schedule.codewords),
        scale_rows=stream.scale_rows(acc),
        scale_span=stream.scale_span(acc),
        codewords=schedule.codewords if stream.books else 0,
        rom_banks=acc.rom_banks,
        rom_ports=acc.rom_ports,
        block_inputs=layer.channels // layer.groups,
        block_outputs=layer.outputs // layer.groups,
        outputs=layer.outputs,
        ofmap_width=layer.out_w,
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
        write_first=layer.written.start,
        write_step=layer.written.step,
        dma_start=acc.dma_setup + acc.l2_latency,
        dma_bits=acc.dma_bits,
        dma_gap=acc.dma_burst_gap,
        dram_bits=dram.bits,
        dram_latency=dram.latency,
        dram_row=dram.row_bytes,
        dram_row_cycles=dram.row_cycles,
    )
