"""Maps wider than L1: spatial tiles in strips of columns, their halos, and what is said where no strip fits."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim import accelerator
from sim.errors import InputError
from sim.estimate import estimate
from sim.network import Conv, Network, Requantization, TensorSpec
from sim.shapes import ConvShape, PassShape
from sim.systolic import mapping
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.engine import memory, run_program, simulate
from sim.systolic.folding import ways
from sim.systolic.plan import plan
from sim.systolic.program import chunk_table, lower, token_ifmap
from sim.systolic.results import Handover
from sim.systolic.schedule import Schedule
from sim.systolic.streams import dense_format
from tests.sim.systolic.cases import random_conv, slow_convolution

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
WIDE = ConvShape("wide", 8, 16, (1, 3), size=(1, 131))


@pytest.mark.parametrize(
    ("channels", "outputs", "size", "macs"),
    [
        (64, 64, (66, 514), 64 * 512 * 9 * 64 * 64),
        (32, 64, (642, 642), 640 * 640 * 9 * 32 * 64),
        (32, 8, (1080, 1920), 1078 * 1918 * 9 * 32 * 8),
    ],
)
def test_layers_of_segmentation_networks(channels, outputs, size, macs):
    machine = accelerator.preset("ews-64")
    layer, after = ConvShape("layer", channels, outputs, (3, 3), size=size), ConvShape("after", outputs, 1)
    counts = estimate([layer, after], machine).layers[0].counts
    schedule, pixels = counts.schedule, layer.out_h * layer.out_w
    assert counts.macs == macs
    assert schedule.strips > 1
    assert schedule.tiling.ifmap_tile_bytes <= machine.l1_bytes // 4
    assert counts.total_cycles >= pixels * 9
    # Halos are less than half of the map.
    read = counts.accesses["dram"] - 8 * pixels * -(-outputs // 8)
    assert channels * size[0] * size[1] < read < 1.5 * channels * size[0] * size[1]


@st.composite
def wide_layers(draw) -> ConvShape:
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 4)))
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    return ConvShape(
        "layer",
        groups * draw(st.integers(1, 8 // groups)),
        groups * draw(st.integers(1, 12 // groups)),
        kernel,
        draw(st.tuples(st.integers(1, 2), st.integers(1, 3))),
        draw(st.tuples(st.integers(0, 2), st.integers(0, 3))),
        (draw(st.integers(5, 8)), draw(st.integers(34, 60))),
        draw(st.sampled_from(["", "sum"])),
        draw(st.sampled_from([(1, 1), (1, 2), (2, 3)])),
        groups,
    )


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(
    wide_layers(),
    st.sampled_from(["ews-4", "ews-cms-4x8"]),
    st.sampled_from(["l2", "dram"]),
    st.integers(0, 99),
)
def test_searched_strips(shape, family, source, seed):
    """A row of 34 pixels and more exceeds the 256 bytes of ifmap: values, cycles by cause and accesses are right."""
    machine = accelerator.load(family, {"l1_bytes": 1024, "l2_bytes": 1 << 20})
    form, rng = dense_format(shape, machine), np.random.default_rng(seed)
    try:
        schedule = mapping.best_schedule(shape, machine, form, source=source)
    except InputError:
        assume(False)
    assert schedule.strips > 1 or schedule.shape.unfolded  # a folded row may be shorter
    layer = random_conv(rng, machine, form, shape)
    ifmap = rng.integers(-128, 128, (1, shape.channels, *shape.size)).astype(np.int8)
    program = lower(layer, schedule)
    run = run_program(program, token_ifmap(ifmap, layer, program, 7), found=Handover())
    np.testing.assert_array_equal(run.acc, slow_convolution(ifmap, layer, 7))
    counts, handover = layer_counts(schedule, shape)
    counted = memory.layer_counts(program, shape, run.counters)
    assert (counts.cycles, counts.accesses, handover) == (counted.cycles, counted.accesses, run.handover)


@pytest.mark.parametrize("source", ["l2", "dram"])
@pytest.mark.parametrize("order", [{}, {"outputs_outer": True}, {"split_channels": True, "B": 1}])
def test_many_equal_tiles(source, order):
    """Strips of 30 tiles each: the closed form skips what repeats, the engine walks it."""
    machine = accelerator.load("ews-4", {"l1_bytes": 4096})
    shape = ConvShape("layer", 12, 9, (3, 3), padding=(1, 1), size=(30, 23))
    schedule = Schedule(machine, shape, D=3, source=source, strip_columns=5, **order)
    assert (schedule.strips, schedule.tiles) == (5, 150)
    layer = random_conv(np.random.default_rng(1), machine, "dense", shape)
    program = lower(layer, schedule)
    ifmap = np.ones((1, 12, 30, 23), np.int8)
    run = run_program(program, token_ifmap(ifmap, layer, program, 0), found=Handover())
    counts, _ = layer_counts(schedule, shape)
    counted = memory.layer_counts(program, shape, run.counters)
    assert (counts.cycles, counts.accesses) == (counted.cycles, counted.accesses)


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(wide_layers(), st.integers(1, 60), st.integers(1, 8), st.booleans())
def test_a_tile_brings_what_its_pixels_read(shape, width, rows, folded):
    """Pixel by pixel: the box around all ifmap pixels that a tile's windows touch, in words, and its DRAM bytes."""
    shape = replace(shape, residual="", channels=3, outputs=4, groups=1) if folded else shape
    machine = accelerator.load("ews-16", {"l1_bytes": 1 << 17})
    every = ways(shape, machine, "dense")
    seen = every[rows % len(every)]
    assume(width < seen.out_w and rows <= seen.out_h)
    schedule = Schedule(machine, seen, tile_rows=rows, source="dram", strip_columns=width)
    _, visits = chunk_table(schedule)

    def box(layer: ConvShape, axis: int, first: int, step: int, outputs: int) -> int:
        read = [
            o * layer.stride[axis] + k * layer.dilation[axis] - layer.padding[axis]
            for o in range(first, min(first + step, outputs))
            for k in range(layer.kernel[axis])
        ]
        return sum(0 <= at < layer.size[axis] for at in range(min(read), max(read) + 1))

    inputs = seen.channels // seen.groups
    pitch = shape.stride[0] // seen.stride[0]
    # With the rows of zeros that fill the last line on line up.
    kernel_rows = (seen.kernel[0] - 1) * pitch + seen.unfolded.high if seen.unfolded else 0
    places = [
        (part, x, y)
        for part in range(seen.groups)
        for x in range(0, seen.out_w, width)
        for y in range(0, seen.out_h, rows)
    ]
    assert len(visits) == len(places)
    for visit, (part, x, y) in zip(visits, places, strict=True):
        lines = box(seen, 0, y, rows, seen.out_h)
        words = len({byte // 8 for byte in range(part * inputs, (part + 1) * inputs)})
        size = 8 * lines * box(seen, 1, x, width, seen.out_w) * words
        assert visit["ifmap_bytes"] == size
        added = 8 * min(rows, seen.out_h - y) * min(width, seen.out_w - x) * bool(seen.residual)
        outputs = seen.outputs // seen.groups
        added *= len({byte // 8 for byte in range(part * outputs, (part + 1) * outputs)})
        assert visit["residual_bytes"] == added
        in_dram = size
        if seen.unfolded:
            beyond = (
                shape if seen.unfolded.high == 1 else replace(shape, kernel=(kernel_rows, shape.kernel[1]))
            )
            in_dram = (
                box(beyond, 0, y, rows, seen.out_h) * box(shape, 1, x, width, shape.out_w) * shape.channels
            )
        assert visit["dram_bytes"] == in_dram + added


def test_a_row_larger_than_the_group():
    """What one strip cannot hold, several can; only a window that no strip holds is refused, with a size that helps."""
    small = accelerator.load("ews-16", {"l1_bytes": 4096})
    assert mapping.best_schedule(WIDE, small, "dense").strips > 1
    estimate([ConvShape("first", 8, 8), WIDE, PassShape("pool", "pool", 10**6, 1, 10)], small)
    window = ConvShape("window", 16, 16, (9, 40), size=(12, 60))
    for fixed in ({}, {"extension": (1, 1, 2)}):
        machine = accelerator.load("ews-16", {"l1_bytes": 4096} | fixed)
        with pytest.raises(InputError, match=r"window: ifmap tile = 5760: .*1024 of the ifmap") as refused:
            estimate([WIDE, window], machine)
        needed = int(re.search(r"Fix: raise l1_bytes to at least (\d+)\.", str(refused.value))[1])
        estimate([WIDE, window], accelerator.load("ews-16", {"l1_bytes": needed} | fixed))
        with pytest.raises(InputError):
            estimate([WIDE, window], accelerator.load("ews-16", {"l1_bytes": needed - 4} | fixed))


def test_the_fix_of_a_tile_names_what_can_be_lowered():
    small = accelerator.load("ews-16", {"l1_bytes": 4096})
    with pytest.raises(InputError, match=r"Fix: lower strip_columns or raise l1_bytes to at least 4192\."):
        Schedule(small, WIDE, D=3)
    Schedule(accelerator.load("ews-16", {"l1_bytes": 4192}), WIDE, D=3)
    with pytest.raises(InputError, match=r"strip_columns = 130: the ofmap has 129 columns"):
        Schedule(small, WIDE, strip_columns=130)
    with pytest.raises(InputError, match=r"the ifmap in L1 is one tile.*strip_columns = 0"):
        Schedule(small, WIDE, D=3, strip_columns=60, source="l1")


def test_an_ofmap_written_in_strips_does_not_stay_in_l1():
    machine = accelerator.load("ews-16", {"l1_bytes": 4096})
    shapes = [
        ConvShape("wide", 8, 8, (1, 3), (1, 3), size=(1, 180)),
        ConvShape("next", 8, 8, size=(1, 60)),
        ConvShape("after", 8, 8, size=(1, 60)),
    ]
    first, *others = plan(shapes, dict.fromkeys(("wide", "next", "after"), ("dense", 0)), machine)
    assert first.strips > 1
    assert shapes[0].ofmap_bytes <= machine.l1_bytes // 8
    assert [how.source for how in others] == ["l2", "l1"]


def test_a_network_of_wide_maps():
    machine = accelerator.load("ews-8", {"l1_bytes": 2048})
    rng = np.random.default_rng(3)
    layers, channels = [], 5
    for name, source, outputs in (("a", "input", 12), ("b", "a", 8)):
        shape = ConvShape(name, channels, outputs, (3, 3), padding=(1, 1), size=(6, 70))
        conv = random_conv(rng, machine, "dense", shape)
        factors = np.full(outputs, 999, np.uint16), np.full(outputs, 20, np.uint8)
        layers.append(
            Conv(
                name, source, conv.weight, conv.bias, padding=(1, 1), requantization=Requantization(*factors)
            )
        )
        channels = outputs
    network = Network("wide", TensorSpec((5, 6, 70), zero_point=4), tuple(layers))
    images = rng.integers(-128, 128, (2, 5, 6, 70)).astype(np.int8)
    found = simulate(network, machine, images)
    assert found.bit_exact
    assert all(layer.schedule.strips > 1 for layer in found.layers)
    assert [layer.cycles for layer in found.layers] == [
        layer.counts.cycles for layer in estimate(network, machine).layers
    ]
