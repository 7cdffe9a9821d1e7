"""Positions of the kernel beside few channels: values, and cycles and accesses of the three that count them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sim import accelerator
from sim.errors import InputError
from sim.network import pad
from sim.shapes import ConvShape
from sim.systolic import mapping
from sim.systolic.bulk import counts as bulk
from sim.systolic.bulk.accesses import ACCESSES
from sim.systolic.bulk.problem import ENERGIES
from sim.systolic.bulk.walk import LEFT, SPENT
from sim.systolic.candidates import spaces
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.engine import memory, run_program
from sim.systolic.folding import ways
from sim.systolic.program import lower, token_ifmap
from sim.systolic.schedule import Schedule, spills
from sim.systolic.streams import dense_format
from sim.technology import mapping_energy
from sim.workloads import workload
from tests.sim.systolic.bulk.rows import rows_of
from tests.sim.systolic.cases import Case, handovers, random_conv, slow_convolution

FAMILIES = ("ews-16", "ews-cms-16", "ews-c-16", "ws-8", "ews-4x8", "ews-32")


@st.composite
def stems(draw) -> Case:
    """A layer of few channels whose kernel rows fold, on a machine with little L1, in any tiles."""
    extra = {"l1_bytes": draw(st.sampled_from([1024, 4096, 1 << 16])), "l2_bytes": 1 << 18}
    machine = accelerator.load(draw(st.sampled_from(FAMILIES)), extra)
    kernel = draw(st.tuples(st.integers(2, 7), st.integers(1, 7)))
    stride = draw(st.tuples(st.integers(2, 6), st.integers(1, 4)))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = draw(st.tuples(*(st.integers(k, k + 17) for k in kernel)))
    outputs = draw(st.integers(1, 20))
    coded = machine.coded and draw(st.booleans())
    if coded:
        outputs = machine.codeword_length * ceil(outputs / machine.codeword_length)
    residual = draw(st.sampled_from(["", "sum"]))
    shape = ConvShape("layer", draw(st.integers(1, 4)), outputs, kernel, stride, padding, size, residual)
    form = machine.format if coded else dense_format(shape, machine)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    layer = random_conv(rng, machine, form, shape)
    found = ways(shape, machine, form)
    assume(len(found) > 1)
    seen = draw(st.sampled_from(found[1:]))
    factors = (1, 1, 1) if machine.dataflow == "ws" else (*(1, 1), draw(st.integers(1, 4)))
    try:
        schedule = Schedule(
            machine,
            seen,
            form,
            layer.weight.codebook.shape[0] if coded else 0,
            *factors,
            overlap=draw(st.booleans()),
            tile_rows=draw(st.integers(1, seen.out_h)),
            source="dram" if spills(seen, machine) else draw(st.sampled_from(["l2", "dram"])),
            strip_columns=draw(st.integers(0, seen.out_w)),
        )
    except InputError:
        assume(False)
    ifmap = rng.integers(-128, 128, (1, shape.channels, *size)).astype(np.int8)
    return Case(layer, draw(st.integers(-128, 127)), ifmap, shape, schedule, draw(handovers()))


@settings(max_examples=60, deadline=None)
@given(stems())
def test_values_and_counts(case):
    """Engine, closed form and compiled closed form; sums of the layer as it was before it was folded."""
    program = lower(case.layer, case.schedule)
    tokens = token_ifmap(case.ifmap, case.layer, program, case.zero_point)
    run = run_program(program, tokens, found=case.found)
    np.testing.assert_array_equal(run.acc, slow_convolution(case.ifmap, case.layer, case.zero_point))
    counted = memory.layer_counts(program, case.shape, run.counters)
    expected, left = layer_counts(case.schedule, case.shape, case.found)
    assert (counted.cycles, counted.accesses, run.handover) == (expected.cycles, expected.accesses, left)
    problem, how = rows_of(case.schedule, case.shape)
    found = np.array([case.found], np.int64).reshape(1, LEFT)
    spent, accesses = np.zeros((1, len(SPENT)), np.int64), np.zeros((1, ACCESSES), np.int64)
    bulk.layers(problem, how, found, spent, accesses)
    assert dict(zip(ENERGIES, accesses[0].tolist(), strict=False)) == expected.accesses
    assert dict(zip(SPENT, spent[0].tolist(), strict=True)) == {c: expected.cycles[c] for c in SPENT}
    assert tuple(found[0].tolist()) == left


@settings(max_examples=30, deadline=None)
@given(stems())
def test_every_folded_pixel_holds_what_lies_under_the_kernel(case):
    """Channel (r*f + i)*C + c is line r and column i behind the first of a pixel, and each weight has one place."""
    seen, shape, zero = case.schedule.shape, case.shape, case.zero_point
    (_, _, high, width), pitch = seen.unfolded, shape.stride[0] // seen.stride[0]
    assert pitch <= high or seen.kernel[0] == 1
    assert high + pitch * (seen.kernel[0] - 1) >= shape.kernel[0] > high + pitch * (seen.kernel[0] - 2)
    assert width * seen.kernel[1] >= shape.kernel[1] > width * (seen.kernel[1] - 1)
    assert (seen.out_h, seen.out_w) == (shape.out_h, shape.out_w)
    tokens = token_ifmap(case.ifmap, case.layer, lower(case.layer, case.schedule), zero)[0]
    padded = pad(case.ifmap, shape.padding, zero)[0]
    groups = seen.kernel[1]
    for c, r, i in np.ndindex(shape.channels, high, width):
        channel = tokens[(r * width + i) * shape.channels + c]
        for y, x in np.ndindex(channel.shape):
            line, column = y * pitch + r, x // groups * shape.stride[1] + x % groups * width + i
            inside = line < padded.shape[1] and column < padded.shape[2]
            assert channel[y, x] == (padded[c, line, column] if inside else zero)


def seen(shape: ConvShape, machine: str, form: str = "dense") -> list[tuple]:
    return [
        (way.channels, way.kernel, way.stride, way.size)
        for way in ways(shape, accelerator.load(machine), form)
    ]


def test_resnet_stem():
    """7x7 by strides of 2 on three channels: 21 rows of 64 and 7 positions, 42 and 4, or 63 and 3."""
    shape = workload("resnet18").shapes[0]
    assert seen(shape, "ews-cms-64", "split") == [
        (3, (7, 7), (2, 2), (224, 224)),
        (21, (7, 1), (2, 1), (224, 112)),
        (42, (4, 1), (1, 1), (115, 112)),
        (63, (3, 1), (1, 1), (114, 112)),
    ]


@pytest.mark.parametrize("name", ["int4-g32-64", "int2-g128-64", "mxfp4-64", "mxint8-64"])
def test_positions_with_scales_of_their_own_stay_apart(name):
    """A folded row would have channels of several positions, and a group of them one scale."""
    machine, stem = accelerator.load(name), workload("resnet18").shapes[0]
    assert ways(stem, machine, machine.format) == (stem,)
    assert len(ways(stem, machine, "dense")) > 1


@pytest.mark.parametrize(
    ("kernel", "stride", "machine", "expected"),
    [
        ((4, 4), (4, 4), "ews-64", (48, (1, 1), (1, 1))),  # patches: all of a kernel on 48 rows
        ((16, 16), (16, 16), "ews-64", (48, (16, 1), (16, 1))),  # columns leave no room
        ((3, 3), (1, 1), "ews-64", (27, (1, 1), (1, 1))),  # each line three times
        ((5, 1), (6, 1), "ews-16", (15, (1, 1), (1, 1))),  # all five lines, and none between
        ((5, 1), (6, 1), "ews-8", (6, (3, 1), (3, 1))),  # two of them, none twice
    ],
)
def test_what_folds(kernel, stride, machine, expected):
    found = seen(ConvShape("stem", 3, 8, kernel, stride, size=(64, 64)), machine)
    assert found[-1][:3] == expected


def test_what_does_not_fold():
    """A codebook has no zeros for a place without a weight; groups, dilation and dynamic weights stay."""
    machine = accelerator.load("ews-c-64")
    stem = ConvShape("stem", 3, 8, (7, 7), (2, 2), size=(64, 64))
    assert [way.kernel for way in ways(stem, machine, "vq")] == [(7, 7), (7, 1)]
    even = replace(stem, kernel=(6, 7))
    assert [way.kernel for way in ways(even, machine, "vq")] == [(6, 7), (6, 1), (3, 1)]
    for other in (
        replace(stem, dilation=(1, 2)),
        replace(stem, dynamic=True),
        replace(stem, channels=4, groups=2),
    ):
        assert ways(other, machine, "dense") == (other,)


def test_a_fold_more_to_choose_from_is_never_worse():
    """By no objective, however the search ends: what is better than the best before counts alone."""
    stem = replace(workload("mobilenet-v2").shapes[0], name="")
    machine = accelerator.load("ews-64")
    _, energy = mapping_energy(machine)
    plain = [space for space in spaces(stem, machine, "dense", 0, "dram") if space.base.shape.kernel[0] == 3]
    before = mapping._Best(1, stem)
    before.improve([mapping._Tree(space, stem, energy) for space in plain], energy)
    for objective, limit in zip(mapping.OBJECTIVES, before.limits, strict=True):
        how = mapping.search(stem, machine, "dense", objective=objective, source="dram").schedule
        counts, _ = layer_counts(how, stem)
        values = mapping.score(counts.total_cycles, counts.accesses, energy)
        assert values[mapping.OBJECTIVES.index(objective)] <= limit
