"""What a run moved beyond the core: L1 fills, L2 and DRAM (docs/timing.md sections 7 and 8)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from sim.accelerator import Accelerator
from sim.kept import kept
from sim.results import LayerCounts
from sim.shapes import WORD, ConvShape, PassShape
from sim.systolic.program import Program
from sim.systolic.results import CAUSES, CONTROL_CYCLES, PASS_STAGES, Handover
from sim.technology import off_chip


def layer_counts(program: Program, shape: ConvShape, counters: dict[str, int]) -> LayerCounts:
    """Counts of a layer from the counters of its run."""
    schedule, chunks, visits = program.schedule, program.chunks, program.visits
    cycles = {cause: counters.get(cause, 0) for cause in CAUSES}
    maps = int(visits["dram_bytes"].sum())
    ifmap = int(visits["ifmap_bytes"].sum())
    residual = int(visits["residual_bytes"].sum())
    # Rows that the storer wrote into L1, and as many words of its residual operand.
    pixels = chunks["pixels"].astype(np.int64)
    rows = _pooled_rows(shape)
    ofmap = WORD * int((pixels * chunks["write_words"]).sum()) * rows.written // shape.out_h
    added = ofmap if shape.residual else ofmap // rows.written * rows.kept
    dram = int(chunks["dram_bytes"].sum()) + maps
    l2 = counters["beats"] * schedule.accelerator.weight_port_bits // 8 + ifmap + residual + ofmap
    if schedule.spills and not program.l2_holds_all:
        dram += shape.ofmap_bytes
    l2 += dram  # what DRAM delivers is written, what it takes is read
    l1 = ifmap + residual + ofmap  # filled by DMA, or emptied by it
    l1 += counters["l1_ifmap_read"] + added + ofmap  # the core's side
    l1 += counters["l1_psum_read"] + counters["l1_psum_write"]
    accesses = {"dram": dram, "l2": l2, "l1": l1, "crf": 0, "rom": 0, "mac": counters["mac"]}
    for memory in ("arf", "wrf", "prf"):
        accesses[memory] = counters[f"{memory}_read"] + counters[f"{memory}_write"]
    accesses[schedule.stream.memory] = counters["crf_read"] + counters["crf_write"]
    return LayerCounts(shape.name, shape.macs, cycles, accesses, schedule, counters["gated"])


class _PooledRows(NamedTuple):
    """Output rows that leave the storer, and those that go into the line that it keeps or come from there."""

    written: int
    kept: int


def _pooled_rows(shape: ConvShape) -> _PooledRows:
    """Row after row, by the windows that each one lies in."""
    if shape.pool is None:
        return _PooledRows(shape.out_h, 0)
    _, reach, stride, padding = shape.pool
    written = kept = 0
    for y in range(shape.out_h):
        near = range(max(0, (y + padding - reach) // stride), (y + padding) // stride + 1)
        begins = [
            w * stride - padding for w in near if w * stride - padding <= y < w * stride - padding + reach
        ]
        ended = sum(begin + reach - 1 == y for begin in begins)
        written += ended
        kept += any(max(begin, 0) < y for begin in begins) + (len(begins) > ended)
    return _PooledRows(written, kept)


class PassTimes(NamedTuple):
    """When a pass was at work in each unit, first cycle and the one after the last; both 0 where it was not."""

    vector: tuple[int, int]
    dram: tuple[int, int]
    tile: tuple[int, int]
    sent: tuple[int, int]


def pass_counts(
    shape: PassShape, accelerator: Accelerator, source: str, found: Handover
) -> tuple[LayerCounts, Handover, PassTimes]:
    """Runs the vector unit's share of a pass, cycle by cycle; its values come from `engine.storer`."""
    acc = accelerator
    read, written = shape.ifmap_bytes, shape.ofmap_bytes
    start = acc.dma_setup + acc.l2_latency
    once = shape.operand > 0 and shape.under <= acc.ifmap_bytes  # windows find their lines in L1
    fills = 0 if source == "l1" else shape.operand if once else read
    from_dram = fills if source == "dram" else 0
    beats = -(-fills * 8 // acc.dma_bits)
    there = start + beats + (-(-beats // 16) - 1) * acc.dma_burst_gap if fills else 0
    memory = off_chip(acc)
    transfer = -(-from_dram * 8 // memory.bits) + -(-from_dram // memory.row_bytes) * memory.row_cycles
    dram = max(found.dram, 0) + transfer if from_dram else found.dram
    dram_there = dram + memory.latency + start if from_dram else 0
    spent = np.zeros(len(_Cause), np.int64)
    pixels, groups = shape.batches(acc.requant_lanes)
    batches = np.array([-(-8 * WORD * group // acc.dma_bits) for group in groups], np.int64)
    work = _Work(
        control=CONTROL_CYCLES,
        lanes=shape.cycles(acc.requant_lanes),
        stages=PASS_STAGES,
        there=there,
        dram_there=dram_there,
        pixels=pixels,
        tail=start,
    )
    sent = np.zeros(2, np.int64)
    end = _run_pass(work, batches, spent, sent)
    cycles = dict.fromkeys(CAUSES, 0) | {cause.name.lower(): int(spent[cause]) for cause in _Cause}
    spilled = from_dram + (written if (shape.operand or read) + written > acc.map_bytes else 0)
    accesses = dict.fromkeys(("arf", "wrf", "prf", "crf", "rom", "mac"), 0)
    accesses |= {"dram": spilled, "l2": spilled + fills + written, "l1": fills + read + 2 * written}
    left = found._replace(dram=dram).later(end)
    times = PassTimes(
        vector=(CONTROL_CYCLES, CONTROL_CYCLES + work.lanes),
        dram=(dram - transfer, dram) if from_dram else (0, 0),
        tile=(0, there),
        sent=(int(sent[0]), int(sent[1])),
    )
    return LayerCounts(shape.name, 0, cycles, accesses), left, times


class _Cause(IntEnum):
    """What a cycle of a pass goes to."""

    CONTROL = 0
    VECTOR = 1
    DMA = 2
    DRAM = 3
    DRAIN = 4


class _Work(NamedTuple):
    """A pass, in cycles.

    Attributes:
        control: before it begins.
        lanes, stages: for which the lanes work, and after which a result is in L1.
        there, dram_there: when the last operand has come by DMA, and from DRAM.
        pixels: with a batch of results for each of some channel groups.
        tail: from the last beat of a batch until it is in L2.
    """

    control: int
    lanes: int
    stages: int
    there: int
    dram_there: int
    pixels: int
    tail: int


@kept()
def _run_pass(work, beats, spent, way):
    """One cycle after another: lanes work, operands arrive, batches of results leave.

    Args:
        work: _Work.
        beats: int64 [groups], DMA beats of a pixel's batch of each channel group.
        spent: int64 [len(_Cause)], receives the cycles.
        way: int64 [2], receives when the first batch leaves L1, and when the last one has left.

    Returns:
        Cycles of the pass.
    """
    batches = work.pixels * len(beats)
    worked = complete = 0
    sent = 0  # when the last batch so far has left
    t = 0
    while True:
        if t < work.control:
            spent[_Cause.CONTROL] += 1
        elif worked < work.lanes:
            worked += 1
            spent[_Cause.VECTOR] += 1
        elif t < work.there:
            spent[_Cause.DMA] += 1
        elif t < work.dram_there:
            spent[_Cause.DRAM] += 1
        elif complete == batches:
            spent[_Cause.DRAIN] += 1
            if t == sent + work.tail - 1:
                return t + 1
        finished = worked == work.lanes and t + 1 >= max(work.there, work.dram_there)
        while complete < batches and (
            finished or (complete < batches - 1 and worked * batches >= (complete + 1) * work.lanes)
        ):
            if complete == 0:
                way[0] = t + work.stages
            sent = max(sent, t + work.stages) + beats[complete % len(beats)]
            way[1] = sent
            complete += 1
        t += 1
