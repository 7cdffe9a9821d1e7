"""A whole network on the cycle engine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from sim import network as functional
from sim.accelerator import Accelerator
from sim.machine import LayerCounts, Simulation
from sim.network import Conv, DenseWeight, MatMul, Network
from sim.shapes import ConvShape, PassShape
from sim.systolic.engine import memory, passes
from sim.systolic.engine.core import run_program
from sim.systolic.plan import plan
from sim.systolic.program import lower, token_ifmap
from sim.systolic.results import Handover, with_output
from sim.systolic.schedule import Schedule, Source
from sim.systolic.streams import network_formats


def simulate(
    network: Network,
    accelerator: Accelerator,
    images: np.ndarray,
    *,
    compare: bool = True,
    objective: str = "edp",
    registers: bool = False,
    arbitrated: bool = False,
    plans: Sequence[Schedule | Source] | None = None,
) -> Simulation:
    """Runs a network on an accelerator, cycle by cycle.

    Args:
        images: int8 [batch, C, H, W], quantized as `network.input` says.
        compare: check every tensor against `sim.network.run`.
        registers: clock every register of the array instead of computing a psum row at once.
        arbitrated: an L1 whose banks all clients share; see `sim.systolic.engine.core.run_program`.
        plans: how each of `network.shapes` runs; by default what `sim.systolic.plan` says.

    Raises:
        InputError: the machine cannot run a layer of this network.
    """
    start = time.perf_counter()
    if plans is None:
        plans = plan(network.shapes, network_formats(network, accelerator), accelerator, objective)
    steps = {shape.name: (shape, how) for shape, how in zip(network.shapes, plans, strict=True)}
    found = Handover()
    tensors: dict[str, np.ndarray] = {"input": np.ascontiguousarray(images, np.int8)}
    counts: list[LayerCounts] = []
    for layer in network.layers:
        shape, how = steps.get(layer.name, (None, None))
        if isinstance(how, Schedule):
            assert isinstance(shape, ConvShape)
            arguments = (shape, how, tensors, found, registers, arbitrated)
            if isinstance(layer, Conv):
                tensors[layer.name], layer_counts, found = _convolution(network, layer, *arguments)
            else:
                assert isinstance(layer, MatMul)
                tensors[layer.name], layer_counts, found = _product(network, layer, *arguments)
            counts.append(layer_counts)
            continue
        tensors[layer.name] = passes.run_pass(network, layer, tensors)
        if isinstance(shape, PassShape):
            assert how is not None
            layer_counts, found = memory.pass_counts(shape, accelerator, how, found)
            counts.append(layer_counts)
    layers = with_output(counts, network.shapes[-1], accelerator)
    wall = time.perf_counter() - start
    exact = _equal(functional.run(network, tensors["input"]), tensors) if compare else None
    return Simulation(network, tensors, layers, exact, wall)


def _convolution(
    network: Network,
    layer: Conv,
    shape: ConvShape,
    schedule: Schedule,
    tensors: Mapping[str, np.ndarray],
    found: Handover,
    registers: bool,
    arbitrated: bool,
) -> tuple[np.ndarray, LayerCounts, Handover]:
    program = lower(layer, schedule)
    ifmap = token_ifmap(tensors[layer.input], layer, program, network.zero_point(layer.input))
    run = run_program(program, ifmap, found=found, registers=registers, arbitrated=arbitrated)
    counts = memory.layer_counts(program, shape, run.counters)
    return passes.finish_convolution(layer, run.acc), counts, run.handover


def _product(
    network: Network,
    layer: MatMul,
    shape: ConvShape,
    schedule: Schedule,
    tensors: Mapping[str, np.ndarray],
    found: Handover,
    registers: bool,
    arbitrated: bool,
) -> tuple[np.ndarray, LayerCounts, Handover]:
    """The second operand of each image takes the place of the weights."""
    zeros = (network.zero_point(layer.inputs[0]), network.zero_point(layer.inputs[1]))
    images, runs = [], []
    for a, b in zip(*(tensors[name] for name in layer.inputs), strict=True):
        weight = DenseWeight(passes.stationary(layer, b))
        raw = Conv(
            layer.name, layer.inputs[0], weight, np.zeros(weight.shape[0], np.int32), groups=layer.heads
        )
        program = lower(raw, schedule)
        run = run_program(
            program,
            token_ifmap(a[None], raw, program, 0),
            found=found,
            registers=registers,
            arbitrated=arbitrated,
        )
        images.append(passes.finish_product(layer, run.acc[0], a, b, zeros))
        runs.append((program, run))
    program, run = runs[0]
    return np.stack(images), memory.layer_counts(program, shape, run.counters), run.handover


def _equal(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(expected[name], found[name]) for name in expected)
