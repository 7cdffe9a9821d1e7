"""Figures of a page of designs, from their estimates; nothing here is counted anew but where PEs have work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sim import technology
from sim.estimate import Estimate, LayerEstimate
from sim.systolic.schedule import Schedule

Row = dict[str, Any]


def name(found: Estimate) -> str:
    return f"{found.name} on {found.accelerator.name}"


def joules(pj: float | None) -> float | None:
    return None if pj is None else pj * 1e-12


def sums(found: Estimate) -> Row:
    """What a design takes in all; None where it is unknown."""
    cost = found.cost
    return {
        "MACs": cost.macs,
        "cycles": cost.cycles,
        "time (s)": cost.time_s,
        "energy (J)": joules(cost.total_pj),
        "area (mm2)": cost.total_mm2,
        "utilization": cost.utilization,
        "TOPS": cost.tops,
        "TOPS/W without DRAM": cost.tops_per_watt,
        "TOPS/W with DRAM": cost.tops_per_watt_with_dram,
        "clock (Hz)": cost.clock_hz,
        "technology": found.accelerator.technology,
    }


def layers(found: Estimate) -> list[Row]:
    """A row for each layer, in execution order, of one pass."""
    return [
        {
            "layer": layer.counts.name,
            "MACs": layer.cost.macs,
            "cycles": layer.cost.cycles,
            "utilization": layer.cost.utilization,
            "energy (J)": joules(layer.cost.total_pj),
            "DRAM (bytes)": layer.counts.accesses["dram"],
            "TOPS": layer.cost.tops,
        }
        for layer in found.layers
    ]


def cycles(found: Estimate) -> list[Row]:
    """Cycles of each layer by cause, without those that have none."""
    return [
        {"layer": layer.counts.name, "place": place, "cause": cause, "cycles": count}
        for place, layer in enumerate(found.layers)
        for cause, count in layer.counts.cycles.items()
        if count
    ]


def energy(found: Estimate) -> list[Row]:
    """Of each component, with where the price of an event comes from."""
    cost = found.cost
    return [
        {"component": what, "J": joules(pj), "source": cost.energy_sources[what].why}
        for what, pj in cost.energy_pj.items()
        if pj is None or pj > 0
    ]


def area(found: Estimate) -> list[Row]:
    return [
        {"component": what, "mm2": figure.value, "source": figure.why}
        for what, figure in found.cost.area_mm2.items()
        if figure.value is None or figure.value > 0
    ]


def roofline(found: Estimate) -> list[Row]:
    """Layers that read DRAM and multiply: dense-equivalent operations a byte, and TOPS."""
    return [
        {
            "layer": layer.counts.name,
            "operations a byte": 2 * layer.cost.macs / layer.counts.accesses["dram"],
            "TOPS": layer.cost.tops,
        }
        for layer in found.layers
        if layer.cost.macs and layer.counts.accesses["dram"]
    ]


def roof(found: Estimate, points: Iterable[Row]) -> list[Row]:
    """The corner points of the roof over some points of `roofline`: bandwidth of the DRAM, then the peak."""
    places = [point["operations a byte"] for point in points]
    if not places:
        return []
    bandwidth = technology.off_chip(found.accelerator).bits / 8 * found.cost.clock_hz / 1e12
    ridge = found.cost.peak_tops / bandwidth
    ends = (min(*places, ridge) / 2, ridge, max(*places, ridge) * 2)
    return [
        {"operations a byte": place, "TOPS": min(place * bandwidth, found.cost.peak_tops)} for place in ends
    ]


def occupancy(found: Estimate) -> np.ndarray | None:
    """Share of all cycles in which each PE multiplies, float64 [rows, columns]; None of other machines.

    Row h works for the input channels h, h + H, ... and column l for the output channels likewise, so a group of
    channels that does not fill the array leaves PEs without work. The mean is the utilization of the network.
    """
    if not all(isinstance(layer.counts.schedule, Schedule | None) for layer in found.layers):
        return None
    shape = (found.accelerator.rows, found.accelerator.columns)
    total = sum((_busy(layer, shape) for layer in found.layers), np.zeros(shape))
    return total / sum(layer.cost.cycles for layer in found.layers)


def _busy(layer: LayerEstimate, shape: tuple[int, int]) -> np.ndarray:
    """Multiply-accumulates of each PE in a layer, dense-equivalent."""
    schedule = layer.counts.schedule
    if schedule is None or not layer.cost.macs:
        return np.zeros(shape)
    work = np.zeros(shape)
    for part in range(schedule.parts):
        channels, outputs = schedule.part_of(part)
        groups = outputs // (schedule.shape.outputs // schedule.shape.groups)
        inputs, made = channels // groups, outputs // groups
        for group in range(groups):  # a group multiplies its own channels alone
            work += np.outer(_uses(group * inputs, inputs, shape[0]), _uses(group * made, made, shape[1]))
    return work * (layer.cost.macs / work.sum())


def _uses(first: int, channels: int, lanes: int) -> np.ndarray:
    """How many of the channels from `first` on each lane works for."""
    return np.bincount(np.arange(first, first + channels) % lanes, minlength=lanes).astype(np.float64)


def heat(occupied: np.ndarray, most: int = 64) -> Sequence[Row]:
    """Cells of `occupancy`; of an array larger than `most`, means over equal blocks."""
    factors = [-(-size // most) for size in occupied.shape]
    padded = [(0, -size % factor) for size, factor in zip(occupied.shape, factors, strict=True)]
    blocks = np.pad(occupied, padded, constant_values=np.nan)
    rows, columns = blocks.shape[0] // factors[0], blocks.shape[1] // factors[1]
    means = np.nanmean(blocks.reshape(rows, factors[0], columns, factors[1]), axis=(1, 3))
    return [
        {"row": row * factors[0], "column": column * factors[1], "utilization": float(means[row, column])}
        for row in range(rows)
        for column in range(columns)
    ]
