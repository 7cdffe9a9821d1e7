"""Draws pictures in every setting and compares them with the float network's."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos import zoo
from algos.data import fashion_mnist
from algos.diffusion import (
    Bits,
    Clock,
    Condition,
    Quantized,
    Sampler,
    assigned,
    attach,
    calibrate,
    classes,
    rollout,
    sensitivities,
    storage_cost,
    tabulate,
)
from algos.diffusion.quantizers import Range, RoundedWeight, WeightQuantizer
from algos.diffusion.tables import heads
from algos.zoo.diffusion import CLASSES, SIZE, load_unet, pictures
from codeword.reports.diffusion.metrics import Features, frechet, psnr, ssim
from codeword.reports.diffusion.settings import (
    ABLATION,
    BUDGET,
    CALIBRATION,
    FINAL,
    SCHEDULER,
    SENSITIVITY,
    SETTINGS,
    STEPS,
    Setting,
)
from codeword.reports.registry import Task
from sim.files import write_json, write_whole
from sim.steps import steps

SAMPLER = Sampler("ddim", STEPS, settings=SCHEDULER)
SHOWN = CLASSES
"""Pictures of each setting in the grid."""
BATCH = 50
Row = dict[str, Any]


def run(task: Task) -> None:
    """A row for each setting, kept in the work folder, and all rows in `out`."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    features = Features(zoo.load_float())
    rows = [_row(setting, features, task.work) for setting in steps(SETTINGS, "settings", len(SETTINGS))]
    found = json.loads(task.out.read_text()) if task.out.exists() else {}
    write_json(task.out, found | {"rows": rows, "float": _float_figures(features, task)})


def noise(count: int, seed: int) -> tuple[Tensor, Condition]:
    """Where pictures begin, and their classes in turn."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, SIZE, SIZE, generator=generator), classes(torch.arange(count) % CLASSES)


def drawn(model: nn.Module, count: int) -> Tensor:
    """Pictures from the noise that all settings share."""
    start, condition = noise(count, 1000)
    parts = [slice(first, first + BATCH) for first in range(0, count, BATCH)]
    return torch.cat([SAMPLER.run(model, start[part], condition[part]) for part in parts])


@cache
def reference(work: Path, count: int) -> Tensor:
    """The float network's pictures: the first of FINAL."""
    path = work / f"float-{FINAL}.npy"
    if not path.exists():
        np.save(path, drawn(load_unet(), FINAL).numpy())
    return torch.from_numpy(np.load(path))[:count]


def _row(setting: Setting, features: Features, work: Path) -> Row:
    kept = work / f"{setting.file}.json"
    if not kept.exists():
        quantized, said = prepared(setting, work)
        found = drawn(quantized.model, setting.pictures)
        wanted = reference(work, setting.pictures)
        np.save(work / f"{setting.file}.npy", found[:SHOWN].numpy())
        row = said | compared(found, wanted, features)
        write_whole(kept, json.dumps(row, indent=1) + "\n")
    row = json.loads(kept.read_text())
    return row | {
        "name": setting.name,
        "bits": setting.bits,
        "seed": setting.seed,
        "pictures": setting.pictures,
    }


def compared(found: Tensor, wanted: Tensor, features: Features) -> Row:
    """Pictures of a setting beside those of the float network from the same noise."""
    return {
        "mse": float((found - wanted).square().mean()),
        "psnr": psnr(found, wanted),
        "ssim": ssim(found, wanted),
        "distance": features.distance(found, wanted),
        "frechet": frechet(features.vectors(found), features.vectors(wanted)),
        "same_class": float((features.classes(found) == features.classes(wanted)).float().mean()),
    }


@dataclass(frozen=True)
class Bench:
    """What a setting's calibration begins with."""

    setting: Setting
    teacher: nn.Module
    model: nn.Module
    start: Tensor
    condition: Condition

    @classmethod
    def of(cls, setting: Setting) -> Bench:
        teacher = load_unet()
        model = copy.deepcopy(teacher)
        if setting.tables:
            tabulate(model, Clock(SAMPLER.times), small_call, batch=BATCH)
        return cls(setting, teacher, model, *noise(CALIBRATION, setting.seed))

    def made(self, bits: Any) -> Quantized:
        """The network with ranges, nothing learned."""
        setting = self.setting
        way: Range = "minmax" if setting.minmax else "mse"
        kind = RoundedWeight if setting.rounding else WeightQuantizer
        groups = STEPS if setting.steps else 1
        model = copy.deepcopy(self.model)
        model._forward_pre_hooks.clear()
        clock = next((table.clock for table in heads(model).values()), Clock(SAMPLER.times))
        quantized = attach(model, clock, bits, groups=groups, way=way, kind=kind)
        quantized.observe(lambda: rollout(model, SAMPLER, self.start, self.condition), way)
        return quantized

    def errors(self) -> dict[Bits, dict[str, float]]:
        """Sensitivities of all layers at the setting's bits of weights, and at 8."""
        low, activations = self.setting.bits
        pool = rollout(self.teacher, SAMPLER, self.start, self.condition)
        return {
            bits: sensitivities(self.made(bits), SAMPLER, pool, SENSITIVITY)
            for bits in ((low, activations), (8, activations))
        }


def prepared(setting: Setting, work: Path) -> tuple[Quantized, Row]:
    """The network in a setting, calibrated, and what is to say of it."""
    bench = Bench.of(setting)
    quantized = bench.made(setting.bits)
    if setting.mixed and setting.bits[0] < 8:
        budget = BUDGET * quantized.storage()
        quantized = bench.made(assigned(bench.errors(), storage_cost(quantized), budget))
    said: Row = {"frozen": 0, "losses": []}
    if setting.training is not None:
        training = replace(setting.training, seed=setting.seed)
        checkpoint = work / f"{setting.calibration}.pt"
        state = calibrate(
            quantized, bench.teacher, SAMPLER, bench.start, bench.condition, training, checkpoint
        )
        said = {"frozen": len(state.frozen), "losses": state.losses}
    weights = sum(quantized.sizes().values())
    return quantized, said | {"layers": len(quantized.bits), "bits_a_weight": quantized.storage() / weights}


def small_call(model: nn.Module, count: int, time: Tensor, labels: Tensor | None) -> None:
    """The network on 4x4 zeros: its time path does not see the picture."""
    model(torch.zeros(count, 1, 4, 4), timestep=time.expand(count), class_labels=labels)


def _float_figures(features: Features, task: Task) -> Row:
    """How good the float network's own pictures are."""
    kept = task.work / "float.json"
    if not kept.exists():
        wanted = reference(task.work, FINAL)
        _, test = fashion_mnist.load(task.data)
        real = pictures(test.pixels[:FINAL])
        labels = torch.arange(FINAL) % CLASSES
        row = {
            "asked_class": float((features.classes(wanted) == labels).float().mean()),
            "accuracy_of_real": float((features.classes(real) == test.labels[:FINAL]).float().mean()),
            "frechet_to_real": frechet(features.vectors(wanted), features.vectors(real)),
            "halves": frechet(features.vectors(wanted[: FINAL // 2]), features.vectors(wanted[FINAL // 2 :])),
        }
        write_whole(kept, json.dumps(row, indent=1) + "\n")
    row = json.loads(kept.read_text())
    return row | {"steps": STEPS, "final": FINAL, "ablation": ABLATION, "calibration": CALIBRATION}
