"""ResNet-20 in each format: the nearest method, its training, and what the network of integers answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
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
from algos.methods.plan import Plan
from algos.methods.prepared import Prepared
from algos.norms import absorb_gain_signs
from algos.recipe import Recipe
from algos.training import normalize, silent
from algos.weights.scaled import attach_scaled
from codeword.reports.formats.entries import FITTED, RESNET, SHIPPED, Entry
from sim import artifact
from sim.files import write_json

CALIBRATION = 64
"""Training images that methods and activation scales see, without their labels."""

JUDGED = slice(1000, 1256)
"""Training images on which methods are told apart, by their distance to the float network."""

IMAGES = 10_000
"""Test images, the first ones."""

COMPARED_ON = 10_000
"""Those of the report comparison."""

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
        return map(self.row, RESNET)

    def network_file(self, entry: Entry) -> Path:
        """Of the network, or of one of the same sizes."""
        plain = replace(entry, updates=0) if entry.accuracy_of else entry
        return self.work / f"resnet20-{plain.file}.safetensors"

    def row(self, entry: Entry) -> dict[str, Any]:
        path = self.work / f"resnet20-{entry.file}.json"
        made = _kept(path, lambda: self._made(entry))
        judged = path.with_name(f"{path.stem}-{IMAGES}.json")
        if entry.accuracy_of:
            return made | {"lost": _compared("float") - _compared(entry.accuracy_of), "images": COMPARED_ON}
        right = _kept(judged, lambda: self._right(self.network_file(entry)))
        whole = self._whole
        return made | right | {"lost": whole["accuracy"] - right["accuracy"], "images": IMAGES}

    def _made(self, entry: Entry) -> dict[str, Any]:
        """The network of integers is left in its file."""
        about = {"name": entry.name, "trained": entry.trained, "updates": entry.updates}
        if entry.accuracy_of:
            return about | {"method": entry.methods[0], "divergence": {}}
        if entry is SHIPPED:
            network, method, tried = zoo.load_network(), "mvq", dict[str, float]()
        else:
            model, method, tried = self.best(entry)
            network = export(model, self.training.first(CALIBRATION), name=f"resnet20-{entry.name}")
        artifact.save(network, self.network_file(entry))
        return about | {"method": method, "divergence": tried}

    @cached_property
    def _whole(self) -> dict[str, Any]:
        """Of INT8."""
        entry = RESNET[0]
        _kept(self.work / f"resnet20-{entry.file}.json", lambda: self._made(entry))
        judged = self.work / f"resnet20-{entry.file}-{IMAGES}.json"
        return _kept(judged, lambda: self._right(self.network_file(entry)))

    def _right(self, path: Path) -> dict[str, float]:
        return {"accuracy": 100 * reference.accuracy(artifact.load(path), self.test.first(IMAGES))}

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
        if method == FITTED:
            return _fitted(entry)
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


def _kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result of the work folder, made where it is not there yet."""
    if not path.exists():
        write_json(path, make())
        print(path.stem, path.read_text().replace("\n", ""), flush=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def recipe(updates: int) -> Recipe:
    """MVQ's, for so many updates."""
    return replace(mvq.FINE_TUNING, epochs=updates // (TUNED // mvq.FINE_TUNING.batch))


def _fitted(entry: Entry) -> tuple[Any, Prepared]:
    """Every convolution but the first."""
    model = _start(sparse=False)
    for layer in [part for part in model.modules() if isinstance(part, nn.Conv2d)][1:]:
        attach_scaled(layer, entry.options["form"], entry.options["group"])
    return model, Prepared(model, Plan({}, {}), None, {})


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
