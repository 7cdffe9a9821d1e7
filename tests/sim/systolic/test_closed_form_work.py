"""The closed form is one: what it walks does not grow with a layer, and its bounds hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import accelerator
from sim.errors import InputError
from sim.shapes import ConvShape, PassShape, words
from sim.systolic.candidates import spaces
from sim.systolic.closed_form import counts, recurrence
from sim.systolic.closed_form.bounds import Bounds
from sim.systolic.closed_form.counts import layer_counts, pass_counts
from sim.systolic.results import Handover
from sim.systolic.schedule import Schedule
from sim.systolic.streams import dense_format
from sim.systolic.tiling import _step_words
from tests.sim.systolic.cases import machines
from tests.sim.systolic.test_mapping import shapes

MACHINE = accelerator.load("ews-cms-16", {"l1_bytes": 1 << 24, "l2_bytes": 1 << 30})
LAYER = ConvShape("layer", 512, 512, (3, 3), padding=(1, 1), size=(64, 16))


def steps_walked(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many steps the recurrence looks at one by one: chunks, and larger ones that it knows or not."""
    walked = 0

    def counting(step):
        def counted(*how):
            nonlocal walked
            walked += 1
            step(*how)

        return counted

    with monkeypatch.context() as patch:
        for name in ("chunk", "once"):
            patch.setattr(recurrence._Layer, name, counting(getattr(recurrence._Layer, name)))
        recurrence.run(schedule, Handover())
    return walked


@pytest.mark.parametrize("source", ["l2", "dram"])
@pytest.mark.parametrize("order", [{}, {"outputs_outer": True}, {"split_channels": True}])
@pytest.mark.parametrize(
    "grown",
    [
        {"size": (64 * 64, 16)},
        {"outputs": 64 * 512},
        {"channels": 16 * 512},
        {"channels": 64 * 512, "outputs": 64 * 512, "groups": 64},
    ],
    ids=["rows", "outputs", "channels", "groups"],
)
def test_steps_walked_do_not_grow_with_a_layer(grown, order, source, monkeypatch):
    small = Schedule(MACHINE, LAYER, "split", A=2, tile_rows=4, source=source, **order)
    large = replace(small, shape=replace(LAYER, **grown))
    few, many = (steps_walked(schedule, monkeypatch) for schedule in (small, large))
    times = large.parts * large.tiles * np.prod(large.trips) / (small.tiles * np.prod(small.trips))
    assert times >= 16
    assert many <= 3 * few


def test_batches_of_a_pass_looked_at_do_not_grow_with_its_channels(monkeypatch):
    asked = 0

    def counted(*how):
        nonlocal asked
        asked += 1
        return words(*how)

    monkeypatch.setattr(counts, "words", counted)
    pass_counts(PassShape("softmax", "softmax", 10**9, 1, 10**9, channels=10**6), MACHINE)
    assert asked <= 20


@given(
    parts=st.integers(1, 40),
    channels=st.integers(1, 40),
    tail=st.integers(1, 40),
    step=st.integers(1, 50),
    size=st.sampled_from([1, 4]),
)
def test_words_of_all_parts_are_those_of_each(parts, channels, tail, step, size):
    tail = min(tail, channels)
    touched = []
    for part in range(parts):
        places = range(tail if part == parts - 1 else channels)
        for first in range(0, len(places), step):
            taken = [part * channels + n for n in places[first : first + step]]
            touched.append(len({byte // 8 for n in taken for byte in range(n * size, n * size + size)}))
    assert _step_words(parts, channels, tail, step, size) == (max(touched), sum(touched))


def check_bounds(shape, machine, form, codewords, source, data):
    """From a box to a part of it, down to a schedule; of that one accesses are exact where all parts are alike."""
    try:
        found = spaces(shape, machine, form, codewords, source)
    except InputError:
        return
    space = data.draw(st.sampled_from(found))
    bounds, boxes, chain = Bounds(space, shape), space.boxes, []
    while True:
        n = data.draw(st.integers(0, len(boxes) - 1))
        box = boxes[n : n + 1]
        chain.append(bounds.least(box))
        if (box["rows"], box["columns"]) == (box["low_rows"], box["low_columns"]):
            break
        boxes = space.parts(box)
    exact, _ = layer_counts(space.schedule(box[0]), shape)
    for cycles, accesses in chain:
        assert cycles[0] <= exact.total_cycles
        for memory, count in accesses.items():
            assert np.broadcast_to(count, 1)[0] <= exact.accesses[memory], memory
    if space.base.tail_groups == space.base.packed:
        assert {what: int(np.broadcast_to(n, 1)[0]) for what, n in chain[-1][1].items()} == exact.accesses


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(machines(sizes=(4, 8)), shapes(), st.sampled_from(["l1", "l2", "dram"]), st.data())
def test_bounds_of_a_search_hold_in_every_box(machine, shape, source, data):
    check_bounds(shape, machine, dense_format(shape, machine), 0, source, data)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(
        [("ews-c", "vq"), ("ews-cm", "mvq"), ("ews-cms", "mvq"), ("ssvq", "ssvq"), ("rom", "rom")]
    ),
    shapes(),
    st.sampled_from([2, 16, 512]),
    st.sampled_from(["l1", "l2", "dram"]),
    st.integers(0, 20),
    st.data(),
)
def test_bounds_hold_with_a_codebook(family, shape, codewords, source, dram_latency, data):
    name, form = family
    machine = accelerator.load(f"{name}-8", {"codebook_entries": 512, "dram_latency": dram_latency})
    check_bounds(replace(shape, groups=1), machine, form, codewords, source, data)
