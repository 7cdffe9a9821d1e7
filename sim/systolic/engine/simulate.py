"""A whole network on the cycle engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim import network as functional
from sim.accelerator import Accelerator
from sim.network import Conv, DenseWeight, Layer, MatMul, Network, Pool, by_kind
from sim.results import LayerCounts, Simulation
from sim.shapes import ConvShape, PassShape, Shape
from sim.steps import step, steps
from sim.systolic.engine import memory, passes, storer
from sim.systolic.engine.core import LayerRun, run_program
from sim.systolic.engine.spans import Recorder
from sim.systolic.plan import as_planned, plan
from sim.systolic.program import Program, lower, token_ifmap
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
    l2_holds_all: bool = False,
    recorder: Recorder | None = None,
) -> Simulation:
    """Runs a network on an accelerator, cycle by cycle.

    Args:
        images: int8 [batch, C, H, W], quantized as `network.input` says.
        compare: check every tensor against `sim.network.run`.
        registers: clock every register of the array instead of computing a psum row at once.
        arbitrated: an L1 whose banks all clients share; see `sim.systolic.engine.core.run_program`.
        plans: how each of `network.shapes` runs; by default what `sim.systolic.plan` says.
        l2_holds_all: L2 holds weights and maps before the run; nothing comes from DRAM or goes there.
        recorder: receives when each unit was at work, for the first image.

    Raises:
        InputError: the machine cannot run a layer of this network.
    """
    start = time.perf_counter()
    if plans is None:
        plans = plan(network.shapes, network_formats(network, accelerator), accelerator, objective)
    shapes = as_planned(network.shapes, plans)
    planned = {shape.name: (shape, how) for shape, how in zip(shapes, plans, strict=True)}
    machine = _Machine(network, accelerator, registers, arbitrated, l2_holds_all, recorder)
    machine.tensors["input"] = np.ascontiguousarray(images, np.int8)
    counts = [
        layer_counts
        for layer in steps(network.layers, "simulating, layer by layer", len(network.layers))
        if (layer_counts := machine.run(layer, *planned.get(layer.name, (None, None)))) is not None
    ]
    tensors = machine.tensors
    layers = tuple(counts) if l2_holds_all else with_output(counts, shapes[-1], accelerator)
    wall = time.perf_counter() - start
    exact = None
    if compare:
        with step("comparing with the functional model"):
            exact = _equal(functional.run(network, tensors["input"]), tensors)
    return Simulation(network, tensors, layers, exact, wall)


Accumulated = tuple[Program, LayerRun]
"""A layer as the array ran it."""


@dataclass
class _Machine:
    """The machine between two layers: the tensors so far and what the last layer left to the next.

    Attributes:
        registers, arbitrated, l2_holds_all, recorder: see `simulate`.
        pooled: what convolutions wrote whose storer pools along y.
    """

    network: Network
    accelerator: Accelerator
    registers: bool
    arbitrated: bool
    l2_holds_all: bool
    recorder: Recorder | None
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    pooled: dict[str, np.ndarray] = field(default_factory=dict)
    found: Handover = field(default_factory=Handover)

    def run(self, layer: Layer, shape: Shape | None, how: Schedule | Source | None) -> LayerCounts | None:
        """Computes the layer's tensor; None where it takes nothing, or belongs to the layer before."""
        if isinstance(how, Schedule):
            assert isinstance(shape, ConvShape)
            kernel = by_kind(ARRAY, layer, "the array, sim.systolic.engine.simulate.ARRAY")
            self.tensors[layer.name], (program, run) = kernel(self, layer, how)
            if how.shape.pool:
                self.pooled[layer.name] = storer.pool_lines(self.tensors[layer.name], *how.shape.pool)
                self.tensors[shape.tensor] = self.pooled[layer.name]
            self.found = run.handover
            counts = memory.layer_counts(program, shape, run.counters)
            if self.recorder is not None:
                self.recorder.convolution(counts, program, run)
            return counts
        if isinstance(layer, Pool) and layer.input in self.pooled:
            layer, tensors = layer.along_x, self.tensors | {layer.input: self.pooled[layer.input]}
        else:
            tensors = self.tensors
        self.tensors[layer.name] = passes.run_pass(self.network, layer, tensors)
        if shape is None:
            return None
        assert isinstance(shape, PassShape)
        assert how is not None
        source = "l2" if self.l2_holds_all and how == "dram" else how
        counts, self.found, times = memory.pass_counts(shape, self.accelerator, source, self.found)
        if self.recorder is not None:
            self.recorder.vector(counts, times)
        return counts

    def accumulate(self, layer: Conv, how: Schedule, ifmap: np.ndarray, zero_point: int) -> Accumulated:
        """The array's sums of an ifmap int8 [batch, C, H, W]."""
        program = lower(layer, how, self.l2_holds_all)
        x = token_ifmap(ifmap, layer, program, zero_point)
        recorder = self.recorder or Recorder()
        return program, run_program(
            program,
            x,
            trace=recorder.rows,
            found=self.found,
            registers=self.registers or (recorder.registers and len(recorder.here) > 0),
            arbitrated=self.arbitrated,
            window=recorder.here,
        )


def _convolution(machine: _Machine, layer: Conv, how: Schedule) -> tuple[np.ndarray, Accumulated]:
    zero_point = machine.network.zero_point(layer.input)
    program, run = machine.accumulate(layer, how, machine.tensors[layer.input], zero_point)
    return passes.finish_convolution(layer, run.acc), (program, run)


def _product(machine: _Machine, layer: MatMul, how: Schedule) -> tuple[np.ndarray, Accumulated]:
    """The second operand of each image takes the place of the weights."""
    first, second = layer.inputs
    zeros = (machine.network.zero_point(first), machine.network.zero_point(second))
    images, runs = [], []
    for a, b in zip(machine.tensors[first], machine.tensors[second], strict=True):
        weight = DenseWeight(passes.stationary(layer, b))
        raw = Conv(layer.name, first, weight, np.zeros(weight.shape[0], np.int32), groups=layer.heads)
        program, run = machine.accumulate(raw, how, a[None], 0)
        images.append(passes.finish_product(layer, run.acc[0], a, b, zeros))
        runs.append((program, run))
    return np.stack(images), runs[0]


ARRAY: dict[type[Layer], Callable[[_Machine, Any, Schedule], tuple[np.ndarray, Accumulated]]] = {
    Conv: _convolution,
    MatMul: _product,
}
"""Kinds of layers that run on the array: the tensor int8 [batch, C, H, W], program and run of the first
image. The vector unit's kinds are in `passes.KERNELS`."""


def _equal(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(expected[name], found[name]) for name in expected)
