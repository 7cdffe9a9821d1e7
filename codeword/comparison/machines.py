"""Which accelerator runs what a method makes, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import codeword
from codeword import inputs
from sim import artifact
from sim.estimate import assemble
from sim.network import CodebookWeight, Conv, Network

FAMILIES = {"float": "ews", "vq": "ews-c", "mvq": "ews-cms", "ssvq": "ssvq", "vq4all": "rom"}
"""Machine of each method; that of the float network runs dense INT8 weights."""
SIZE = 16
TECHNOLOGIES = ("mvq40", "sg13g2")
"""What each machine is priced by: the tables of MVQ, and our own RTL on a cell library."""
VERIFIED = "block2.conv2"
"""The layer of a ResNet that runs on the RTL as well: the last and smallest map of ResNet-8."""


def family(method: str) -> str:
    """Of a method as `algos.comparison` names it: "ssvq-1.5 fixed signs" runs on ssvq."""
    return FAMILIES[method.split("-")[0]]


def settings(network: Network, machine: str) -> list[str]:
    """What the machine must hold: codewords of this length, and in a ROM this many."""
    codebooks = [layer.weight for layer in network.layers
                 if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)]
    if not codebooks:
        return []
    found = [f"codeword_length={codebooks[0].d}"]
    if machine == "rom":
        found.append(f"codebook_entries={len(codebooks[0].codebook)}")
    return found


def cost(path: Path, method: str, layer: str = VERIFIED) -> dict[str, Any]:
    """One random image through the cycle engine, every tensor compared; one layer through the RTL.

    Args:
        path: of the integer network.
        layer: the one that runs on the RTL.

    Raises:
        InputError: the machine cannot run the network.
    """
    network = artifact.load(path)
    machine = family(method)
    fields = settings(network, machine)
    name = f"{machine}-{SIZE}"
    images = np.random.default_rng(0).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    accelerator = inputs.accelerator(name, fields)
    run = codeword.simulate(network, accelerator, images)
    prices = {}
    for technology in TECHNOLOGIES:
        priced = inputs.accelerator(name, [*fields, f"technology={technology}"])
        found = assemble(network.name, priced, run.layers).cost
        energy = found.total_pj
        prices[technology] = {"energy_uj": None if energy is None else energy * 1e-6,
                              "area_mm2": found.total_mm2}
    checked = codeword.verify(accelerator, network=network, layer=layer, simulator="icarus")
    return {
        "accelerator": name, "settings": fields, "bit_exact": run.bit_exact,
        "cycles": sum(layer.total_cycles for layer in run.layers),
        "prices": prices,
        "verified_layer": layer, "verified_words": checked.words_compared,
        "verify_mismatches": checked.mismatches,
        "verify_cycles": [checked.cycles_model, checked.cycles_rtl],
    }

