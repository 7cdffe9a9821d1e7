"""What a run moved beyond the core: L1 fills, L2 and DRAM, summed tile by tile (docs/timing.md 7, 8)."""

from __future__ import annotations

import numpy as np

from sim.program import Program
from sim.results import CAUSES, CONTROL_CYCLES, STORER_STAGES, LayerCounts
from sim.shapes import ConvShape


def layer_counts(program: Program, shape: ConvShape, counters: dict[str, int]) -> LayerCounts:
    """Counts of a layer from the counters of its run."""
    schedule, chunks = program.schedule, program.chunks
    layer, acc = schedule.shape, schedule.accelerator
    cycles = {cause: counters.get(cause, 0) for cause in CAUSES}
    cycles["control"] = CONTROL_CYCLES
    cycles["drain"] += STORER_STAGES + int(chunks["store"][-1])

    stream = program.beats.nbytes + program.codebook.nbytes
    ifmap = 0
    for first in np.unique(chunks["tile"]):
        rows = np.arange(first, min(first + schedule.tile_rows, layer.out_h)) * layer.stride[0]
        touched = rows[:, None] - layer.padding[0] + np.arange(layer.kernel[0])
        low, high = max(touched.min(), 0), min(touched.max() + 1, layer.size[0])
        ifmap += max(int(high - low), 0) * layer.size[1] * layer.channels
    ofmap = shape.outputs * shape.out_h * shape.out_w
    residual = ofmap if shape.residual else 0
    dram = stream
    l2 = stream + counters["beats"] * acc.weight_port_bits // 8 + ifmap + residual + ofmap
    if shape.ifmap_bytes + ofmap > acc.l2_bytes:
        dram += shape.ifmap_bytes + ofmap
        l2 += shape.ifmap_bytes + ofmap
    l1 = ifmap + residual + ofmap  # filled by DMA, or emptied by it
    l1 += counters["l1_ifmap_read"] + residual + ofmap  # the core's side
    l1 += counters["l1_psum_read"] + counters["l1_psum_write"]
    accesses = {"dram": dram, "l2": l2, "l1": l1, "mac": counters["mac"]}
    for memory in ("arf", "wrf", "prf", "crf"):
        accesses[memory] = counters[f"{memory}_read"] + counters[f"{memory}_write"]
    return LayerCounts(shape.name, shape.macs, cycles, accesses, schedule, counters["core_cycles"])
