"""MobileNetV2 with its ImageNet weights as spikes: how far it agrees with the float network on twenty pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from algos.spikes import Neuron, convert
from algos.spikes import run as run_spikes
from codeword.reports.imagenet.train import Bench, bench
from codeword.reports.registry import Task
from sim import artifact
from sim.files import write_json
from sim.steps import steps

NETWORK = "mobilenet-v2"
"""Of `algos.models.inverted_residual.SOURCES`."""
STEPS, SILENT = (4, 6, 8, 12), (1, 2)


def run(task: Task) -> None:
    """Adds `deep` to the figures; every row is kept in the work folder."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    measured = bench(NETWORK)
    measured = measured.first(task.at_most(len(measured.labels)))
    found = {
        "network": NETWORK,
        "pictures": len(measured.labels),
        "right": measured.measure(measured.logits)["right"],
        "rows": list(_rows(measured, task.work)),
    }
    write_json(task.out, task.figures() | {"deep": found})


def _rows(measured: Bench, work: Path) -> Iterator[dict[str, Any]]:
    """INT8, then every T and Tc."""
    of = f"{measured.name}-{len(measured.labels)}"
    path = work / f"{of}.safetensors"
    kept = work / f"{of}-INT8.json"
    if not (kept.exists() and path.exists()):
        write_json(kept, measured.row("INT8", None, path)["integers"])
    yield {"digits": None, "silent": None} | json.loads(kept.read_text())
    for digits in STEPS:
        for silent in SILENT:
            kept = work / f"{of}-{digits}-{silent}.json"
            if not kept.exists():
                write_json(kept, _spikes(measured, path, digits, silent))
            yield json.loads(kept.read_text())


def _spikes(measured: Bench, path: Path, digits: int, silent: int) -> dict[str, Any]:
    """Operations are those of a picture, the mean of all."""
    network = artifact.load(path)
    net = convert(network)
    pixels = network.input.quantize(measured.inputs.numpy())
    said = [
        run_spikes(net, pixels[n : n + 1], steps=digits, neuron=Neuron(silent))
        for n in steps(range(len(pixels)), f"{measured.name}-{digits}-{silent}", len(pixels))
    ]
    activities = [one for picture in said for one in picture.activities]
    neurons = sum(one.neurons for one in said[0].activities[:-1])
    return {
        "digits": digits,
        "silent": silent,
        **measured.measure(torch.cat([one.outputs for one in said])),
        "layers": len(net.layers),
        "signed": sum(layer.signed for layer in net.layers),
        "latency": said[0].latency,
        "spikes_per_neuron": sum(one.spikes for one in activities) / len(said) / neurons,
        "additions_per_mac": sum(one.additions for one in activities) / len(said) / network.macs,
        "updates_per_mac": sum(one.updates for one in activities) / len(said) / network.macs,
    }
