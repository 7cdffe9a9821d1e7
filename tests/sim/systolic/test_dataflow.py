"""Weight-stationary and extended weight-stationary: what A, B, D and the ARF change, and what not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim import accelerator
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic.closed_form.accesses import core_counts
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.engine import memory, run_program
from sim.systolic.program import lower, token_ifmap
from sim.systolic.schedule import Schedule
from tests.sim.systolic.cases import layer_cases

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(families=("ws", "ws-cms"), sizes=(4, 8)))
def test_ews_without_extension_and_reuse_is_ws(case):
    """MVQ sec. 6.1: A = B = D = 1 and no ARF reuse. Same ports, banks and loading mode."""
    ws = case.schedule
    fields = ws.accelerator.model_dump() | {"dataflow": "ews", "wrf_depth": 16}
    ews = replace(ws, accelerator=accelerator.build(fields))
    runs, counts = [], []
    for schedule in (ws, ews):
        program = lower(case.layer, schedule)
        ifmap = token_ifmap(case.ifmap, case.layer, program, case.zero_point)
        run = run_program(program, ifmap, found=case.found)
        runs.append((run.counters, run.handover, run.acc.tolist()))
        closed, left = layer_counts(schedule, case.shape, case.found)
        counts.append((closed.cycles, closed.accesses, left))
        assert memory.layer_counts(program, case.shape, run.counters).accesses == closed.accesses
    assert runs[0] == runs[1]
    assert counts[0] == counts[1]


FACTORS = st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3])).filter(
    lambda factors: factors[0] * factors[1] * factors[2] <= 16
)


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(FACTORS, st.sampled_from(["ews-4", "ews-8", "ews-4x8"]), st.integers(1, 3), st.booleans())
def test_requests_fall_by_a_and_psum_rows_by_b_times_d(factors, name, stride, overlap):
    """Channels, outputs and positions divide: then the ratios are exact."""
    a, b, d = factors
    acc = accelerator.load(name, {"wrf_depth": 32, "arf_depth": 64})
    shape = ConvShape("layer", 4 * acc.rows, 4 * acc.columns, (3, 3), (stride, stride), (1, 1), (5, 6))
    plain = Schedule(acc, shape, overlap=overlap, tile_rows=shape.out_h)
    extended = replace(plain, A=a, B=b, D=d)
    one, many = core_counts(plain), core_counts(extended)
    assert one["vectors"] == a * many["vectors"]
    assert one["arf_read"] == a * many["arf_read"]
    rows = [n["psum_rows_written"] + n["finished_rows"] for n in (one, many)]
    assert rows[0] == b * d * rows[1]
    assert one["finished_rows"] == many["finished_rows"]
    assert one["psum_rows_read"] == one["psum_rows_written"]
    for same in ("tokens", "mac", "wrf_read", "wrf_write", "prf_write"):
        assert one[same] == many[same]


def slow_ifmap_reads(schedule) -> int:
    """Bytes that the ARF takes from L1: a set of the window's places for each pixel, kept from the last.

    A row of pixels starts with an empty set, as does its piece in every strip of columns, and every pixel without
    reuse. Padding is not read.
    """
    layer, total = schedule.shape, 0
    height, width = layer.size
    places = [
        (y * layer.dilation[0] - layer.padding[0], x * layer.dilation[1] - layer.padding[1])
        for y in range(layer.kernel[0])
        for x in range(layer.kernel[1])
    ]
    subsets = [places[n : n + schedule.D] for n in range(0, len(places), schedule.D)]
    for part in range(schedule.parts):
        channels, outputs = schedule.part_of(part)
        output_groups = -(-outputs // schedule.accelerator.columns)
        for subset in subsets:
            for oy in range(layer.out_h):
                resident: set[tuple[int, int]] = set()
                for ox in range(layer.out_w):
                    if schedule.strip_columns and ox % schedule.strip_columns == 0:
                        resident = set()
                    window = {(oy * layer.stride[0] + y, ox * layer.stride[1] + x) for y, x in subset}
                    new = window - resident if schedule.reuses else window
                    inside = sum(0 <= y < height and 0 <= x < width for y, x in new)
                    total += inside * channels * -(-output_groups // schedule.A)
                    resident = window
    return total


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(sizes=(4, 8)))
def test_ifmap_reads_equal_windows_of_sets(case):
    program = lower(case.layer, case.schedule)
    run = run_program(program, token_ifmap(case.ifmap, case.layer, program, case.zero_point))
    expected = slow_ifmap_reads(case.schedule)
    assert run.counters["l1_ifmap_read"] == run.counters["arf_write"] == expected
    assert core_counts(case.schedule)["l1_ifmap_read"] == expected


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(families=("ews", "ews-cms"), sizes=(4, 8)))
def test_reuse_changes_only_what_is_fetched(case):
    """Values, tokens, requests and psums stay; L1 reads never rise."""
    assume(case.schedule.reuses)
    fields = case.schedule.accelerator.model_dump() | {"arf_reuse": False}
    without = replace(case.schedule, accelerator=accelerator.build(fields))
    runs = []
    for schedule in (case.schedule, without):
        program = lower(case.layer, schedule)
        runs.append(run_program(program, token_ifmap(case.ifmap, case.layer, program, case.zero_point)))
    assert (runs[0].acc == runs[1].acc).all()
    for name in ("tokens", "vectors", "arf_read", "psum_rows_written", "mac", "gated", "beats"):
        assert runs[0].counters[name] == runs[1].counters[name]
    assert runs[0].counters["l1_ifmap_read"] <= runs[1].counters["l1_ifmap_read"]


@pytest.mark.parametrize(("dilation", "reuses"), [((1, 1), True), ((2, 1), True), ((1, 2), False)])
def test_a_dilated_window_does_not_slide(dilation, reuses):
    shape = ConvShape("layer", 4, 4, (3, 3), size=(9, 9), dilation=dilation)
    schedule = Schedule(accelerator.preset("ews-4"), shape, D=9, overlap=False)
    assert schedule.reuses == reuses
    assert schedule.new_vectors(0, False) == (3 if reuses else 9)


def test_a_block_layer_has_no_groups_to_extend_over():
    shape = ConvShape("layer", 8, 8, (3, 3), size=(5, 5), groups=8)
    acc = accelerator.preset("ews-4")
    Schedule(acc, shape, "block", D=3)
    with pytest.raises(InputError, match=r"A, B = \(2, 1\): groups on the diagonal.*A = B = 1"):
        Schedule(acc, shape, "block", A=2)
