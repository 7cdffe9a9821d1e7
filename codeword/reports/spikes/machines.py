"""The same network on machines: weighted spikes of real images beside INT8, in one technology."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import codeword
from algos.data.fashion_mnist import load
from codeword import inputs
from codeword.reports.registry import Task
from codeword.reports.spikes.measure import NETWORK
from sim.cost import Cost
from sim.files import write_json
from sim.machine import machine
from sim.results import LayerCounts

IMAGES = 2
INTEGERS = ("ews-16", "ews-cms-16")
SPIKING = "sws-16"
STEPS = (4, 6, 8, 12)
SPIKES = ("mac", "tap", "neuron")
"""Accesses that there are the fewer the fewer digits are not 0."""


def run(task: Task) -> None:
    """Adds `machines` to the figures."""
    net = inputs.shipped(NETWORK)
    count = task.at_most(IMAGES)
    images = load(task.data)[1].first(count).pixels.numpy().astype(np.int16) - 128
    rows = [_integers(net, name, images.astype(np.int8)) for name in INTEGERS]
    rows += [_spikes(net, steps, images.astype(np.int8)) for steps in STEPS]
    write_json(task.out, task.figures() | {"machines": {"images": count, "rows": rows}})


def _integers(net: Any, name: str, images: np.ndarray) -> dict[str, Any]:
    found = codeword.simulate(net, name, images[:1], settings=["technology=sg13g2"])
    return {"machine": name, "steps": None} | _row(found.costed.cost)


def _spikes(net: Any, steps: int, images: np.ndarray) -> dict[str, Any]:
    """Of the counts of several images, each run by the engine; and without any spikes, the least that can be."""
    settings = [f"steps={steps}"]
    runs = [codeword.simulate(net, SPIKING, images[n : n + 1], settings=settings) for n in range(len(images))]
    acc = runs[0].accelerator
    layers = [_mean([run.layers[n] for run in runs]) for n in range(len(runs[0].layers))]
    silent = [replace(one, accesses=one.accesses | dict.fromkeys(SPIKES, 0)) for one in layers]
    prices = machine(acc.kind).prices(acc)
    adders = sum(layer.accesses["tap"] for layer in layers)
    row = {"machine": SPIKING, "steps": steps} | _row(prices.cost(layers))
    return row | {
        "silent_pj": prices.cost(silent).total_without_dram_pj,
        "additions": sum(layer.accesses["mac"] for layer in layers),
        "density": sum(layer.accesses["mac"] for layer in layers) / adders,
    }


def _mean(layers: list[LayerCounts]) -> LayerCounts:
    counts = {what: round(np.mean([one.accesses[what] for one in layers])) for what in layers[0].accesses}
    return replace(layers[0], accesses=counts)


def _row(cost: Cost) -> dict[str, Any]:
    sram = ("l1", "l2", "store", "crf", "buffers")
    return {
        "cycles": cost.cycles,
        "clock_hz": cost.clock_hz,
        "time_s": cost.time_s,
        "energy_pj": cost.energy_pj,
        "without_dram_pj": cost.total_without_dram_pj,
        "cells_mm2": sum(area.value or 0.0 for name, area in cost.area_mm2.items() if name not in sram),
        "mm2": cost.total_mm2,
    }
