"""What a run moved beyond the core: L1 fills, L2 and DRAM (docs/timing.md sections 7 and 8)."""

from __future__ import annotations

import numpy as np
from numba import njit

from sim.accelerator import Accelerator
from sim.machine import LayerCounts
from sim.shapes import WORD, ConvShape, PassShape
from sim.systolic.program import Program
from sim.systolic.results import CAUSES, CONTROL_CYCLES, PASS_STAGES, Handover


def layer_counts(program: Program, shape: ConvShape, counters: dict[str, int]) -> LayerCounts:
    """Counts of a layer from the counters of its run."""
    schedule, chunks, visits = program.schedule, program.chunks, program.visits
    cycles = {cause: counters.get(cause, 0) for cause in CAUSES}
    maps = int(visits["dram_bytes"].sum())
    ifmap = int(visits["ifmap_bytes"].sum())
    residual = int(visits["residual_bytes"].sum())
    # Rows that the storer wrote into L1, and as many words of its residual operand.
    ofmap = WORD * int((chunks["pixels"].astype(np.int64) * chunks["write_words"]).sum())
    added = ofmap if shape.residual else 0
    dram = int(chunks["dram_bytes"].sum()) + maps
    l2 = counters["beats"] * schedule.accelerator.weight_port_bits // 8 + ifmap + residual + ofmap
    if schedule.spills:
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


def pass_counts(
    shape: PassShape, accelerator: Accelerator, source: str, found: Handover
) -> tuple[LayerCounts, Handover]:
    """Runs the vector unit's share of a pass, cycle by cycle; its values come from `engine.storer`."""
    acc = accelerator
    read, written = shape.ifmap_bytes, shape.ofmap_bytes
    start = acc.dma_setup + acc.l2_latency
    fills = read if source != "l1" else 0
    from_dram = read if source == "dram" else 0
    beats = -(-fills * 8 // acc.dma_bits)
    there = start + beats + (-(-beats // 16) - 1) * acc.dma_burst_gap if fills else 0
    transfer = -(-from_dram * 8 // acc.dram_bits) + -(-from_dram // acc.dram_row_bytes) * acc.dram_row_cycles
    dram = max(found.dram, 0) + transfer if from_dram else found.dram
    dram_there = dram + acc.dram_latency + start if from_dram else 0
    spent = np.zeros(len(_PASS_CAUSES), np.int64)
    pixels, groups = shape.batches(acc.requant_lanes)
    batches = np.array([-(-8 * WORD * group // acc.dma_bits) for group in groups], np.int64)
    end = _run_pass(shape.cycles(acc.requant_lanes), there, dram_there, pixels, batches, start, spent)
    cycles = dict.fromkeys(CAUSES, 0) | dict(zip(_PASS_CAUSES, spent.tolist(), strict=True))
    spilled = from_dram + (written if read + written > acc.map_bytes else 0)
    accesses = dict.fromkeys(("arf", "wrf", "prf", "crf", "rom", "mac"), 0)
    accesses |= {"dram": spilled, "l2": spilled + fills + written, "l1": fills + read + 2 * written}
    left = found._replace(dram=dram).later(end)
    return LayerCounts(shape.name, 0, cycles, accesses), left


_PASS_CAUSES = ("control", "vector", "dma", "dram", "drain")


@njit(cache=True)
def _run_pass(work, there, dram_there, pixels, beats, tail, spent):
    """One cycle after another: lanes work, operands arrive, batches of results leave."""
    batches = pixels * len(beats)
    worked = complete = 0
    sent = 0  # when the last batch so far has left
    t = 0
    while True:
        if t < CONTROL_CYCLES:
            spent[0] += 1
        elif worked < work:
            worked += 1
            spent[1] += 1
        elif t < there:
            spent[2] += 1
        elif t < dram_there:
            spent[3] += 1
        elif complete == batches:
            spent[4] += 1
            if t == sent + tail - 1:
                return t + 1
        finished = worked == work and t + 1 >= max(there, dram_there)
        while complete < batches and (
            finished or (complete < batches - 1 and worked * batches >= (complete + 1) * work)
        ):
            sent = max(sent, t + PASS_STAGES) + beats[complete % len(beats)]
            complete += 1
        t += 1
