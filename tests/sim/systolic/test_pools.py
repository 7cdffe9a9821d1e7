"""Windows over a map: what comes into L1 and what the lanes read there, by three that count it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numba import njit

from sim import accelerator
from sim.network import Pool
from sim.shapes import PassShape
from sim.systolic.bulk import chain
from sim.systolic.bulk.accesses import ACCESSES
from sim.systolic.bulk.problem import ENERGIES, PASS, SOURCES, machine_row, pass_fields
from sim.systolic.closed_form.counts import pass_counts
from sim.systolic.engine import memory
from sim.systolic.plan import plan
from sim.systolic.results import Handover
from sim.workloads import workload
from tests.sim.systolic.cases import handovers


@njit
def _compiled(q, p, source, left, accesses):
    return chain.pass_counts(q, p, source, left, accesses)


@st.composite
def pools(draw) -> tuple[Pool, tuple[int, int, int]]:
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    size = (draw(st.integers(1, 40)), *draw(st.tuples(*(st.integers(k, k + 20) for k in kernel))))
    return Pool("pool", "input", "max", kernel, stride, padding), size


@settings(max_examples=150, deadline=None)
@given(pools(), st.sampled_from(SOURCES), st.sampled_from([1024, 4096, 1 << 17]), handovers())
def test_counts_are_alike(pool, source, l1_bytes, found):
    layer, size = pool
    shape = layer.shape(size)
    machine = accelerator.load("ews-8", {"l1_bytes": l1_bytes, "l2_bytes": 1 << 16})
    expected, left = pass_counts(shape, machine, source, found)
    assert memory.pass_counts(shape, machine, source, found)[:2] == (expected, left)
    q, times, accesses = np.zeros(1, PASS), np.array(found, np.int64), np.zeros(ACCESSES, np.int64)
    q[0] = pass_fields(shape, machine.requant_lanes)
    cycles = _compiled(q[0], machine_row(machine)[0], SOURCES.index(source), times, accesses)
    assert cycles == expected.total_cycles
    assert tuple(times.tolist()) == left
    assert dict(zip(ENERGIES, accesses.tolist(), strict=False)) == expected.accesses


@settings(max_examples=100, deadline=None)
@given(pools())
def test_a_map_comes_once_where_its_lines_fit(pool):
    """Pixel by pixel: the words of all windows, those of the map, and the lines that lie in L1 meanwhile."""
    layer, (channels, height, width) = pool
    shape = layer.shape((channels, height, width))
    _, high, wide = layer.ofmap((channels, height, width))
    pixel = 8 * -(-channels // 8)
    windows = high * wide * layer.kernel[0] * layer.kernel[1] * pixel
    assert shape.ifmap_bytes == windows
    lines = (layer.kernel[0] + layer.stride[0]) * width * pixel
    whole = height * width * pixel
    assume(windows != whole)
    assert shape.brought_bytes(lines) == min(windows, whole)
    assert shape.brought_bytes(lines - 1) == windows
    assert shape.held_bytes == min(windows, whole)


@pytest.mark.parametrize(("l1_bytes", "brought"), [(1 << 18, 100_352), (1 << 17, 225_792)])
def test_the_pool_of_resnet(l1_bytes, brought):
    """Lines of 112 pixels and 64 channels: five of them take 35,840 bytes, which a quarter of L1 holds or not."""
    (pool,) = (s for s in workload("resnet18").shapes if isinstance(s, PassShape) and s.name == "maxpool")
    machine = accelerator.load("ews-cms-64", {"l1_bytes": l1_bytes})
    assert (
        plan([pool, pool], {}, machine)[1] == "l2"
    )  # maps of a megabyte stay there, however often they are read
    counts, _ = pass_counts(pool, machine, "l2", Handover())
    assert counts.accesses["l2"] == 8 * (brought + 56 * 56 * 8)
    assert counts.accesses["l1"] == 8 * (brought + 225_792 + 2 * 56 * 56 * 8)
    assert (
        counts.cycles["vector"] + counts.cycles["dma"] == brought + machine.dma_setup + machine.l2_latency - 4
    )
