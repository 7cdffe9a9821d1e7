"""Counts of one layer: cycles by cause and accesses by memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.schedule import Schedule

CAUSES = ("compute", "weight", "ifmap", "psum", "store", "vector", "control", "drain")
"""Every cycle has exactly one (docs/timing.md section 5)."""

MEMORIES = ("dram", "l2", "l1", "arf", "wrf", "prf", "crf")
"""Counted in 8-bit words, the PRF in psums (docs/timing.md section 8)."""

CONTROL_CYCLES = 4
STORER_STAGES = 3


@dataclass(frozen=True)
class LayerCounts:
    """What one layer takes on one accelerator, for one image.

    Attributes:
        macs: dense-equivalent multiply-accumulates of the layer.
        cycles: by cause, every one of CAUSES.
        accesses: by MEMORIES, and `mac`, the physical multiplications.
        schedule: of a convolution; None for a pass.
        core_cycles: of the array core alone, which the RTL counts too; 0 for a pass.
    """

    name: str
    macs: int
    cycles: dict[str, int]
    accesses: dict[str, int]
    schedule: Schedule | None = None
    core_cycles: int = 0

    @property
    def total_cycles(self) -> int:
        return sum(self.cycles.values())


def with_network_io(
    layers: Sequence[LayerCounts], input_bytes: int, output_bytes: int
) -> tuple[LayerCounts, ...]:
    """Adds the DRAM traffic of the network's input and output to its first and last layer."""
    out = list(layers)
    for index, size in ((0, input_bytes), (-1, output_bytes)):
        layer = out[index]
        accesses = layer.accesses | {"dram": layer.accesses["dram"] + size,
                                     "l2": layer.accesses["l2"] + size}
        out[index] = replace(layer, accesses=accesses)
    return tuple(out)
