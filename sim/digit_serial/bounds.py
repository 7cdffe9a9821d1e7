"""What the machine runs at all, and how far a charge can go: proven from weights alone, for all digits."""

from __future__ import annotations

import numpy as np

from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.convert import SpikingLayer, SpikingNetwork
from sim.errors import InputError


def charge_bits(layer: SpikingLayer, steps: int, silent: int, positions: int = 1) -> int:
    """Bits of V, signed, whatever the digits are.

    A neuron that never fires goes furthest: 2^(T-1) |bias| + (2^T - 1) |I|, and Tc silent steps double it Tc times; a
    digit only takes from |V|, or leaves it below v / 2. Comparing with v needs its bits too.

    Args:
        positions: that are pooled, whose digits add up.
    """
    most = sum(np.abs(one.weights).sum((1, 2, 3)) for one in layer.synapses) * positions
    spoken = 0 if layer.threshold is None else silent
    furthest = ((np.abs(layer.bias) << (steps - 1)) + most * ((1 << steps) - 1)) << spoken
    if layer.threshold is not None:
        furthest = np.maximum(furthest, layer.threshold << silent)
    return int(furthest.max()).bit_length() + 1


def require_runs(net: SpikingNetwork, acc: DigitSerial) -> None:
    """Raises InputError where a charge may need more bits than the accumulator has, or charges would be a whole map."""
    for layer in net.layers:
        *_, height, width = net.source.maps[layer.name]
        if layer.threshold is None and height * width > 1:
            raise InputError(
                f"layers.{layer.name}",
                f"{height} x {width}",
                "is a map of charges, and the machine reads those of one position",
                "end with a global average pool and a classifier, or a kernel as large as the map",
            )
        _, height, width = net.source.maps[layer.synapses[0].source]
        pooled = height * width if layer.pooled else 1
        need = charge_bits(layer, acc.steps, acc.silent, pooled)
        if need > acc.charge_bits:
            fits = [
                t for t in range(1, acc.steps) if charge_bits(layer, t, acc.silent, pooled) <= acc.charge_bits
            ]
            fix = f"--set charge_bits={need}" + (f", or --set steps={fits[-1]}" if fits else "")
            raise InputError(
                "steps",
                acc.steps,
                f"a charge of {layer.name} needs up to {need} bits (proven from its weights), the accumulator has "
                f"{acc.charge_bits}",
                f"use {fix}",
            )
