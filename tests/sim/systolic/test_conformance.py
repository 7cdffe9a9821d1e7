"""SCALE-Sim's weight-stationary cycles, from our engine on a description of its array.

Nothing in the engine or the closed form knows of SCALE-Sim: `examples/scale-sim-ws.toml` is an ordinary
accelerator, and a layer is lowered to the matrix product that SCALE-Sim takes it for.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import accelerator
from sim.network import Conv, DenseWeight, pad
from sim.shapes import ConvShape
from sim.systolic.closed_form.counts import core_cycles
from sim.systolic.engine import run_program
from sim.systolic.program import lower, token_ifmap
from sim.systolic.scale_sim import serial
from sim.systolic.schedule import Schedule
from sim.workloads import workload
from tests.sim.systolic.cases import slow_convolution

ARRAY = "examples/scale-sim-ws.toml"
RESNET18 = [shape for shape in workload("resnet18").shapes if isinstance(shape, ConvShape)]
TOTAL = 994_141
"""What SCALE-Sim 3.0.0 prints for the 21 layers of ResNet-18 in all, on 64x64 (measured)."""


def published(shape: ConvShape, rows: int, columns: int) -> int:
    """SCALE-Sim's "Total Cycles" of a weight-stationary layer: the index of the last cycle.

    Each fold of the weights onto the array takes 2R + C + M - 2 cycles (Samajdar et al., ISPASS 2020,
    recalled, not re-read): load R rows, stream M windows, drain R + C - 2 stages. That version 3.0.0
    does so was measured: the 21 layers below at 64x64, and rectangular arrays.
    """
    windows = shape.out_h * shape.out_w
    depth = shape.channels * shape.kernel[0] * shape.kernel[1]
    folds = ceil(depth / rows) * ceil(shape.outputs / columns)
    return folds * (windows + 2 * rows + columns - 2) - 1


@pytest.mark.parametrize(
    ("rows", "columns", "cycles"),
    [(32, 64, [3639, 32511]), (64, 32, [3767, 40703]), (8, 24, [39455, 104831])],
)
def test_rule_on_rectangular_arrays(rows: int, columns: int, cycles: list[int]) -> None:
    """Measured with SCALE-Sim 3.0.0 (CALC mode): 2R + C, which square arrays cannot tell from R + 2C."""
    layers = [shape for shape in RESNET18 if shape.name in ("layer2.0.shortcut", "fc")]
    assert [published(shape, rows, columns) for shape in layers] == cycles


def run(schedule: Schedule, weight: np.ndarray, windows: np.ndarray):
    """The engine on [M, K] windows and [N, K] weights, both INT8 and without the zeros that fill K."""
    filling = [(0, 0), (0, schedule.shape.channels - windows.shape[1])]
    windows, weight = np.pad(windows, filling), np.pad(weight, filling)
    layer = Conv("product", "input", DenseWeight(weight[:, :, None, None]), np.zeros(len(weight), np.int32))
    program = lower(layer, schedule)
    return run_program(program, token_ifmap(windows.T[None, :, :, None], layer, program, 0))


def im2col(ifmap: np.ndarray, layer: Conv, zero_point: int) -> np.ndarray:
    """int8 [M, K] of an ifmap [1, C, H, W], K in the order (channel, y, x)."""
    padded = pad(ifmap, layer.padding, zero_point)[0]
    views = np.lib.stride_tricks.sliding_window_view(padded, layer.weight.shape[2:], (1, 2))
    views = views[:, :: layer.stride[0], :: layer.stride[1]].transpose(1, 2, 0, 3, 4)
    return views.reshape(views.shape[0] * views.shape[1], -1)


@st.composite
def cases(draw):
    """A layer with every kind of tail, on an array of any shape."""
    machine = accelerator.load(ARRAY, {"rows": draw(st.integers(1, 16)), "columns": draw(st.integers(1, 16))})
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    size = draw(st.tuples(*(st.integers(n, n + 7) for n in kernel)))
    shape = ConvShape(
        "layer", draw(st.integers(1, 40)), draw(st.integers(1, 40)), kernel, stride, padding, size
    )
    return machine, shape, draw(st.integers(-128, 127)), draw(st.integers(0, 2**32))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_random_layers(case) -> None:
    """Cycles of SCALE-Sim and values of the convolution, rectangular arrays included."""
    machine, shape, zero_point, seed = case
    rng = np.random.default_rng(seed)
    weight = rng.integers(-128, 128, (shape.outputs, shape.channels, *shape.kernel)).astype(np.int8)
    ifmap = rng.integers(-128, 128, (1, shape.channels, *shape.size)).astype(np.int8)
    layer = Conv(
        "layer", "input", DenseWeight(weight), np.zeros(shape.outputs, np.int32), shape.stride, shape.padding
    )
    schedule = serial(shape, machine)
    done = run(schedule, weight.reshape(shape.outputs, -1), im2col(ifmap, layer, zero_point))
    expected = slow_convolution(ifmap, layer, zero_point)
    np.testing.assert_array_equal(done.acc.reshape(expected.shape), expected)
    assert done.counters["core_cycles"] - 1 == published(shape, machine.rows, machine.columns)
    assert core_cycles(schedule)["core_cycles"] == done.counters["core_cycles"]


def test_resnet18_in_closed_form() -> None:
    machine = accelerator.load(ARRAY)
    cycles = [core_cycles(serial(shape, machine))["core_cycles"] - 1 for shape in RESNET18]
    assert cycles == [published(shape, 64, 64) for shape in RESNET18]
    assert (len(cycles), sum(cycles)) == (21, TOTAL)


@pytest.mark.parametrize("shape", RESNET18, ids=lambda shape: shape.name)
def test_resnet18_on_the_engine(shape: ConvShape) -> None:
    """Cycles, and values against BLAS: integers far below 2**53 are exact in float64."""
    rng = np.random.default_rng(0)
    depth = shape.channels * shape.kernel[0] * shape.kernel[1]
    weight = rng.integers(-128, 128, (shape.outputs, depth)).astype(np.int8)
    windows = rng.integers(-128, 128, (shape.out_h * shape.out_w, depth)).astype(np.int8)
    done = run(serial(shape, accelerator.load(ARRAY)), weight, windows)
    np.testing.assert_array_equal(done.acc[0, :, :, 0], weight.astype(float) @ windows.T.astype(float))
    assert done.counters["core_cycles"] - 1 == published(shape, 64, 64)
