"""Rounds the shipped ResNet-20 to each format, untrained: error of the weights, accuracy, bits, cycles, energy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import log10
from typing import Any

from torch import nn

import codeword
from algos import reference, zoo
from algos.frontend.export import export
from algos.norms import absorb_gain_signs
from algos.weights.scaled import attach_scaled
from codeword import inputs
from codeword.reports.registry import Task
from sim.accelerator import Accelerator
from sim.files import write_json, write_whole
from sim.network import Conv, Network, ScaledWeight

Row = dict[str, Any]
IMAGES = 1000
CALIBRATION = 256
SIZE = 16
TECHNOLOGIES = ("mvq40",)


@dataclass(frozen=True)
class Setting:
    """A format with groups of so many input channels, and the machine that runs it."""

    form: str
    group: int
    family: str

    @property
    def name(self) -> str:
        return f"{self.form}-g{self.group}" if self.group else self.form


SETTINGS = (
    Setting("dense", 0, "ews"),
    *(Setting(f"int{bits}", group, f"int{bits}-g{group}") for bits in (4, 3, 2) for group in (64, 32)),
    Setting("int4", 16, "int4-g32"),
    Setting("mxfp4", 32, "mxfp4"),
    Setting("nvfp4", 16, "nvfp4"),
    Setting("mxint8", 32, "mxint8"),
)


def run(task: Task) -> None:
    """A row for each setting, kept in the work folder, and all rows in `out`."""
    task.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for setting in SETTINGS:
        kept = task.work / f"{setting.name}-{IMAGES}.json"
        if not kept.exists():
            write_whole(kept, json.dumps(measured(setting), indent=1) + "\n")
        rows.append(json.loads(kept.read_text()))
    write_json(task.out, {"images": IMAGES, "calibration": CALIBRATION, "size": SIZE, "rows": rows})


def measured(setting: Setting) -> Row:
    """Of one format: SQNR in dB, accuracy in percent, bits a weight, cycles and energy of an image."""
    training, test = zoo.load_images()
    model = zoo.load_float()
    absorb_gain_signs(model)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][1:]
    error = energy = 0.0
    for layer in layers if setting.group else ():
        real = layer.weight.detach().double()
        part = attach_scaled(layer, setting.form, setting.group)
        error += float((part.values - real).square().sum())
        energy += float(real.square().sum())
    network = export(model, training.first(CALIBRATION), name=f"resnet20-{setting.name}")
    fields = [f"scale_group={setting.group}"] if setting.group else []
    machine = inputs.accelerator(f"{setting.family}-{SIZE}", fields)
    return {
        "name": setting.name,
        "accelerator": machine.name,
        "settings": fields,
        "sqnr_db": 10 * log10(energy / error) if error else None,
        "accuracy": 100 * reference.accuracy(network, test.first(IMAGES)),
        "bits": streamed_bits(network, machine),
        **_costs(network, f"{setting.family}-{SIZE}", fields),
    }


def streamed_bits(network: Network, machine: Accelerator) -> float:
    """Bits of the weight stream a weight, scales included, of the layers that are not dense; 8 without any."""
    bits = weights = 0
    for layer in network.layers:
        if not isinstance(layer, Conv) or not isinstance(layer.weight, ScaledWeight):
            continue
        outputs, channels, ky, kx = layer.weight.shape
        rows = ky * kx * machine.weights.rows_sent(machine, channels)
        bits += rows * machine.weights.row_bits(machine, outputs, 0, outputs)
        weights += outputs * channels * ky * kx
    return bits / weights if weights else 8.0


def _costs(network: Network, name: str, fields: list[str]) -> Row:
    found: Row = {}
    for technology in TECHNOLOGIES:
        cost = codeword.estimate(network, name, technology=technology, settings=fields).cost
        without = cost.total_without_dram_pj
        found["cycles"] = cost.cycles
        found[technology] = {
            "uj": None if cost.total_pj is None else cost.total_pj * 1e-6,
            "uj_without_dram": None if without is None else without * 1e-6,
        }
    return found
