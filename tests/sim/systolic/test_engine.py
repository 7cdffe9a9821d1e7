"""The cycle engine computes the right values, and the closed form is the same machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import accelerator, network
from sim.network.integer import requantize
from sim.systolic.closed_form.accesses import core_counts
from sim.systolic.closed_form.counts import core_cycles, layer_counts
from sim.systolic.engine import memory, run_program, simulate, storer
from sim.systolic.engine.storer import average_pool as stored_average
from sim.systolic.engine.storer import requantize as stored
from sim.systolic.program import lower, token_ifmap
from sim.systolic.results import CAUSES
from sim.systolic.schedule import Schedule
from tests.sim.network.networks import small_network
from tests.sim.systolic.cases import layer_cases, slow_convolution

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def check(case):
    machine = case.schedule.accelerator
    program = lower(case.layer, case.schedule)
    ifmap = token_ifmap(case.ifmap, case.layer, program, case.zero_point)
    expected = slow_convolution(case.ifmap, case.layer, case.zero_point)
    exact = case.schedule.format != "rom" or machine.rom_ports >= machine.columns
    counters = core_counts(case.schedule) | core_cycles(case.schedule)
    if not exact:  # ROM conflicts depend on the assignments; the closed form expects an average
        counters = core_counts(case.schedule)

    alone = run_program(program, ifmap)
    np.testing.assert_array_equal(alone.acc, expected)
    assert {name: alone.counters[name] for name in counters} == counters
    assert sum(alone.counters.get(cause, 0) for cause in CAUSES) == alone.counters["core_cycles"]

    run = run_program(program, ifmap, found=case.found)
    if machine.edge_registers:
        clocked = run_program(program, ifmap, found=case.found, registers=True)
        np.testing.assert_array_equal(clocked.acc, run.acc)
        assert (clocked.counters, clocked.handover) == (run.counters, run.handover)
    np.testing.assert_array_equal(run.acc, expected)
    counts, left = layer_counts(case.schedule, case.shape, case.found)
    found = memory.layer_counts(program, case.shape, run.counters)
    assert found.accesses == counts.accesses
    assert sum(found.cycles.values()) == run.counters["core_cycles"]
    if exact:
        assert found.cycles == counts.cycles
        assert run.handover == left


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(layer_cases())
def test_engine_equals_reference_and_closed_form(case):
    check(case)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=SLOW)
@given(layer_cases())
def test_engine_equals_reference_and_closed_form_at_length(case):
    check(case)


@settings(max_examples=6, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(sizes=(96, 128, 256)))
def test_arrays_beyond_the_verilog(case):
    check(case)


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(sizes=(4, 8)))
def test_outputs_do_not_depend_on_the_schedule(case):
    """MVQ sec. 6.2: EWS output is independent of A, B, D; nor do loop order, tiles and banks matter."""
    source = "l2" if case.schedule.source == "l1" else case.schedule.source
    plain = replace(
        case.schedule, A=1, B=1, D=1, overlap=False, tile_rows=1, outputs_outer=False, source=source
    )
    runs = []
    for schedule in (plain, case.schedule):
        program = lower(case.layer, schedule)
        runs.append(run_program(program, token_ifmap(case.ifmap, case.layer, program, 0)).acc)
    np.testing.assert_array_equal(*runs)


def test_trace_lists_every_psum_row_in_the_cycle_it_becomes_visible():
    machine = accelerator.preset("ews-8")
    rng = np.random.default_rng(3)
    net = small_network(d=8, size=8)
    layer, shape = net.layers[1], net.shapes[1]
    schedule = Schedule(machine, shape, D=3, tile_rows=8)
    program = lower(layer, schedule)
    ifmap = rng.integers(-128, 128, (1, 8, 8, 8)).astype(np.int8)
    run = run_program(program, token_ifmap(ifmap, layer, program, -128), trace=True)
    assert run.counters["psum_rows_written"] == 2 * 64
    assert len(run.rows) == len(run.row_cycles) == 3 * 64
    assert (np.diff(run.row_cycles) > 0).all()
    assert run.row_cycles[-1] + 1 == run.counters["core_cycles"]
    finished = run.rows[-64:].reshape(8, 8, 8).transpose(2, 0, 1)
    np.testing.assert_array_equal(finished, slow_convolution(ifmap, layer, -128)[0])


@pytest.mark.parametrize("family", ["ws", "ews", "ews-cm", "ews-cms", "ws-cms"])
def test_a_network_is_bit_exact_on_every_family(family):
    machine = accelerator.preset(f"{family}-8")
    net = small_network(d=8, size=8)
    images = np.random.default_rng(5).integers(-128, 128, (3, 1, 8, 8)).astype(np.int8)
    result = simulate(net, machine, images)
    assert result.bit_exact
    assert result.tensors["join"].std() > 0
    assert sum(layer.macs for layer in result.layers) == net.macs


def test_a_wrong_tensor_is_noticed(monkeypatch):
    """`bit_exact` compares; it is not a constant."""
    net = small_network(d=8, size=8)
    images = np.zeros((1, 1, 8, 8), np.int8)
    monkeypatch.setattr(storer, "average_pool", lambda x, *rest: stored_average(x, *rest) + np.int8(1))
    assert not simulate(net, accelerator.preset("ews-8"), images).bit_exact


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20),
    st.integers(0, 65535),
    st.integers(1, 47),
    st.integers(-128, 127),
)
def test_requantization_rounds_half_up_and_clamps(values, multiplier, shift, zero_point):
    """Exact rationals decide; the storer and the functional model must both follow."""
    acc = np.array(values, np.int32).reshape(1, -1, 1)
    expected = [
        min(max(-(-(2 * v * multiplier - 2**shift + 1) // 2 ** (shift + 1)) + zero_point, -100), 90)
        for v in values
    ]
    bias = np.zeros(1, np.int32)
    m, s = np.array([multiplier], np.uint16), np.array([shift], np.uint8)
    found = stored(acc, bias, m, s, zero_point, -100, 90)
    assert found.ravel().tolist() == expected
    functional = requantize(acc.reshape(-1, 1), bias, m, s, zero_point, -100, 90)
    assert functional.ravel().tolist() == expected


def test_requantization_ties_go_up():
    acc = np.array([-3, -1, 1, 3], np.int32).reshape(-1, 1)
    out = requantize(
        acc, np.zeros(1, np.int32), np.array([1], np.uint16), np.array([1], np.uint8), 0, -128, 127
    )
    assert out.ravel().tolist() == [-1, 0, 1, 2]


def test_average_pool_twice():
    x = np.random.default_rng(1).integers(-128, 128, (2, 3, 7, 7)).astype(np.int8)
    expected = [
        [[(int((x[n, c].astype(int) + 5).sum()) * 41797 + 2**20) // 2**21 - 2] for c in range(3)]
        for n in range(2)
    ]
    layer = network.AveragePool("pool", "input", 41797, 21, -2)
    functional = layer.compute(network.Operand(x, -5))
    assert functional.reshape(2, 3, 1).tolist() == expected
    engine = stored_average(x.reshape(2, 3, 49), 41797, 21, -5, -2, -128, 127)
    assert engine.tolist() == expected


def test_functional_convolution_equals_the_slow_one():
    """Wide layers too: float32 products are exact in parts, and the parts add exactly."""
    rng = np.random.default_rng(2)
    weight = network.DenseWeight(np.full((2, 600, 3, 3), -128, np.int8))
    layer = network.Conv("wide", "input", weight, np.zeros(2, np.int32), padding=(1, 1))
    ifmap = rng.choice(np.array([-128, 127], np.int8), (1, 600, 4, 4))
    np.testing.assert_array_equal(network.convolve(ifmap, layer, 7), slow_convolution(ifmap, layer, 7))


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(families=("ws", "ews", "ews-cms"), sizes=(4, 8)), st.sampled_from([1, 2, 64]))
def test_arbitrated_l1_changes_time_only(case, banks):
    """Fewer shared banks never help; the values and every access stay."""
    plain = case.schedule.accelerator.model_copy(update={"ifmap_banks": banks, "psum_banks": banks})
    schedule = replace(case.schedule, accelerator=plain)
    program = lower(case.layer, schedule)
    ifmap = token_ifmap(case.ifmap, case.layer, program, 0)
    own = run_program(program, ifmap, found=case.found)
    shared = run_program(program, ifmap, found=case.found, arbitrated=True)
    np.testing.assert_array_equal(own.acc, shared.acc)
    counts, expected = (memory.layer_counts(program, case.shape, run.counters) for run in (shared, own))
    assert counts.accesses == expected.accesses
    assert counts.total_cycles == shared.counters["core_cycles"]
    demand = (shared.counters["l1_psum_read"] + shared.counters["l1_psum_write"]) // 8
    assert counts.total_cycles >= max(shared.counters["tokens"], demand // (2 * banks))
    if banks == 64:  # the pool serves a slot's demands in a cycle or two
        assert counts.total_cycles <= expected.total_cycles + 2 * program.chunks["pixels"].sum()
