"""The small Llama in each format: the nearest method, its training, and bits a byte of held-out text."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from algos.data.text import Pairs, windows
from algos.methods import mvq, registry
from algos.methods.prepared import Prepared
from algos.trainer import Trainer
from algos.zoo import llama
from codeword.reports.compensation.measure import LAYERS
from codeword.reports.compensation.subjects import Subject, small
from codeword.reports.formats.entries import LLAMA, Entry
from codeword.reports.formats.resnet import divergence
from sim.files import write_json

BATCH = 4
"""Windows of an update."""

CALIBRATION = 16
"""Windows of 256 bytes that methods see."""

JUDGED = 8
"""Others, on which methods are told apart."""


class Arena:
    """Rows in the folder `work`, which go on where they were."""

    def __init__(self, work: Path) -> None:
        self.work = work

    @cached_property
    def subject(self) -> Subject:
        return replace(small(), calibration=CALIBRATION)

    def rows(self) -> Iterable[dict[str, Any]]:
        """One an entry, without costs."""
        for entry in LLAMA:
            path = self.work / f"llama-{entry.file}.json"
            if not path.exists():
                write_json(path, self.row(entry))
                print(path.stem, json.loads(path.read_text())["bits_per_byte"], flush=True)
            yield json.loads(path.read_text())

    def row(self, entry: Entry) -> dict[str, Any]:
        about = {"name": entry.name, "trained": entry.trained, "updates": entry.updates}
        found: dict[str, tuple[float, nn.Module, float]] = {}
        for method in entry.methods:
            module, prepared = self.encoded(entry, method)
            self.tuned(entry, module, prepared)
            stored = prepared.plan.bits.in_rom.per_weight
            found[method] = divergence(self._answers(module), self._wanted), module, stored
        if not found:
            quality = self.subject.quality(self.subject.module)
            return about | {"method": "", "divergence": {}, "bits": 8.0, "bits_per_byte": quality}
        method = min(found, key=lambda name: found[name][0])
        _, module, bits = found[method]
        return about | {
            "method": method,
            "divergence": {name: value for name, (value, *_) in found.items()},
            "bits": bits,
            "bits_per_byte": self.subject.quality(module),
        }

    def encoded(self, entry: Entry, method: str) -> tuple[nn.Module, Prepared]:
        module = copy.deepcopy(self.subject.module)
        prepared = registry.named(method).prepare(
            module,
            batches=self.subject.samples(0),
            include=LAYERS,
            updates=entry.updates or None,
            **entry.options,
        )
        return module, prepared

    def tuned(self, entry: Entry, module: nn.Module, prepared: Prepared) -> None:
        if entry.updates:
            (method,) = entry.methods
            way = registry.named(method).recipe
            usual = way(prepared.config, mvq.FEW) if way else mvq.FINE_TUNING
            places = torch.Generator().manual_seed(0)
            pairs = Pairs(self.subject.learned, self.subject.length, BATCH, entry.updates, places)
            recipe = replace(usual, epochs=1, batch=BATCH, precision="float32", clip=1.0)
            checkpoint = self.work / f"llama-{entry.file}.pt"
            Trainer(module, pairs, llama.loss, recipe, prepared=prepared, checkpoint=checkpoint).run()
        prepared.finish()

    @torch.no_grad()
    def _answers(self, module: nn.Module) -> Tensor:
        tokens = windows(self.subject.learned, self.subject.length, JUDGED, seed=1)
        found: Tensor = module.eval()(tokens)
        return found

    @cached_property
    def _wanted(self) -> Tensor:
        return self._answers(self.subject.module)
