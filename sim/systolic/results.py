"""What the systolic machine counts: causes of cycles, memories, and what a layer hands over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sim.accelerator import Accelerator
from sim.results import LayerCounts
from sim.shapes import Shape
from sim.systolic.schedule import spills

CAUSES = ("compute", "dram", "dma", "rom", "weight", "psum", "store", "ifmap", "vector", "control", "drain")
"""Every cycle has exactly one (docs/timing.md section 5)."""

MEMORIES = ("dram", "l2", "l1", "arf", "wrf", "prf", "crf", "rom")
"""Counted in 8-bit words, the PRF in psums (docs/timing.md section 8)."""

CONTROL_CYCLES = 4
STORER_STAGES = 9
PASS_STAGES = 13
"""Read from L1, alignment, subtraction and accumulation come before the storer's nine."""


class Handover(NamedTuple):
    """What a layer leaves to the next one, in cycles from that one's start (docs/timing.md section 7).

    Attributes:
        written, written_before: of the last row of the last two weight jobs.
        bank, bank_before: from which the WRF bank of the last chunk may be loaded, and the other one.
        dram: from which DRAM can read.
    """

    written: int = -1
    written_before: int = -1
    bank: int = 0
    bank_before: int = 0
    dram: int = 0

    def later(self, cycles: int) -> Handover:
        """The same times as seen `cycles` later; DRAM has no work before the second job from now."""
        times = [time - cycles for time in self]
        return Handover(times[0], times[1], times[2], times[3], max(times[4], times[1] + 1))


def expected_gated(
    layer: LayerCounts, activation_zeros: float, weight_zeros: float, pruned: float = 0.0
) -> LayerCounts:
    """The same counts with the expected number of gated multiplications.

    Args:
        activation_zeros, weight_zeros: shares of zeros among activations and stored weights, independent
            of one another: an assumption, where the engine counts the real operands.
        pruned: share of a dense array's multipliers whose weight a mask removes, 1 - N/M.
    """
    busy = (1 - activation_zeros) * (1 - weight_zeros) * (1 - pruned)
    return replace(layer, gated=round(layer.accesses["mac"] * (1 - busy)))


def with_output(
    layers: Sequence[LayerCounts], shape: Shape, accelerator: Accelerator
) -> tuple[LayerCounts, ...]:
    """Adds the DRAM traffic of the network's output to its last layer, unless that one spills anyway.

    Args:
        shape: of the last layer.
    """
    last = layers[-1]
    there = last.schedule.spills if last.schedule is not None else spills(shape, accelerator)
    output = 0 if there else shape.ofmap_bytes
    accesses = last.accesses | {"dram": last.accesses["dram"] + output, "l2": last.accesses["l2"] + output}
    return (*layers[:-1], replace(last, accesses=accesses))
