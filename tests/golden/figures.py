"""What `metrics.json` records, computed anew; each group of figures by a function of its own.

A figure's name says everything: network, machine, technology, quantity, unit. Counts are integers and texts are
exact; what is a sum of floats has `DIGITS` significant digits. Nothing here may depend on the processor: accuracy is
that of integers, and accuracies of float networks are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import codeword
from algos import zoo
from rtl import synth, verilog
from sim import accelerator
from sim import network as functional
from sim.accelerator import preset

Value = int | float | str | None
Figures = dict[str, Value]

DIGITS = 12
PAIRS = (
    ("resnet18", "ews-64", "mvq40"),
    ("resnet18", "ews-cms-64", "mvq40"),
    ("resnet18", "ews-cms-64", "sg13g2"),
    ("resnet20-fashion", "ews-cms-16", "mvq40"),
    ("resnet20-fashion", "ws-cms-16", "sg13g2"),
    ("resnet50", "ews-c-64", "mvq40"),
    ("resnet50", "ssvq-64", "sg13g2"),
    ("mobilenet-v2", "ews-cms-64", "mvq40"),
    ("mobilenet-v2", "ws-64", "sg13g2"),
    ("deit-t", "rom-64", "mvq40"),
    ("vim-t", "ews-cms-16", "sg13g2"),
    ("smollm2-135m", "ews-cms-64", "mvq40"),
    ("smollm2-135m-decode", "ssvq-64", "sg13g2"),
    ("wan2.1-1.3b-edit", "ews-cms-64", "mvq40"),
)
"""Network, machine, technology: every family of machines, weight-bound and compute-bound networks."""
SYNTHESIZED = ("ews-4", "ews-cms-4", "ssvq-4")
EXPORTED = (*SYNTHESIZED, "ws-4", "rom-4")


def costs() -> Figures:
    """Cycles by cause, accesses by memory, energy and area by component, of `PAIRS`, all passes."""
    found: Figures = {}
    for network, machine, technology in PAIRS:
        told = codeword.estimate(network, machine, technology=technology).to_json()
        found |= {
            f"{network} on {machine}, {technology}: {name}": value for name, value in _cost(told).items()
        }
    return found


def _cost(told: dict[str, Any]) -> Figures:
    """What `codeword estimate --json` says of a network."""
    stalls: dict[str, int] = told["stall_cycles"]
    cycles = {"total": told["cycles"], "compute": told["cycles"] - sum(stalls.values())} | stalls
    accesses = {
        memory: told["passes"] * sum(layer["accesses"][memory] for layer in told["layers"])
        for memory in told["layers"][0]["accesses"]
    }
    quantities = {
        "cycles": cycles,
        "accesses": accesses,
        "energy_pj": told["energy_pj"],
        "area_mm2": told["area_mm2"],
    }
    return {
        f"{quantity} {part}": _rounded(value)
        for quantity, parts in quantities.items()
        for part, value in parts.items()
    }


def _rounded(value: float | None) -> float | None:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def accuracy() -> Figures:
    """Right answers of the shipped network of integers on the shipped test images."""
    network, test = zoo.load_network(), zoo.load_images()[1]
    images = (test.pixels.numpy().astype(np.int16) + network.input.zero_point).astype(np.int8)
    right = 0
    for few, labels in zip(np.split(images, 20), np.split(test.labels.numpy(), 20), strict=True):
        logits = functional.run(network, few)[network.layers[-1].name].reshape(len(few), -1)
        right += int((logits.argmax(1) == labels).sum())
    return {f"resnet20-fashion: right answers to {len(images)} test images": right}


def hardware() -> Figures:
    """The Verilog of `EXPORTED` machines; cells and flip-flops of the cores of those `SYNTHESIZED`."""
    library = synth.read(Path(synth.__file__).parent / "libraries" / "mini.lib")
    found: Figures = {f"version of {tool}": version(tool) for tool in ("amaranth", "pyosys")}
    for name in EXPORTED:
        modules = verilog.modules(preset(name))
        text = "".join(modules[module] for module in sorted(modules))
        found |= {
            f"{name}: lines of Verilog": text.count("\n"),
            f"{name}: modules of Verilog": len(modules),
            f"{name}: sha256 of Verilog": hashlib.sha256(text.encode()).hexdigest(),
        }
    for name in SYNTHESIZED:
        enabled = accelerator.load(name, {"clock_gating": False})  # the library has no clock gates
        core = synth.synthesize(enabled, library, component="core")
        found |= {
            f"{name}: cells of its core on mini.lib": core.cells,
            f"{name}: flip-flops of its core on mini.lib": core.flip_flops,
        }
    return found


GROUPS: dict[str, Callable[[], Figures]] = {"costs": costs, "accuracy": accuracy, "hardware": hardware}
"""What `metrics.json` holds, group by group."""
