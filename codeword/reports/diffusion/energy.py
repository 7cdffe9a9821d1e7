"""What a layer costs on accelerators, for mixed precision: algos takes the function, and knows no accelerator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import codeword
from algos.diffusion import Bits
from algos.diffusion.sensitivity import Cost
from codeword import inputs
from sim.errors import InputError
from sim.shapes import ConvShape, Shape

MACHINES = {8: "ews-64", 4: "int4-g128-64"}
"""Whose weight stream has so many bits a weight; arrays multiply INT8 on all of them."""


def known(machines: Mapping[int, str] = MACHINES) -> dict[int, str]:
    """Those of the machines that this version has."""
    found = {}
    for bits, name in machines.items():
        try:
            inputs.accelerator(name)
        except InputError:
            continue
        found[bits] = name
    return found


def energy_cost(shapes: Sequence[Shape], machines: Mapping[int, str]) -> Cost:
    """Microjoules of a layer by the closed form, on the machine for the bits of its weights.

    Args:
        shapes: of the whole network; names may begin with the path of a module around it.

    Raises:
        InputError: bits without a machine, a layer that is no convolution of the shapes, or an unknown energy.
    """
    layers = [shape for shape in shapes if isinstance(shape, ConvShape)]
    prices: dict[tuple[str, int], float] = {}
    for bits, name in machines.items():
        for layer in codeword.estimate(layers, name).layers:
            energy = layer.cost.total_pj
            if energy is None:
                raise InputError("accelerator", name, "has no known energy", "choose another technology")
            prices[layer.counts.name.removeprefix("model."), bits] = energy * 1e-6

    def cost(name: str, bits: Bits) -> float:
        if (name, bits[0]) not in prices:
            raise InputError(
                "layer", f"{name} at {bits[0]} bits", "has no energy", "give a machine for these bits"
            )
        return prices[name, bits[0]]

    return cost
