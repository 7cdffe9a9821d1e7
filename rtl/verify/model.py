"""What the counters of the RTL have to show: causes from the engine, events from docs/timing.md section 6."""

from __future__ import annotations

import numpy as np

from rtl.compiler import Layer
from sim.results import LayerCounts

AHEAD = ("wrf_rows", "beats")
"""Counters of the weight loader, which runs into the next layer."""


def counters(layer: Layer, counts: LayerCounts) -> dict[str, int]:
    """Every counter of one layer by name. DRAM is no cause of its own to the RTL, which sees a miss only."""
    cycles = dict(counts.cycles)
    cycles["dma"] += cycles.pop("dram")
    return {"cycles": counts.total_cycles} | cycles | _events(layer)


def _events(layer: Layer) -> dict[str, int]:
    if layer.program is None:
        return dict.fromkeys(("vectors", *AHEAD, "psum_rows_read", "psum_rows_written", "finished_rows"), 0)
    program = layer.program
    names = ("pixels", "A", "B", "U", "D", "rows", "rows_tail", "beats", "first", "last")
    chunks = {name: program.chunks[name].astype(np.int64) for name in names}
    rows = chunks["pixels"] * chunks["A"]
    channels = (chunks["B"] - 1) * chunks["rows"] + chunks["rows_tail"]
    return {
        "vectors": int((chunks["pixels"] * chunks["B"] * chunks["D"]).sum()),
        "wrf_rows": int((chunks["A"] * chunks["U"] * chunks["D"] * channels).sum()),
        "beats": int(chunks["beats"].sum()) + len(program.codebook),
        "psum_rows_read": int((rows * (1 - chunks["first"])).sum()),
        "psum_rows_written": int((rows * (1 - chunks["last"])).sum()),
        "finished_rows": int((rows * chunks["last"]).sum()),
    }
