"""Packets of the weight loader, and the weights they name."""

from __future__ import annotations

import numpy as np

from rtl import packets
from rtl.compiler.memory import Memory
from rtl.compiler.packing import of_chunk, pack
from rtl.geometry import Geometry
from sim.systolic.program import Program

_SAME = (*packets.EXTENTS, "rows", "rows_tail", "row_bits", "row_bits_tail", "beats")
"""Fields that a chunk has too."""


def jobs(name: str, program: Program, memory: Memory) -> list[np.ndarray]:
    """Places the weights of a layer in memory and returns its packets: codebook, then every chunk.

    The codebook comes from DRAM with the first chunk, whose job waits for nothing more then.
    """
    schedule = program.schedule
    geometry = Geometry(schedule.accelerator)
    layout = packets.job(geometry)
    coded = schedule.stream.coded
    weights = memory.place(program.beats.ravel())
    shared = {"serial": int(not schedule.overlap), "raw": int(not coded)}
    if coded:
        shared["index_bits"] = schedule.stream.index_bits(schedule.codewords)
    if schedule.stream.diagonal:
        layer = schedule.shape
        shared |= {
            "diagonal": 1,
            "block_inputs": layer.channels // layer.groups,
            "block_outputs": layer.outputs // layer.groups,
        }
    found = []
    if schedule.loads_codebook:
        found.append(
            pack(
                name,
                "job",
                layout,
                {
                    "codebook": 1,
                    "serial": shared["serial"],
                    "wait": program.chunks[0]["dram_bytes"] > 0,
                    "entries": schedule.codewords,
                    "beats": len(program.codebook),
                    "address": memory.place(program.codebook.ravel()),
                },
            )
        )
    waited = bool(found)
    beat_bytes = schedule.accelerator.weight_port_bits // 8
    for chunk in program.chunks:
        found.append(
            pack(
                name,
                "job",
                layout,
                shared
                | of_chunk(chunk, _SAME)
                | {
                    "wait": chunk["dram_bytes"] > 0 and not waited,
                    "address": weights + int(chunk["beat"]) * beat_bytes,
                },
            )
        )
        waited = False
    return found
