"""Prompts and tokens of language models on machines, by closed form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

from codeword.reports.registry import Task
from sim import accelerator
from sim.estimate import Estimate, estimate
from sim.files import write_json
from sim.shapes import ConvShape, Shape
from sim.steps import steps
from sim.technology import dram
from sim.workloads.transformer import LANGUAGE_MODELS, Llama

PROMPT = 512
CONTEXTS, BATCHES = (512, 4096), (1, 8, 32)
DRAM = "lpddr4"
MACHINES = {
    "INT8": "ews-64",
    "INT4 g64": "int4-g64-64",
    "INT2 g64": "int2-g64-64",
    "VQ": "ews-c-64",
    "MVQ": "ews-cms-64",
}
"""By what their weights are."""

PORT_BITS = 512
"""Of the loader: a beat of LPDDR4 at 300 MHz is 455 bits."""

KEYS = "keys and values"
CAUSES = {"scores": KEYS, "mix": KEYS, "head": "head"}
"""Of off-chip traffic, by the end of a layer's name; projections otherwise, and maps where there is no product."""


def run(task: Task) -> None:
    """Writes the figures."""
    cases = [(model, weights) for model in LANGUAGE_MODELS for weights in MACHINES]
    rows = [
        row for model, weights in steps(cases, "language models", len(cases)) for row in _rows(model, weights)
    ]
    write_json(task.out, {"dram": DRAM, "machines": MACHINES, "rows": rows})


def _rows(model: Llama, weights: str) -> Iterator[dict[str, Any]]:
    machine = accelerator.load(MACHINES[weights], {"dram": DRAM, "weight_port_bits": PORT_BITS})
    about = {"model": model.name, "weights": weights}
    prompt = estimate(model.prefill(PROMPT), machine)
    yield about | {"prompt": True, "context": PROMPT, "batch": 1} | figures(prompt, 0)
    for context in CONTEXTS:
        for batch in BATCHES:
            workload = model.decode(context, batch)
            held = sum(shape.weights for shape in workload.shapes if cached(shape))
            found = figures(estimate(workload, machine), held)
            yield about | {"prompt": False, "context": context, "batch": batch} | found


def cached(shape: Shape) -> TypeGuard[ConvShape]:
    """Whether its weights are keys or values."""
    return isinstance(shape, ConvShape) and CAUSES.get(shape.name.rpartition(".")[2]) == KEYS


def figures(found: Estimate, held: int) -> dict[str, Any]:
    """Of all sequences together: seconds, joules, bytes off chip by cause.

    Args:
        held: bytes of all keys and values, which come from off chip. The closed form leaves what one layer reads in
            L2 where it fits there; from one token to the next those of all layers do not. What it left out comes at
            the peak rate of the memory here, behind all else.
    """
    traffic = dict.fromkeys((*CAUSES.values(), "projections", "maps"), 0)
    for layer in found.layers:
        name = layer.counts.name
        cause = CAUSES.get(name.rpartition(".")[2], "projections" if layer.counts.macs else "maps")
        traffic[cause] += layer.counts.accesses["dram"]
    total, spent = found.cost.total_pj, found.cost.energy_pj["dram"]
    assert total is not None
    assert spent is not None
    added = max(0, held - traffic[KEYS])
    each = spent / sum(traffic.values())
    traffic[KEYS] += added
    return {
        "time_s": found.cost.time_s + added / (dram.types()[DRAM].timing.gb_per_s * 1e9),
        "energy_j": (total + added * each) * 1e-12,
        "traffic_bytes": traffic,
    }
