"""Images through the engine, and what the machine took for the first of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.digit_serial import closed_form
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.convert import SpikingNetwork
from sim.digit_serial.engine import CAUSES, EVENTS, Ran, run
from sim.digit_serial.functional import values
from sim.digit_serial.lowering import Program, lower
from sim.results import LayerCounts


@dataclass(frozen=True, eq=False)
class Simulated:
    """
    Attributes:
        digits: by layer, int8 [T, batch, C, H, W]; charges of the last one, int64 [batch, classes].
        tensors: [batch, ...]: what the digits say, in units of 2^-T, and the charges.
        layers: counts of the first image.
    """

    digits: dict[str, np.ndarray]
    tensors: dict[str, np.ndarray]
    layers: tuple[LayerCounts, ...]


def simulate(net: SpikingNetwork, acc: DigitSerial, digits: np.ndarray) -> Simulated:
    """Runs digits of images, int8 [T, batch, C, H, W]."""
    program = lower(net, acc)
    runs = [run(program, digits[:, n]) for n in range(digits.shape[1])]
    last = net.layers[-1].name
    found = {
        name: np.stack([one.maps[name] for one in runs], 0 if name == last else 1) for name in runs[0].maps
    }
    tensors = {name: one if name == last else values(one) for name, one in found.items()}
    return Simulated(found, tensors, layers(program, runs[0]))


def layers(program: Program, ran: Ran) -> tuple[LayerCounts, ...]:
    """What a run counted, layer by layer; multiply-accumulates are of the network, not of the run."""
    macs = {one.name: one.macs for one in closed_form.counts(program.network, program.accelerator)}
    by_layer = {name: np.zeros(ran.counts.shape[1], np.int64) for name in macs}
    again = dict.fromkeys(macs, 0)
    for packet, counts in zip(program.packets, ran.counts[1:], strict=True):
        by_layer[packet.layer] += counts
        again[packet.layer] += packet.again * int(counts[CAUSES.index("load")])
    first, last = next(iter(macs)), program.network.layers[-1]
    by_layer[first] += ran.counts[0]
    return tuple(
        _layer(name, macs[name], counts, again[name], program, 4 * len(last.bias) * (name == last.name))
        for name, counts in by_layer.items()
    )


def _layer(
    name: str, macs: int, counts: np.ndarray, again: int, program: Program, output: int
) -> LayerCounts:
    """`again`: words of the stream that had come before."""
    lanes = program.accelerator.lanes
    cycles = {cause: int(counts[n]) for n, cause in enumerate(CAUSES)}
    events = {event: int(counts[len(CAUSES) + n]) for n, event in enumerate(EVENTS)}
    stream = cycles["load"] + cycles["input"]
    accesses = {
        "mac": events["mac"],
        "tap": lanes * lanes * events["busy"],
        "neuron": lanes * events["updates"],
        "l1": (events["l1_read"] + events["l1_write"]) * lanes // 4,
        "store": 4 * lanes * events["store"],
        "wrf": events["wrf"],
        "l2": 8 * (2 * stream - again),
        "dram": 8 * (stream - again) + output,
    }
    return LayerCounts(name, macs, cycles, accesses)
