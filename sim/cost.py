"""Counts x coefficients = energy, area, time.

Energy covers memory accesses and multiplications, as MVQ counts them (Table 8), with no saving from gating
zero operands. Technologies of a cell library add the clock of every cycle and leakage. A part that nobody
knows makes the total unknown too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.results import Description, LayerCounts
from sim.technology import Figure, Technology

_PJ_OF_MW_SECOND = 1e9


@dataclass(frozen=True)
class Cost:
    """What one inference costs.

    Attributes:
        macs: dense-equivalent multiply-accumulates.
        multiplications: physical ones.
        cycles: total; stall_cycles: those of every cause but compute.
        energy_pj: by component; None where a coefficient is not known and something was counted.
        energy_sources: where each comes from; the value is that of one event, cycle, or second.
        area_mm2: by component.
        clock_hz: the requested clock, or less where the longest path is longer.
        clock_source: of the limit.
        peak_tops: dense-equivalent, 2 x peak MACs a cycle x clock_hz (MVQ Table 9).
        utilization: macs / (peak MACs a cycle x cycles), dense-equivalent.
    """

    macs: int
    multiplications: int
    cycles: int
    stall_cycles: dict[str, int]
    energy_pj: dict[str, float | None]
    energy_sources: dict[str, Figure]
    area_mm2: dict[str, Figure]
    time_s: float
    clock_hz: float
    clock_source: Figure
    peak_tops: float
    utilization: float

    @property
    def total_pj(self) -> float | None:
        """None when a component is unknown; `unknown_energy` says which."""
        return _sum(self.energy_pj.values())

    @property
    def total_without_dram_pj(self) -> float | None:
        return _sum(pj for name, pj in self.energy_pj.items() if name != "dram")

    @property
    def known_pj(self) -> float:
        """What is known of the energy: a lower bound where something is not."""
        return sum(pj for pj in self.energy_pj.values() if pj is not None)

    @property
    def unknown_energy(self) -> tuple[str, ...]:
        """Components without a figure."""
        return tuple(name for name, pj in self.energy_pj.items() if pj is None)

    @property
    def total_mm2(self) -> float | None:
        """None when a component is unknown."""
        return _sum(area.value for area in self.area_mm2.values())

    @property
    def unknown_area(self) -> tuple[str, ...]:
        """Components without a figure."""
        return tuple(name for name, area in self.area_mm2.items() if area.value is None)

    @property
    def tops(self) -> float:
        """Effective, dense-equivalent: 2 macs / time."""
        return 2 * self.macs / self.time_s / 1e12

    @property
    def physical_tops(self) -> float:
        """Two operations for each multiplication that really happens."""
        return 2 * self.multiplications / self.time_s / 1e12

    @property
    def tops_per_watt(self) -> float | None:
        """Dense-equivalent operations per pJ, DRAM excluded (as MVQ reports it)."""
        return _ratio(2 * self.macs, self.total_without_dram_pj)

    @property
    def tops_per_watt_with_dram(self) -> float | None:
        return _ratio(2 * self.macs, self.total_pj)

    def layer_json(self) -> dict[str, object]:
        """Plain fields that a layer and a whole network have in common."""
        return {
            "macs": self.macs,
            "cycles": self.cycles,
            "stall_cycles": self.stall_cycles,
            "utilization": self.utilization,
            "energy_pj": self.energy_pj
            | {"total": self.total_pj, "total_without_dram": self.total_without_dram_pj},
            "time_s": self.time_s,
            "tops": self.tops,
            "tops_per_watt": self.tops_per_watt,
            "tops_per_watt_with_dram": self.tops_per_watt_with_dram,
        }

    def to_json(self) -> dict[str, object]:
        """Plain fields of a whole network: the layer's, area, and the machine's peak."""
        areas = {name: area.value for name, area in self.area_mm2.items()}
        return self.layer_json() | {
            "area_mm2": areas | {"total": self.total_mm2},
            "area_sources": {name: area.to_json() for name, area in self.area_mm2.items()},
            "energy_sources": {
                name: figure.to_json() | {"each": figure.value}
                for name, figure in self.energy_sources.items()
            },
            "unknown_energy": self.unknown_energy,
            "unknown_area": self.unknown_area,
            "counts_source": {"label": "counted", "source": "docs/timing.md", "uncertainty": ""},
            "clock_hz": self.clock_hz,
            "clock_source": self.clock_source.to_json(),
            "peak_tops": self.peak_tops,
            "physical_tops": self.physical_tops,
        }


@dataclass(frozen=True, eq=False)
class Prices:
    """What a technology asks for an accelerator, looked up once for all layers."""

    accelerator: Description
    accesses: dict[str, Figure]
    per_cycle: dict[str, Figure]
    standing: dict[str, Figure]
    areas: dict[str, Figure]
    clock_limit: Figure
    clock_pulses: dict[str, float] | None = field(default_factory=dict)

    @classmethod
    def of(cls, accelerator: Any, technology: Technology) -> Prices:
        return cls(
            accelerator,
            technology.energies(accelerator),
            technology.per_cycle(accelerator),
            technology.standing(accelerator),
            technology.areas(accelerator),
            technology.clock_limit(accelerator),
            technology.clock_pulses(accelerator),
        )

    def cost(self, layers: Sequence[LayerCounts]) -> Cost:
        """Cost of some layers, one after the other: one, or all of a network; at least one."""
        acc = self.accelerator
        cycles = sum(layer.total_cycles for layer in layers)
        macs = sum(layer.macs for layer in layers)
        causes = [cause for cause in layers[0].cycles if cause != "compute"]
        stalls = {cause: sum(layer.cycles[cause] for layer in layers) for cause in causes}
        clock_hz = min(acc.clock_hz, self.clock_limit.value or acc.clock_hz)
        time_s = cycles / clock_hz
        energy = {
            what: _product(price, sum(layer.accesses[what] for layer in layers))
            for what, price in self.accesses.items()
        }
        energy |= {what: _product(price, cycles) for what, price in self.per_cycle.items()}
        if "clock" in energy:
            energy["clock"] = _sum([energy["clock"], self._pulses(layers, cycles)])
        energy |= {what: _product(power, time_s * _PJ_OF_MW_SECOND) for what, power in self.standing.items()}
        return Cost(
            macs=macs,
            multiplications=sum(layer.accesses["mac"] for layer in layers),
            cycles=cycles,
            stall_cycles=stalls,
            energy_pj=energy,
            energy_sources=self.accesses | self.per_cycle | self.standing,
            area_mm2=self.areas,
            time_s=time_s,
            clock_hz=clock_hz,
            clock_source=self.clock_limit,
            peak_tops=2 * acc.peak_macs * clock_hz / 1e12,
            utilization=macs / (acc.peak_macs * cycles),
        )

    def _pulses(self, layers: Sequence[LayerCounts], cycles: int) -> float | None:
        """pJ of the clock behind its gates."""
        if self.clock_pulses is None:
            return None
        counts = {"token": sum(layer.cycles["compute"] for layer in layers), "cycle": cycles}
        return sum(
            price * (counts[what] if what in counts else sum(layer.accesses[what] for layer in layers))
            for what, price in self.clock_pulses.items()
        )


def cost(layers: Sequence[LayerCounts], accelerator: Description, technology: Technology) -> Cost:
    """Cost of some layers, one after the other, on an accelerator."""
    return Prices.of(accelerator, technology).cost(layers)


def _product(price: Figure, count: float) -> float | None:
    """What nobody counted costs nothing, whatever its price."""
    return 0.0 if count == 0 else None if price.value is None else price.value * count


def _sum(parts: Iterable[float | None]) -> float | None:
    found = list(parts)
    return None if None in found else sum(part for part in found if part is not None)


def _ratio(above: float, below: float | None) -> float | None:
    """None where the divisor is unknown, or nothing at all."""
    return above / below if below else None
