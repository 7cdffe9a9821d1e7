"""Steps of integers in the engine and on the RTL, and Stable Diffusion's shapes on machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import codeword
from algos.diffusion import assigned, rollout
from algos.diffusion.integers import denoised, integer_steps
from algos.reference import run as reference
from codeword import inputs
from codeword.reports.diffusion.energy import MACHINES, energy_cost, known
from codeword.reports.diffusion.measure import SAMPLER, Bench, noise, prepared
from codeword.reports.diffusion.settings import ALL, STEPS
from codeword.reports.registry import Task
from sim import artifact
from sim.estimate import estimate
from sim.files import write_json, write_whole
from sim.network import Conv, Network
from sim.shapes import ConvShape
from sim.systolic.streams import dense_format, native_formats
from sim.workloads import workload

NETWORKS = ("sd-v1-4", "sd-v2-1", "sd-xl")
ACCELERATORS = ("ews-64", "ews-cms-64", "int4-g128-64")
MIXED = "int4-g128-64"
EIGHT = (".shortcut", ".cross.key", ".cross.value", ".space.in", ".space.out")
"""Ends of names of the layers that keep 8 bits in the mix, beside the first, the last and those of the time step: an
assumption, since no weights are here whose sensitivity could be measured."""
EVALUATIONS = 25
"""Of one picture without guidance; guidance doubles them."""
ENGINE, RTL = "ews-16", "ews-8"
SHOWN = (0, STEPS // 2, STEPS - 1)
"""Steps that become integers."""
LABEL = 5
ON_RTL = {
    "convolution": "model.up_blocks.1.resnets.1.conv2",
    "query projection": "model.mid_block.attentions.0.to_q",
}
"""Layers that run on the RTL, which has no products of two activations."""
Row = dict[str, Any]


def run(task: Task) -> None:
    """Adds to the figures; each part is kept in the work folder."""
    torch.set_num_threads(1)
    found = json.loads(task.out.read_text()) if task.out.exists() else {}
    steps = _steps(task.work)
    there = [name for name in ACCELERATORS if name in known(dict(enumerate(ACCELERATORS))).values()]
    shapes = [
        _kept(task.work / f"{network}-{name}.json", partial(priced, network, name))
        for network in NETWORKS
        for name in there
    ]
    shapes += [
        _kept(task.work / f"{network}-{MIXED}-mixed.json", partial(priced, network, MIXED, mixed=True))
        for network in NETWORKS
        if MIXED in there
    ]
    shapes.sort(key=lambda row: NETWORKS.index(row["network"]))
    found |= {"integers": steps, "shapes": shapes, "evaluations": EVALUATIONS}
    write_json(task.out, found | {"by_energy": _by_energy(task.work)})


def _kept(path: Path, make: Callable[[], Row]) -> Row:
    if not path.exists():
        write_whole(path, json.dumps(make(), indent=1) + "\n")
    row: Row = json.loads(path.read_text())
    return row


def _steps(work: Path) -> Row:
    """Three steps of the final network in integers: against the reference, in the engine, two layers on the RTL."""
    path, alone = work / "unet.safetensors", work / "one.safetensors"
    if not path.exists():
        quantized, _ = prepared(ALL, work)
        pool = rollout(quantized.model, SAMPLER, *noise(16, 0))
        torch.save(pool.latents, work / "latents.pt")
        artifact.save_steps(integer_steps(quantized, pool, SHOWN, LABEL), path)
        artifact.save(artifact.load(path), alone)
    networks = [artifact.load(path, number) for number in range(len(SHOWN))]
    first = networks[0]
    machine = inputs.accelerator("ews-64")
    estimate = codeword.estimate(first, "ews-64")
    return {
        "rows": [
            _kept(work / f"step-{step}.json", partial(_step, net, work, step))
            for net, step in _each(networks)
        ],
        "layers": len(first.layers),
        "file": path.stat().st_size,
        "one_step": alone.stat().st_size,
        "weights": sum(one.weight.decode().size for one in first.layers if isinstance(one, Conv)),
        "l2_weights": getattr(machine, "weight_bytes", 0),
        "dram": sum(layer.counts.accesses["dram"] for layer in estimate.layers),
        "cycles": estimate.cost.cycles,
        "rtl": _kept(work / "rtl.json", partial(_on_rtl, networks[:2])),
    }


def _each(networks: list[Network]) -> list[tuple[Network, int]]:
    return list(zip(networks, SHOWN, strict=False))


def _by_energy(work: Path) -> Row:
    """Bits of weights within a budget of energy, the mean of what 4 and 8 bits take."""
    machines = known()
    if absent := sorted(set(MACHINES.values()) - set(machines.values())):
        return {"absent": absent}
    cost = energy_cost(artifact.load(work / "unet.safetensors").shapes, machines)
    errors = Bench.of(ALL).errors()
    low, high = errors
    spent = [sum(cost(name, bits) for name in errors[bits]) for bits in errors]
    chosen = assigned(errors, cost, sum(spent) / 2)
    eight = [name for name, bits in chosen.items() if bits == high]
    left = [
        sum(errors[bits][name] for name, bits in part.items())
        for part in (dict.fromkeys(chosen, low), chosen)
    ]
    return {
        "machines": list(machines.values()),
        "microjoules": spent,
        "eight": len(eight),
        "layers": len(chosen),
        "errors": left,
    }


def _step(network: Network, work: Path, step: int) -> Row:
    latent = torch.load(work / "latents.pt", weights_only=True)[step][:1]
    images = network.input.quantize(latent.double().numpy())
    found = codeword.simulate(network, ENGINE, images)
    expected = reference(network, torch.from_numpy(images))
    equal = [name for name, tensor in expected.items() if np.array_equal(found.tensors[name], tensor.numpy())]
    return {
        "step": step,
        "time": network.metadata["time"],
        "bit_exact": bool(found.bit_exact),
        "equal": len(equal),
        "tensors": len(expected),
        "cycles": sum(layer.total_cycles for layer in found.layers),
        "largest": float(np.abs(denoised(network, found.outputs)).max()),
    }


def _on_rtl(networks: list[Network]) -> Row:
    """Layers with the maps that they have in the network, on the RTL: all steps in one run, on the same weights."""
    row: Row = {"times": [network.metadata["time"] for network in networks]}
    for what, layer in ON_RTL.items():
        checked = codeword.verify(
            RTL, network=networks, layer=layer, simulator="verilator", steps=range(len(networks))
        )
        row[what] = {
            "words": checked.words_compared,
            "mismatches": checked.mismatches,
            "cycles": [checked.cycles_model, checked.cycles_rtl],
        }
    return row


def priced(network: str, accelerator: str, mixed: bool = False) -> Row:
    """All evaluations of a picture, by the closed form, and the share of the time layers.

    Args:
        mixed: `EIGHT` and others keep 8 bits; without it the machine's format everywhere that it can.
    """
    load, machine = workload(network), inputs.accelerator(accelerator)
    layers = {shape.name: shape for shape in load.shapes if isinstance(shape, ConvShape)}
    formats = {name: found[:2] for name, found in native_formats(load.shapes, machine).items()}
    if mixed:
        formats |= {name: (dense_format(one, machine), 0) for name, one in layers.items() if _stays(name)}
    found = estimate(replace(load, passes=EVALUATIONS), machine, formats=formats)
    stored = {name: shape.weights for name, shape in layers.items() if not shape.dynamic}
    few = {name for name in stored if machine.weights.coded and formats[name][0] == machine.weights.name}
    time = [layer for layer in found.layers if is_time(layer.counts.name)]
    dram = sum(layer.counts.accesses["dram"] for layer in found.layers)
    energy = found.cost.total_pj
    spent = [layer.cost.total_pj for layer in time]
    return {
        "network": network,
        "accelerator": accelerator,
        "mixed": mixed,
        "eight": 1 - sum(stored[name] for name in few) / sum(stored.values()),
        "cycles": found.cost.cycles,
        "seconds": found.cost.time_s,
        "joules": None if energy is None else energy * 1e-12,
        "dram": EVALUATIONS * dram,
        "time": {
            "layers": len(time),
            "macs": sum(layer.counts.macs for layer in time)
            / sum(layer.counts.macs for layer in found.layers),
            "cycles": EVALUATIONS * sum(layer.counts.total_cycles for layer in time) / found.cost.cycles,
            "dram": sum(layer.counts.accesses["dram"] for layer in time) / dram,
            "joules": None
            if energy is None or None in spent
            else EVALUATIONS * sum(one or 0.0 for one in spent) / energy,
        },
    }


def _stays(name: str) -> bool:
    return name in ("in", "out") or is_time(name) or name.endswith(EIGHT)


def is_time(name: str) -> bool:
    """Whether a layer of a workload works on the time step alone, or in XL on text and size too."""
    return name in ("time1", "time2") or name.endswith(".time")
