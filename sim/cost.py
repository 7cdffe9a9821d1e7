"""Counts x coefficients = energy, area, time.

Energy covers memory accesses and multiplications, as MVQ counts them (Table 8): no leakage, no
clock tree, no control, and no saving from gating zero operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.accelerator import Accelerator
from sim.results import CAUSES, LayerCounts
from sim.technology import Area, Technology


@dataclass(frozen=True)
class Cost:
    """What one inference costs.

    Attributes:
        macs: dense-equivalent multiply-accumulates.
        multiplications: physical ones.
        cycles: total; stall_cycles: those of every cause but compute.
        energy_pj: by component.
        area_mm2: by component.
        peak_tops: dense-equivalent, 2 H L f.
        utilization: macs / (H L cycles), dense-equivalent.
    """

    macs: int
    multiplications: int
    cycles: int
    stall_cycles: dict[str, int]
    energy_pj: dict[str, float]
    area_mm2: dict[str, Area]
    time_s: float
    peak_tops: float
    utilization: float

    @property
    def total_pj(self) -> float:
        return sum(self.energy_pj.values())

    @property
    def total_without_dram_pj(self) -> float:
        return self.total_pj - self.energy_pj["dram"]

    @property
    def total_mm2(self) -> float | None:
        """None when a component is unknown."""
        parts = [area.mm2 for area in self.area_mm2.values()]
        return None if None in parts else sum(part for part in parts if part is not None)

    @property
    def tops(self) -> float:
        """Effective, dense-equivalent: 2 macs / time."""
        return 2 * self.macs / self.time_s / 1e12

    @property
    def physical_tops(self) -> float:
        """Two operations for each multiplication that really happens."""
        return 2 * self.multiplications / self.time_s / 1e12

    @property
    def tops_per_watt(self) -> float:
        """Dense-equivalent operations per pJ, DRAM excluded (as MVQ reports it)."""
        return 2 * self.macs / self.total_without_dram_pj

    @property
    def tops_per_watt_with_dram(self) -> float:
        return 2 * self.macs / self.total_pj

    def layer_json(self) -> dict[str, object]:
        """Plain fields that a layer and a whole network have in common."""
        return {
            "macs": self.macs,
            "cycles": self.cycles,
            "stall_cycles": self.stall_cycles,
            "utilization": self.utilization,
            "energy_pj": self.energy_pj | {"total": self.total_pj,
                                           "total_without_dram": self.total_without_dram_pj},
            "time_s": self.time_s,
            "tops": self.tops,
            "tops_per_watt": self.tops_per_watt,
            "tops_per_watt_with_dram": self.tops_per_watt_with_dram,
        }

    def to_json(self) -> dict[str, object]:
        """Plain fields of a whole network: the layer's, area, and the machine's peak."""
        areas = {name: area.mm2 for name, area in self.area_mm2.items()}
        sources = {name: f"{area.label}: {area.source}" for name, area in self.area_mm2.items()}
        return self.layer_json() | {
            "area_mm2": areas | {"total": self.total_mm2},
            "area_sources": sources,
            "peak_tops": self.peak_tops,
            "physical_tops": self.physical_tops,
        }


def cost(layers: Sequence[LayerCounts], accelerator: Accelerator, technology: Technology) -> Cost:
    """Cost of some layers, one after the other, on an accelerator.

    Args:
        layers: one for the cost of a layer, all for that of a network; at least one.
    """
    coefficients = technology.access_pj
    cycles = sum(layer.total_cycles for layer in layers)
    macs = sum(layer.macs for layer in layers)
    stalls = {cause: sum(layer.cycles[cause] for layer in layers)
              for cause in CAUSES if cause != "compute"}
    energy = {what: price * sum(layer.accesses[what] for layer in layers)
              for what, price in coefficients.items()}
    return Cost(
        macs=macs, multiplications=sum(layer.accesses["mac"] for layer in layers),
        cycles=cycles, stall_cycles=stalls, energy_pj=energy,
        area_mm2=technology.areas(accelerator), time_s=cycles / accelerator.clock_hz,
        peak_tops=accelerator.peak_tops,
        utilization=macs / (accelerator.rows * accelerator.columns * cycles),
    )
