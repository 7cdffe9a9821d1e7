"""The search is exhaustive, honest about limits, and obeys the description."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim import accelerator, technology
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic import mapping
from sim.systolic.candidates import spaces
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.schedule import Schedule, spills
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
    for machine, overlapping in ((either, True), (turn, False)):
        (space,) = spaces(LAYER, machine, "dense", 0, "l2")
        assert space.boxes["overlap"].any() == overlapping
        assert not space.boxes["overlap"].all()
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
    """By more than its stated gap, that is: A = B = D = 1, two banks if the format allows; the tallest tile, for energy
    also the smallest one.
    """
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
    found = mapping.search(shape, machine, form, objective=objective, source=source)
    least = value(found.schedule, shape, objective) / (
        1 + found.gap
    )  # what the search says no schedule is below
    if fixed[-1].tiles == 1:
        assert least <= value(fixed[-1], shape, objective) * (1 + 1e-12)
    if objective == "energy" and shape.kernel[0] >= shape.stride[0]:  # else tall tiles bring unread rows
        assert least <= value(fixed[0], shape, objective) * (1 + 1e-12)


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
