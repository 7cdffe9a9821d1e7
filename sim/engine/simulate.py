"""A whole network on the cycle engine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim import network as functional
from sim.accelerator import Accelerator
from sim.counts import pass_counts
from sim.engine import memory
from sim.engine.core import run_program
from sim.engine.passes import finish_convolution, run_pass
from sim.formats import stream_format
from sim.mapping import best_schedule
from sim.network import Conv, Network
from sim.program import lower, token_ifmap
from sim.results import LayerCounts, with_network_io
from sim.shapes import ConvShape, PassShape


@dataclass(frozen=True, eq=False)
class Simulation:
    """What the machine computed and what it took.

    Attributes:
        tensors: every tensor by layer name, [batch, C, H, W]; int32 where not requantized.
        layers: counts of one image, in execution order (an addition that rides on a convolution
            belongs to it).
        bit_exact: every tensor equals the functional model; None when not compared.
        wall_s: seconds in the engine, lowering included, comparison not.
    """

    network: Network
    tensors: dict[str, np.ndarray]
    layers: tuple[LayerCounts, ...]
    bit_exact: bool | None
    wall_s: float

    @property
    def outputs(self) -> np.ndarray:
        """The last layer's tensor, [batch, n]."""
        last = self.tensors[self.network.layers[-1].name]
        return last.reshape(len(last), -1)


def simulate(
    network: Network, accelerator: Accelerator, images: np.ndarray, *, compare: bool = True,
    objective: str = "edp",
) -> Simulation:
    """Runs a network on an accelerator, cycle by cycle.

    Args:
        images: int8 [batch, C, H, W], quantized as `network.input` says.
        compare: check every tensor against `sim.network.run`.

    Raises:
        InputError: the machine cannot run a layer of this network.
    """
    start = time.perf_counter()
    tensors: dict[str, np.ndarray] = {"input": np.ascontiguousarray(images, np.int8)}
    shapes = {shape.name: shape for shape in network.shapes}
    counts: list[LayerCounts] = []
    for layer in network.layers:
        shape = shapes.get(layer.name)
        if isinstance(layer, Conv):
            assert isinstance(shape, ConvShape)
            ofmap, layer_counts = _convolution(network, layer, shape, accelerator, tensors, objective)
            tensors[layer.name] = ofmap
            counts.append(layer_counts)
        else:
            tensors[layer.name] = run_pass(network, layer, tensors)
            if isinstance(shape, PassShape):
                counts.append(pass_counts(shape, accelerator))
    outputs = tensors[network.layers[-1].name][0].nbytes
    layers = with_network_io(counts, tensors["input"][0].nbytes, outputs)
    wall = time.perf_counter() - start
    exact = _equal(functional.run(network, tensors["input"]), tensors) if compare else None
    return Simulation(network, tensors, layers, exact, wall)


def _convolution(
    network: Network, layer: Conv, shape: ConvShape, accelerator: Accelerator,
    tensors: Mapping[str, np.ndarray], objective: str,
) -> tuple[np.ndarray, LayerCounts]:
    form, codewords = stream_format(layer.weight, accelerator, layer.name)
    schedule = best_schedule(shape, accelerator, form, codewords, objective=objective)
    program = lower(layer, schedule)
    zero_point = network.zero_point(layer.input)
    run = run_program(program, token_ifmap(tensors[layer.input], layer, program, zero_point))
    return finish_convolution(layer, run.acc), memory.layer_counts(program, shape, run.counters)


def _equal(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(expected[name], found[name]) for name in expected)
