"""What a frame costs at 224x224 on every family and size, from the closed form; and what 52 frames a second take."""

from __future__ import annotations

from typing import Any

import codeword
from codeword.reports.registry import Task
from sim.accelerator.systolic_presets import FAMILIES
from sim.files import write_json

NETWORK = "mobilenet-v3-facepad"
SIZES = (16, 32, 64)
SMALL = ("ews-4", "ews-8", "ews-8x16", "ews-16")
DRAM = "lpddr4"
TARGET = 52
"""Frames a second of the paper's student on a Jetson Orin Nano."""


def run(task: Task) -> None:
    """Adds the costs to the figures."""
    found = task.figures()
    found["cost"] = [cost(name) for name in machines()]
    found["small"] = [cost(name) for name in SMALL]
    write_json(task.out, found)


def machines() -> list[str]:
    """Every family at every size."""
    return [f"{family}-{size}" for family in FAMILIES for size in SIZES]


def cost(name: str) -> dict[str, Any]:
    """Of a preset; energies and areas are of its technology, time also with DRAM as fast as DRAM is."""
    estimate = codeword.estimate(NETWORK, name)
    whole = estimate.cost
    depthwise = sum(
        layer.cost.cycles for layer in estimate.layers if layer.counts.name.endswith(".depthwise")
    )
    return {
        "machine": name,
        "technology": estimate.accelerator.technology,
        "clock_hz": whole.clock_hz,
        "cycles": whole.cycles,
        "cycles_with_dram": codeword.estimate(NETWORK, name, dram=DRAM).cost.cycles,
        "depthwise_cycles": depthwise,
        "utilization": whole.utilization,
        "energy_uj": None if whole.total_pj is None else whole.total_pj * 1e-6,
        "energy_without_dram_uj": (
            None if whole.total_without_dram_pj is None else whole.total_without_dram_pj * 1e-6
        ),
        "area_mm2": whole.total_mm2,
    }
