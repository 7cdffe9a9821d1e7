"""The search is exhaustive, honest about limits, and obeys the description."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim import accelerator, technology
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic import mapping
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.schedule import Schedule, fold, spills
from sim.systolic.streams import dense_format
from tests.sim.systolic.cases import machines

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
LAYER = ConvShape("layer", 48, 40, (3, 3), padding=(1, 1), size=(14, 14))


@pytest.mark.parametrize("objective", mapping.OBJECTIVES)
def test_never_worse_than_the_plain_schedule(objective):
    machine = accelerator.preset("ews-16")
    plain, _ = layer_counts(Schedule(machine, LAYER, tile_rows=14), LAYER)
    best, _ = layer_counts(mapping.best_schedule(LAYER, machine, "dense", objective=objective), LAYER)
    if objective == "cycles":
        assert best.total_cycles <= plain.total_cycles
    assert best.accesses["l1"] < plain.accesses["l1"]


def test_fewest_cycles_of_all_schedules():
    machine = accelerator.preset("ews-8")
    layer = ConvShape("layer", 20, 12, (2, 2), size=(6, 6))
    best, _ = layer_counts(mapping.best_schedule(layer, machine, "dense", objective="cycles"), layer)
    found = []
    for a in range(1, 3):
        for b in range(1, 4):
            for d in range(1, 5):
                for overlap in (True, False):
                    try:
                        schedule = Schedule(machine, layer, A=a, B=b, D=d, overlap=overlap, tile_rows=5)
                    except InputError:
                        continue
                    found.append(layer_counts(schedule, layer)[0].total_cycles)
    assert len(found) > 20
    assert best.total_cycles == min(found)


def test_extension_is_obeyed():
    machine = accelerator.load("ews-16", {"extension": (2, 3, 2)})
    schedule = mapping.best_schedule(LAYER, machine, "dense")
    assert (schedule.A, schedule.B, schedule.D) == (2, 3, 2)
    assert not schedule.overlap
    small = mapping.best_schedule(ConvShape("point", 8, 8), machine, "dense")
    assert (small.A, small.B, small.D) == (1, 1, 1)


@pytest.mark.parametrize("extension", [None, (1, 2, 2)])
def test_a_machine_may_load_and_compute_in_turn(extension):
    either, turn = (
        accelerator.load("ews-16", {"extension": extension, "weight_overlap": overlap})
        for overlap in (True, False)
    )
    assert any(found.overlap for found in mapping.candidates(LAYER, either, "dense", 0, "l2"))
    assert not any(found.overlap for found in mapping.candidates(LAYER, turn, "dense", 0, "l2"))
    with pytest.raises(InputError, match=r"overlap = True: .*in turn"):
        Schedule(turn, LAYER, overlap=True)


def test_a_layer_that_cannot_be_mapped_names_the_limit():
    machine = accelerator.load("ews-16", {"l1_bytes": 1024})
    tall = replace(LAYER, kernel=(5, 5), padding=(2, 2))  # 25 pixels of 16 channels, in the narrowest strip
    with pytest.raises(InputError, match=r"ifmap tile = 400: bytes exceed the 256"):
        mapping.best_schedule(tall, machine, "dense")


def test_unknown_objective():
    with pytest.raises(InputError, match="objective = 'speed'"):
        mapping.best_schedule(LAYER, accelerator.preset("ews-16"), "dense", objective="speed")


def test_equal_shapes_share_a_schedule():
    machine = accelerator.preset("ews-16")
    other = ConvShape("other", 48, 40, (3, 3), padding=(1, 1), size=(14, 14))
    first, second = (mapping.best_schedule(s, machine, "dense") for s in (LAYER, other))
    assert (first.A, first.B, first.D) == (second.A, second.B, second.D)
    assert first == second


def value(schedule, shape, objective):
    """What the search minimises, from the layer's counts."""
    counts, _ = layer_counts(schedule, shape)
    energy = technology.load(schedule.accelerator.technology).access_pj
    spent = sum(n * energy[what] for what, n in counts.accesses.items())
    return {"energy": spent, "cycles": counts.total_cycles, "edp": spent * counts.total_cycles}[objective]


@st.composite
def shapes(draw, most=40, size=9):
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    groups = draw(st.sampled_from([1, 1, 1, 2, 5]))
    return ConvShape(
        "layer",
        groups * draw(st.integers(1, most // groups)),
        groups * draw(st.integers(1, most // groups)),
        kernel,
        draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        (kernel[0] // 2, kernel[1] // 2),
        draw(st.tuples(st.integers(3, size), st.integers(3, size))),
        draw(st.sampled_from(["", "sum"])),
        groups=groups,
    )


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(machines(sizes=(4, 8)), shapes(), st.sampled_from(mapping.OBJECTIVES), st.sampled_from(["l2", "dram"]))
def test_never_worse_than_the_fixed_default(machine, shape, objective, source):
    """A = B = D = 1, two banks if the format allows; the tallest tile, for energy also the smallest one."""
    form = dense_format(shape, machine)
    source = "dram" if spills(shape, machine) else source
    fixed = []
    for rows in range(1, shape.out_h + 1):
        try:
            fixed.append(
                Schedule(
                    machine,
                    shape,
                    form,
                    overlap=machine.split < machine.wrf_depth,
                    tile_rows=rows,
                    source=source,
                )
            )
        except InputError:
            break
    assume(fixed)
    best = value(
        mapping.best_schedule(shape, machine, form, objective=objective, source=source), shape, objective
    )
    if fixed[-1].tiles == 1:
        assert best <= value(fixed[-1], shape, objective)
    if objective == "energy" and shape.kernel[0] >= shape.stride[0]:  # else tall tiles bring unread rows
        assert best <= value(fixed[0], shape, objective) * (1 + 1e-12)


def all_schedules(shape, machine, form, source):
    """Every legal one: no bound, no order, the largest tiles that a single and a double buffer hold."""
    for seen in {shape, fold(shape, machine, form)}:
        here = "dram" if spills(seen, machine) else source
        for factors in product(range(1, 17), range(1, 17), range(1, 10), (True, False)):
            for outer, split in product((False, True), repeat=2):
                for tile_rows in range(1, seen.out_h + 1):
                    try:
                        yield Schedule(machine, seen, form, 0, *factors, tile_rows, outer, split, here)
                    except InputError:
                        continue


def declared(shape, machine, form, source):
    """Those that the search promises: the largest tiles of a single and of a double buffer, spread evenly."""
    found = {}
    for schedule in all_schedules(shape, machine, form, source):
        key = (
            schedule.shape,
            schedule.A,
            schedule.B,
            schedule.D,
            schedule.overlap,
            schedule.outputs_outer,
            schedule.split_channels,
        )
        found.setdefault(key, {})[schedule.tile_rows] = schedule
    for legal in found.values():
        rows = [max(legal)]
        if rows[0] < (out_h := legal[rows[0]].shape.out_h):
            rows += (
                [max(twice)] if (twice := [n for n in legal if legal[n].tiling.ifmap_buffers == 2]) else []
            )
        for n in rows:
            tiles = -(-out_h // n)
            yield legal[-(-out_h // tiles)]


@pytest.mark.parametrize("objective", mapping.OBJECTIVES)
@settings(max_examples=6, deadline=None, suppress_health_check=SLOW)
@given(
    small=shapes(most=14, size=7),
    sparse=st.booleans(),
    l1=st.sampled_from([1024, 2048]),
    l2=st.sampled_from([1024, 4096, 1 << 20]),
    source=st.sampled_from(["l2", "dram"]),
)
def test_equals_an_unpruned_search(objective, small, sparse, l1, l2, source):
    machine = accelerator.load(
        "ews-cms-4" if sparse else "ews-4", {"l1_bytes": l1, "l2_bytes": l2, "wrf_depth": 8, "dma_bits": 32}
    )
    form = dense_format(small, machine)
    everything = [value(s, small, objective) for s in all_schedules(small, machine, form, source)]
    assume(everything)
    promised = min(value(s, small, objective) for s in declared(small, machine, form, source))
    best = mapping.best_schedule(small, machine, form, objective=objective, source=source)
    assert value(best, small, objective) <= promised
    if best.strips == 1:  # of strips there is no list here
        assert min(everything) <= value(best, small, objective)


@pytest.mark.parametrize(
    ("family", "size", "kernel", "form"),
    [
        ("ws", (197, 1), (1, 1), "dense"),
        ("ews", (28, 28), (3, 3), "dense"),
        ("ws-cms", (7, 7), (1, 1), "split"),
    ],
)
def test_equal_energies_go_to_fewer_cycles(family, size, kernel, form):
    machine = accelerator.preset(f"{family}-16")
    layer = ConvShape("x", 128, 128, kernel, padding=(kernel[0] // 2, kernel[1] // 2), size=size)
    best = mapping.best_schedule(layer, machine, form, objective="energy")
    least = value(best, layer, "energy")
    cycles = [
        value(found, layer, "cycles")
        for found in mapping.candidates(layer, machine, form, 0, "l2")
        if value(found, layer, "energy") == least
    ]
    assert len(cycles) > 1
    assert value(best, layer, "cycles") == min(cycles)


def test_outputs_outside_tiles_read_the_weights_of_a_language_model_once():
    """Tokens x 4096 -> 11008, all of it a sixteenth, L1 and L2 too: weights do not fit, nor do the maps."""
    machine = accelerator.load("ews-16", {"l1_bytes": 1 << 14, "l2_bytes": 1 << 16})
    layer = ConvShape("up", 256, 688, size=(128, 1))
    best = mapping.best_schedule(layer, machine, "dense", objective="energy", source="dram")
    assert best.outputs_outer
    assert best.tiles > 1
    inside = replace(best, outputs_outer=False)
    once, often = (layer_counts(schedule, layer)[0].accesses for schedule in (best, inside))
    assert often["dram"] - once["dram"] == layer.weights * (best.tiles - 1) - (
        layer.ifmap_bytes * (best.ifmap_sweeps - inside.ifmap_sweeps)
    )
    assert often["dram"] > 1.8 * once["dram"]
    assert value(best, layer, "energy") < value(inside, layer, "energy")
