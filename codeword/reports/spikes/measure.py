"""Runs the shipped ResNet-20 as a network of spikes: accuracy, latency, operations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from algos.data.fashion_mnist import Images, load
from algos.reference import predict
from algos.spikes import Neuron, SpikingNetwork, convert
from algos.spikes import run as run_spikes
from algos.spikes.others import run_coded
from codeword import inputs
from codeword.reports.registry import Task
from sim.files import write_json
from sim.network import Network
from sim.steps import steps

NETWORK = "resnet20-fashion"
IMAGES = 10_000
FEW = 2_000
"""Images of other codings in 32 steps: one takes a twentieth of a second."""
BATCH = 10
"""Images at a time: their digits stay in the caches; 100 take three times as long."""
SAVED = 20
"""Batches after which what was counted is in the work folder."""

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
    *(Setting("first", digits) for digits in (4, 6, 8, 12, 16)),
    Setting("sws", 8, Neuron(0)),
    *(Setting("sws", 8, Neuron(silent, negative=False, half=False)) for silent in (1, 3)),
    *(Setting("rate", digits) for digits in (4, 6, 8, 12)),
    *(Setting("phase", digits) for digits in (8, 16)),
    *(Setting(coding, 32, images=FEW) for coding in ("rate", "phase")),
)


@dataclass
class Tally:
    """What the first images of the test set came to in one setting; a file of the work folder.

    Attributes:
        images: that ran; `right`: of these.
        neurons, latency: of one image.
        spikes, updates, additions: of all images, the last by layer.
    """

    images: int = 0
    right: int = 0
    neurons: int = 0
    latency: int = 0
    spikes: int = 0
    updates: int = 0
    additions: dict[str, int] = field(default_factory=dict)

    def add(self, setting: Setting, net: SpikingNetwork, images: Images) -> None:
        """A batch."""
        pixels = (images.pixels.numpy().astype(np.int16) - 128).astype(np.int8)
        if setting.neuron is None:
            compared = run_coded(net, pixels, setting.coding, setting.digits)
            said, self.latency, self.neurons = compared.outputs, compared.latency, compared.neurons
            self.spikes += compared.spikes
        else:
            spiked = run_spikes(net, pixels, steps=setting.digits, neuron=setting.neuron)
            said, self.latency = spiked.outputs, spiked.latency
            self.neurons = sum(one.neurons for one in spiked.activities[:-1])
            for one in spiked.activities:
                self.spikes += one.spikes
                self.updates += one.updates
                self.additions[one.name] = self.additions.get(one.name, 0) + one.additions
        self.right += int((said.argmax(1) == images.labels).sum())
        self.images += len(images)

    def row(self, setting: Setting) -> Row:
        """Accuracy in percent; spikes a neuron, additions by layer, updates of neurons and latency of one image."""
        row: Row = {
            "coding": setting.coding,
            "images": self.images,
            "digits": setting.digits,
            "silent": None if setting.neuron is None else setting.neuron.silent,
            "signed": setting.neuron is not None and setting.neuron.negative,
            "accuracy": 100 * self.right / self.images,
            "latency": self.latency,
            "spikes_per_neuron": self.spikes / self.images / self.neurons,
        }
        if setting.neuron is not None:
            row["additions"] = {name: found / self.images for name, found in self.additions.items()}
            row["updates"] = self.updates / self.images
        return row


def run(task: Task) -> None:
    """A row for each setting, kept in the work folder, and all rows in `out`."""
    torch.set_num_threads(1)
    images = load(task.data)[1].first(IMAGES)
    net = inputs.shipped(NETWORK)
    task.work.mkdir(parents=True, exist_ok=True)
    rows = [
        tallied(setting, convert(net), images.first(task.at_most(setting.images)), task.work).row(setting)
        for setting in SETTINGS
    ]
    counts = sorted({row["images"] for row in rows})
    right = _integers(net, images.first(counts[-1]), task.work)
    plain = {
        "accuracy": {count: 100 * sum(right[:count]) / count for count in counts},
        "macs": sum(shape.macs for shape in net.shapes),
    }
    write_json(task.out, {"network": NETWORK, "images": counts[-1], "plain": plain, "rows": rows})


def tallied(setting: Setting, net: SpikingNetwork, images: Images, work: Path) -> Tally:
    """Goes on behind the images that the work folder's file of the setting has; more than these stay."""
    kept = work / f"{setting.name}.json"
    found = Tally(**json.loads(kept.read_text())) if kept.exists() else Tally()
    left = list(_batches(images, found.images))
    for n, batch in enumerate(steps(left, setting.name, len(left)), 1):
        found.add(setting, net, batch)
        if n % SAVED == 0 or n == len(left):
            write_json(kept, asdict(found))
    return found


def _integers(net: Network, images: Images, work: Path) -> list[int]:
    """Of each image whether the integers give its class; kept likewise."""
    kept = work / "integers.json"
    found: list[int] = json.loads(kept.read_text()) if kept.exists() else []
    if len(found) < len(images):
        left = Images(images.pixels[len(found) :], images.labels[len(found) :])
        found += (predict(net, left.pixels) == left.labels).int().tolist()
        write_json(kept, found)
    return found


def _batches(images: Images, first: int) -> Iterator[Images]:
    for begin in range(first, len(images), BATCH):
        chosen = slice(begin, begin + BATCH)
        yield Images(images.pixels[chosen], images.labels[chosen])
