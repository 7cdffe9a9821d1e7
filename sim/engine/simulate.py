"""A whole network on the cycle engine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim import network as functional
from sim.accelerator import Accelerator
from sim.engine import memory, storer
from sim.engine.core import run_program
from sim.formats import stream_format
from sim.network import Add, AveragePool, Conv, Network
from sim.program import lower, token_ifmap
from sim.plan import plan
from sim.results import Handover, LayerCounts, with_output
from sim.schedule import Schedule
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
    formats = {shape.name: stream_format(network[shape.name].weight, accelerator, shape)
               for shape in network.shapes if isinstance(shape, ConvShape)}
    plans = dict(zip((shape.name for shape in network.shapes),
                     plan(network.shapes, formats, accelerator, objective), strict=True))
    found = Handover()
    tensors: dict[str, np.ndarray] = {"input": np.ascontiguousarray(images, np.int8)}
    shapes = {shape.name: shape for shape in network.shapes}
    counts: list[LayerCounts] = []
    for layer in network.layers:
        shape = shapes.get(layer.name)
        how = plans.get(layer.name)
        if isinstance(layer, Conv):
            assert isinstance(shape, ConvShape)
            assert isinstance(how, Schedule)
            program = lower(layer, how)
            ifmap = token_ifmap(tensors[layer.input], layer, program, network.zero_point(layer.input))
            run = run_program(program, ifmap, found=found)
            found = run.handover
            tensors[layer.name] = _finish(layer, run.acc)
            counts.append(memory.layer_counts(program, shape, run.counters))
        else:
            tensors[layer.name] = _pass(network, layer, tensors)
            if isinstance(shape, PassShape):
                assert isinstance(how, str)
                passed, found = memory.pass_counts(shape, accelerator, how, found)
                counts.append(passed)
    layers = with_output(counts, output_bytes(network.shapes[-1]))
    wall = time.perf_counter() - start
    exact = _equal(functional.run(network, tensors["input"]), tensors) if compare else None
    return Simulation(network, tensors, layers, exact, wall)


def _finish(layer: Conv, acc: np.ndarray) -> np.ndarray:
    q = layer.requantization
    if q is None:
        return acc + layer.bias[:, None, None]
    flat = acc.reshape(*acc.shape[:2], -1)
    return storer.requantize(flat, layer.bias, q.multiplier, q.shift, q.zero_point, q.low,
                             q.high).reshape(acc.shape)


def _pass(network: Network, layer: Add | AveragePool, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    zeros = tuple(network.zero_point(name) for name in layer.inputs)
    first = tensors[layer.inputs[0]]
    limits = (layer.zero_point, layer.low, layer.high)
    if isinstance(layer, Add):
        a, b = (tensors[name].reshape(len(first), -1) for name in layer.inputs)
        return storer.add(a, b, layer.multipliers, zeros, layer.shift, *limits).reshape(first.shape)
    flat = first.reshape(*first.shape[:2], -1)
    pooled = storer.average_pool(flat, layer.multiplier, layer.shift, zeros[0], *limits)
    return pooled[..., None]


def _equal(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(expected[name], found[name]) for name in expected)
