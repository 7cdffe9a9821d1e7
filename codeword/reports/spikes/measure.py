"""Runs the shipped ResNet-20 as a network of spikes: accuracy, latency, operations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from algos.data.fashion_mnist import Images, load
from algos.reference import predict
from algos.spikes import Neuron, SpikingNetwork, convert
from algos.spikes import run as run_spikes
from algos.spikes.others import run_coded
from codeword import inputs
from codeword.reports.registry import Task
from sim.files import write_json, write_whole
from sim.network import Network
from sim.steps import steps

NETWORK = "resnet20-fashion"
IMAGES = 10_000
SOME, FEW = 1_000, 200
"""Images for ablations and first spikes; for codings that are not far from a guess at these steps."""
BATCH = 10
"""Images at a time: their digits stay in the caches; 100 take three times as long."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """A coding and its steps; `neuron` of the weighted spikes alone; `images` at most."""

    coding: str
    digits: int
    neuron: Neuron | None = None
    images: int = IMAGES

    @property
    def name(self) -> str:
        if self.neuron is None:
            return f"{self.coding}-{self.digits}"
        signs = "" if self.neuron.negative else "-binary"
        return f"{self.coding}-{self.digits}-{self.neuron.silent}{signs}"


SETTINGS = (
    *(Setting("sws", digits, Neuron(silent)) for digits in (4, 6, 8, 12) for silent in (1, 2)),
    *(Setting("first", digits, images=SOME) for digits in (4, 6, 8, 12, 16)),
    Setting("sws", 8, Neuron(0), SOME),
    *(Setting("sws", 8, Neuron(silent, negative=False, half=False), SOME) for silent in (1, 3)),
    *(Setting("rate", digits, images=FEW) for digits in (4, 6, 8, 12, 32)),
    *(Setting("phase", digits, images=FEW) for digits in (8, 16, 32)),
)


def run(task: Task) -> None:
    """A row for each setting, kept in the work folder, and all rows in `out`."""
    images = load(task.data)[1].first(IMAGES)
    net = inputs.shipped(NETWORK)
    task.work.mkdir(parents=True, exist_ok=True)
    rows = [_row(setting, net, images.first(setting.images), task) for setting in SETTINGS]
    macs = sum(shape.macs for shape in net.shapes)
    right = _integers(net, images, task)
    counts = sorted({row["images"] for row in rows})
    plain = {"accuracy": {count: 100 * sum(right[:count]) / count for count in counts}, "macs": macs}
    write_json(task.out, {"network": NETWORK, "images": len(images), "plain": plain, "rows": rows})


def _row(setting: Setting, net: Network, images: Images, task: Task) -> Row:
    kept = task.work / f"{setting.name}-{len(images)}.json"
    if not kept.exists():
        write_whole(kept, json.dumps(measured(setting, convert(net), images), indent=1) + "\n")
    found: Row = json.loads(kept.read_text())
    return found


def _integers(net: Network, images: Images, task: Task) -> list[int]:
    """Of each image whether the integers give its class; kept likewise."""
    kept = task.work / f"integers-{len(images)}.json"
    if not kept.exists():
        right = predict(net, images.pixels) == images.labels
        write_whole(kept, json.dumps(right.int().tolist()) + "\n")
    found: list[int] = json.loads(kept.read_text())
    return found


def measured(setting: Setting, net: SpikingNetwork, images: Images) -> Row:
    """Accuracy in percent; spikes a neuron, additions by layer, updates of neurons and latency of one image."""
    right = spikes = updates = neurons = latency = 0
    additions: Counter[str] = Counter()
    for pixels, labels in steps(_batches(images), setting.name, -(-len(images) // BATCH)):
        if setting.neuron is None:
            compared = run_coded(net, pixels, setting.coding, setting.digits)
            said, latency, neurons = compared.outputs, compared.latency, compared.neurons
            spikes += compared.spikes
        else:
            spiked = run_spikes(net, pixels, steps=setting.digits, neuron=setting.neuron)
            said, latency = spiked.outputs, spiked.latency
            neurons = sum(one.neurons for one in spiked.activities[:-1])
            spikes += sum(one.spikes for one in spiked.activities)
            additions.update({one.name: one.additions for one in spiked.activities})
            updates += sum(one.updates for one in spiked.activities)
        right += int((said.argmax(1).numpy() == labels).sum())
    count = len(images)
    row: Row = {
        "coding": setting.coding,
        "images": count,
        "digits": setting.digits,
        "silent": None if setting.neuron is None else setting.neuron.silent,
        "signed": setting.neuron is not None and setting.neuron.negative,
        "accuracy": 100 * right / count,
        "latency": latency,
        "spikes_per_neuron": spikes / count / neurons,
    }
    if setting.neuron is not None:
        row |= {"additions": {name: found / count for name, found in additions.items()}}
        row |= {"updates": updates / count}
    return row


def _batches(images: Images) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first in range(0, len(images), BATCH):
        pixels = images.pixels[first : first + BATCH].numpy().astype(np.int16) - 128
        yield pixels.astype(np.int8), images.labels[first : first + BATCH].numpy()
