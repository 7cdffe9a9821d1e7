"""Rounds the models by every method and measures what is left of them; resumable row by row."""

from __future__ import annotations

import copy
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from algos.compensation.activations import Activations
from algos.compensation.driver import compensate
from algos.compensation.rotation import rotate
from algos.methods import registry
from algos.weights.bits import Bits
from algos.weights.scalar import scalar_bits
from codeword.reports.compensation.subjects import SUBJECTS, Subject
from codeword.reports.registry import Task
from sim.files import write_json

GROUP = 64
METHODS = ("rtn", "gptq", "gptaq", "rescomp", "wstar")
SEEDS = (0, 1, 2)
"""Of the calibration windows."""

LAYERS = "model.layers.*"
"""Embedding and head stay."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "GPTAQ, alpha 1": ("gptaq", {"alpha1": 1.0}),
    "GPTQ with CAE alone": ("rescomp", {"alpha1": 0.0}),
    "ResComp, alphas 1": ("rescomp", {"alpha1": 1.0, "alpha2": 1.0}),
    "GPTQ in the order of the weights": ("gptq", {"act_order": False}),
    "GPTQ, scales of compensated weights": ("gptq", {"static": False}),
    "GPTQ without clip search": ("gptq", {"clip_search": False}),
    "GPTQ, whole scales as the machine holds them": ("gptq", {"whole_scales": True}),
}
"""Of the settings of published code, each changed alone: method and options."""


@dataclass(frozen=True)
class Setting:
    """A row.

    Attributes:
        subject: of `SUBJECTS`.
        method: of the registry.
        bits: of a weight.
        rotated: both rotations that fuse.
        activations: bits of the inputs of the layers, None for float32.
        seed: of the calibration windows; None where the method takes none.
        options: of the method beside.
    """

    subject: str
    method: str
    bits: int
    rotated: bool = False
    activations: int | None = None
    seed: int | None = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        rotated, inputs = "r" if self.rotated else "", f"a{self.activations}" if self.activations else ""
        options = "".join(f"-{name}={value}" for name, value in self.options.items())
        seed = "" if self.seed is None else f"-{self.seed}"
        return f"{self.subject}-{self.method}-w{self.bits}{inputs}{rotated}{options}{seed}.json"


def settings() -> Iterator[Setting]:
    """All rows, those of one seed after those of another."""
    for seed in SEEDS:
        for rotated in (False, True):
            for bits, activations in ((4, None), (3, None), (2, None), (4, 4)):
                for method in METHODS:
                    if method != "rtn":
                        yield Setting("llama-moby", method, bits, rotated, activations, seed)
                    elif not seed:
                        yield Setting("llama-moby", method, bits, rotated, activations, None)
        for method, options in VARIANTS.values():
            yield Setting("llama-moby", method, 3, seed=seed, options=options)
    for bits in (3, 2):
        for method in METHODS:
            yield Setting("smollm2-135m", method, bits, seed=None if method == "rtn" else 0)


def run(task: Task) -> None:
    """Whatever the work folder does not hold yet."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "group": GROUP,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "float": {},
        "rows": [],
    }
    for setting in settings():
        name = setting.subject
        if name not in results["float"]:
            results["float"][name] = _kept(task.work / f"{name}-float.json", lambda name=name: _float(name))
        results["rows"].append(_kept(task.work / setting.file, lambda setting=setting: row(setting)))
        write_json(task.out, results)


def _kept(path: Path, make: Any) -> dict[str, Any]:
    """A result of the work folder, made where it is not there yet."""
    if not path.exists():
        write_json(path, make())
        print(f"{path.stem}: {json.loads(path.read_text())['quality']:.4f}", flush=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@cache
def _subject(name: str) -> Subject:
    return SUBJECTS[name]()


def _float(name: str) -> dict[str, Any]:
    """The model as it is."""
    subject = _subject(name)
    return {
        "quality": subject.quality(subject.module),
        "tokens": {
            "calibration": subject.calibration * subject.length,
            "measured": subject.measured * subject.length,
        },
        "length": subject.length,
    }


def _bits(config: Any, shape: torch.Size) -> Bits:
    outputs, inputs = shape
    return scalar_bits(outputs, inputs, config.bits, inputs // GROUP, config.zero_points, config.scale_levels)


def row(setting: Setting) -> dict[str, Any]:
    """A model rounded by one method, and its quality."""
    subject, module = _subject(setting.subject), copy.deepcopy(_subject(setting.subject).module)
    if setting.rotated:
        rotate(module)
    config = registry.named(setting.method).configured(
        None, {"bits": setting.bits, "group": GROUP, "whole_scales": False, **setting.options}
    )
    before = {
        name: part.weight.detach().clone()
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear)
    }
    start = time.process_time()
    found = compensate(
        module,
        subject.samples(setting.seed or 0),
        config.rounding(),
        config.solver(),
        include=LAYERS,
        activations=None if setting.activations is None else Activations(setting.activations),
    )
    seconds = time.process_time() - start
    changed = sum(float((one.weight() - before[name]).square().sum()) for name, one in found.items())
    weights = sum(one.shape.numel() for one in found.values())
    return asdict(setting) | {
        "quality": subject.quality(module),
        "cpu_seconds": seconds,
        "weights": weights,
        "bits_per_weight": sum((_bits(config, one.shape) for one in found.values()), Bits()).per_weight,
        "weight_error": changed / sum(float(before[name].square().sum()) for name in found),
    }
