"""The search is exhaustive, honest about limits, and obeys the description."""

from __future__ import annotations

import pytest

from sim import accelerator, mapping
from sim.counts import layer_counts
from sim.errors import InputError
from sim.schedule import Schedule
from sim.shapes import ConvShape

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
                        schedule = Schedule(machine, layer, a=a, b=b, d=d, overlap=overlap, tile_rows=5)
                    except InputError:
                        continue
                    found.append(layer_counts(schedule, layer)[0].total_cycles)
    assert len(found) > 20
    assert best.total_cycles == min(found)


def test_extension_is_obeyed():
    machine = accelerator.load("ews-16", {"extension": (2, 3, 2)})
    schedule = mapping.best_schedule(LAYER, machine, "dense")
    assert (schedule.a, schedule.b, schedule.d) == (2, 3, 2)
    assert not schedule.overlap
    small = mapping.best_schedule(ConvShape("point", 8, 8), machine, "dense")
    assert (small.a, small.b, small.d) == (1, 1, 1)


def test_a_layer_that_cannot_be_mapped_names_the_limit():
    machine = accelerator.load("ews-16", {"l1_bytes": 1024})
    with pytest.raises(InputError, match=r"ifmap tile = \d+: bytes exceed the 256"):
        mapping.best_schedule(LAYER, machine, "dense")


def test_unknown_objective():
    with pytest.raises(InputError, match="objective = 'speed'"):
        mapping.best_schedule(LAYER, accelerator.preset("ews-16"), "dense", objective="speed")


def test_equal_shapes_share_a_search_but_keep_their_names():
    machine = accelerator.preset("ews-16")
    other = ConvShape("other", 48, 40, (3, 3), padding=(1, 1), size=(14, 14))
    first, second = (mapping.best_schedule(s, machine, "dense") for s in (LAYER, other))
    assert (first.a, first.b, first.d) == (second.a, second.b, second.d)
    assert second.shape.name == "other"
