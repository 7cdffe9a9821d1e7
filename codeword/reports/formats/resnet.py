"""ResNet-20 in each format: the nearest method, its training, and what the network of integers answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos import reference, zoo
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.methods import mvq, registry
from algos.methods.method import tune
from algos.methods.prepared import Prepared
from algos.norms import absorb_gain_signs
from algos.recipe import Recipe
from algos.training import normalize, silent
from codeword.reports.formats.entries import RESNET, SHIPPED, Entry
from sim import artifact
from sim.files import write_json
from sim.network import Network

CALIBRATION = 64
"""Training images that methods and activation scales see, without their labels."""

JUDGED = slice(1000, 1256)
"""Training images on which methods are told apart, by their distance to the float network."""

LOST_ON, LOST = 500, 80.0
"""Test images, and percent right of them below which nobody asks for tenths."""

TUNED = 20_000
"""Training images of a fine-tuning; 156 updates of 128 are an epoch of them."""


def divergence(found: Tensor, wanted: Tensor) -> float:
    """Kullback-Leibler, nats, of the answers [..., classes] from those of the float network."""
    given, target = (logits.flatten(0, -2).log_softmax(-1) for logits in (found, wanted))
    return float(F.kl_div(given, target, log_target=True, reduction="batchmean"))


@dataclass(frozen=True)
class Arena:
    """Rows and networks in the folder `work`, which go on where they were."""

    work: Path
    training: Images
    test: Images

    @classmethod
    def of(cls, work: Path, data: Path | None) -> Arena:
        return cls(work, *fashion_mnist.load(data))

    def rows(self) -> Iterable[dict[str, Any]]:
        """One an entry, without costs."""
        for entry in RESNET:
            path = self.work / f"resnet20-{entry.file}.json"
            if not path.exists():
                write_json(path, self.row(entry))
                print(path.stem, json.loads(path.read_text()).get("accuracy"), flush=True)
            yield json.loads(path.read_text())

    def network_file(self, entry: Entry) -> Path:
        """Of the network, or of one of the same sizes."""
        plain = replace(entry, updates=0) if entry.accuracy_of else entry
        return self.work / f"resnet20-{plain.file}.safetensors"

    def row(self, entry: Entry) -> dict[str, Any]:
        about = {"name": entry.name, "trained": entry.trained, "updates": entry.updates}
        if entry.accuracy_of:
            accuracy = {"accuracy": _compared(entry.accuracy_of), "images": len(self.test)}
            return about | {"method": entry.methods[0], "divergence": {}} | accuracy
        if entry is SHIPPED:
            network, method, tried = zoo.load_network(), "mvq", {}
        else:
            model, method, tried = self.best(entry)
            network = export(model, self.training.first(CALIBRATION), name=f"resnet20-{entry.name}")
        artifact.save(network, self.network_file(entry))
        return about | {"method": method, "divergence": tried} | self.accuracy(network)

    def accuracy(self, network: Network) -> dict[str, float]:
        """Percent, and of how many test images: a network that is lost on the first of them is spared the others."""
        images = self.test.first(LOST_ON)
        found = 100 * reference.accuracy(network, images)
        if found >= LOST:
            images = self.test
            found = 100 * reference.accuracy(network, images)
        return {"accuracy": found, "images": len(images)}

    def best(self, entry: Entry) -> tuple[nn.Module, str, dict[str, float]]:
        """A network whose weights are in the format, the method that made it, and how far each method's is."""
        found: dict[str, tuple[float, nn.Module]] = {}
        for method in entry.methods:
            model, prepared = self.encoded(entry, method)
            self.tuned(entry, model, prepared)
            found[method] = divergence(self._answers(model), self._wanted), model
        if not found:
            return _start(sparse=False), "", {}
        method = min(found, key=lambda name: found[name][0])
        return found[method][1], method, {name: value for name, (value, _) in found.items()}

    def encoded(self, entry: Entry, method: str) -> tuple[Any, Prepared]:
        way = registry.named(method)
        model = _start(way.starts_sparse)
        seen = normalize(self.training.first(CALIBRATION).pixels).split(64)
        prepared = way.prepare(model, batches=seen, updates=entry.updates or None, **entry.options)
        return model, prepared

    def tuned(self, entry: Entry, model: Any, prepared: Prepared) -> None:
        """Trains what the format leaves to train; labels are used here alone."""
        if entry.updates:
            images = self.training.first(TUNED)
            checkpoint = self.work / f"resnet20-{entry.file}.pt"
            tune(model, images, recipe(entry.updates), checkpoint, silent, prepared)
        prepared.finish()

    @torch.no_grad()
    def _answers(self, model: nn.Module) -> Tensor:
        found: Tensor = model.eval()(normalize(self.training.pixels[JUDGED]))
        return found

    @cached_property
    def _wanted(self) -> Tensor:
        return self._answers(zoo.load_float())


def recipe(updates: int) -> Recipe:
    """MVQ's, for so many updates."""
    return replace(mvq.FINE_TUNING, epochs=updates // (TUNED // mvq.FINE_TUNING.batch))


def _start(sparse: bool) -> Any:
    model = copy.deepcopy(zoo.load_sparse() if sparse else zoo.load_float())
    absorb_gain_signs(model)
    return model


def _compared(method: str) -> float:
    """Percent, of a run of the report comparison."""
    from codeword.reports.registry import REPORTS

    rows = json.loads(REPORTS["comparison"].out.read_text())
    (found,) = (row for row in rows if row["network"] == "resnet20" and row["method"] == method)
    return 100 * float(found["accuracy_integer"])
