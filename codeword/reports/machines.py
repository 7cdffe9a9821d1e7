"""Which accelerator runs what a method makes, and what that costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

import codeword
from codeword import inputs
from sim import artifact
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.estimate import assemble
from sim.network import AqlmWeight, CodebookWeight, Conv, Network

FAMILIES = {
    "float": "ews",
    "INT8": "ews",
    "vq": "ews-c",
    "vim-vq": "ews-c",
    "mvq": "ews-cms",
    "ssvq": "ssvq",
    "vq4all": "rom",
}
"""Machine of each method; the first two have dense INT8 weights."""
SIZE = 16
TECHNOLOGIES = ("mvq40", "sg13g2")
"""What each machine is priced by: the tables of MVQ, and our own RTL on a cell library."""
VERIFIED = {
    "resnet": "block2.conv2",
    "vim": "block0.out",
    "deit": "block0.fc2",
    "mobilenet": "blocks.6.project.0",
    "efficientnet": "blocks.5.project.0",
}
"""The layer that runs on the RTL as well, by how the network's name begins. Of a ResNet the last and smallest
map of ResNet-8; of Vim and DeiT a linear layer whose inputs are products of others; of the ImageNet networks
a projection with few cycles."""


def family(method: str) -> str:
    """Of a method by its name in a report: "ssvq-1.5 fixed signs" is of ssvq, "vim-vq-1.5" of vim-vq."""
    for name in FAMILIES:
        if re.match(rf"{name}\b", method):
            return name
    raise InputError("method", method, "has no machine", f"begin its name with one of {', '.join(FAMILIES)}")


def verified_layer(network: str) -> str:
    """The layer of VERIFIED, by the network's name."""
    for kind, layer in VERIFIED.items():
        if network.startswith(kind):
            return layer
    raise InputError(
        "network", network, "has no layer to verify", f"begin its name with one of {', '.join(VERIFIED)}"
    )


def settings(network: Network, accelerator: Accelerator) -> list[str]:
    """What a machine must have other than it has, to hold a network's codewords, patterns and codebooks."""
    codebooks = [
        layer.weight
        for layer in network.layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight | AqlmWeight)
    ]
    if not codebooks:
        return []
    most = max(len(weight.codebook) for weight in codebooks)
    of = codebooks[0]
    wanted = {
        "codeword_length": of.d,
        "codebook_entries": most
        if accelerator.weights.universal
        else max(most, accelerator.codebook_entries),
    }
    if isinstance(of, CodebookWeight) and accelerator.weights.masks:
        wanted |= {"keep": of.keep, "group": of.group}
    if accelerator.sparse_tile:
        wanted["tile_columns"] = of.d
    return [f"{field}={value}" for field, value in wanted.items() if getattr(accelerator, field) != value]


def cost(path: Path, method: str) -> dict[str, Any]:
    """One random image through the cycle engine, every tensor compared; one layer through the RTL.

    Args:
        path: of the integer network; its name begins with one of VERIFIED.

    Raises:
        InputError: the machine cannot run the network.
    """
    network = artifact.load(path)
    name = f"{FAMILIES[family(method)]}-{SIZE}"
    fields = settings(network, inputs.accelerator(name))
    layer = verified_layer(network.name)
    images = np.random.default_rng(0).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    accelerator = inputs.accelerator(name, fields)
    run = codeword.simulate(network, accelerator, images)
    prices = {}
    for technology in TECHNOLOGIES:
        priced = inputs.accelerator(name, [*fields, f"technology={technology}"])
        found = assemble(network.name, priced, run.layers).cost
        energy = found.total_pj
        prices[technology] = {
            "energy_uj": None if energy is None else energy * 1e-6,
            "area_mm2": found.total_mm2,
        }
    checked = codeword.verify(accelerator, network=network, layer=layer, simulator="icarus")
    return {
        "accelerator": name,
        "settings": fields,
        "bit_exact": run.bit_exact,
        "cycles": sum(layer.total_cycles for layer in run.layers),
        "prices": prices,
        "verified_layer": layer,
        "verified_words": checked.words_compared,
        "verify_mismatches": checked.mismatches,
        "verify_cycles": [checked.cycles_model, checked.cycles_rtl],
    }
