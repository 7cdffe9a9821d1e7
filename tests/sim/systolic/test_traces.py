"""Spans of the engine against its counts, and the file that viewers open."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sim.accelerator import preset
from sim.systolic.engine import Recorder, simulate
from sim.trace import TRACKS, Span, Trace, difference, perfetto
from tests.sim.network.networks import small_network

WHOLE = range(20_000)


@pytest.fixture(scope="module")
def run():
    network = small_network(d=16, keep=4)
    images = np.random.default_rng(1).integers(-128, 128, (2, *network.input.shape)).astype(np.int8)
    recorder = Recorder(WHOLE)
    found = simulate(network, preset("ews-cms-16"), images, recorder=recorder)
    return network, images, found, recorder.trace()


def test_spans_add_up_to_the_counts(run):
    _, _, found, trace = run
    layers = trace.on("layers")
    assert [span.name for span in layers] == [layer.name for layer in found.layers]
    end = 0
    for span, layer in zip(layers, found.layers, strict=True):
        assert span.begin == end
        end = span.begin + layer.total_cycles
        assert span.end == end
        spent = dict.fromkeys(layer.cycles, 0)
        for one in trace.on("sequencer"):
            spent[one.name] += max(0, min(one.end, span.end) - max(one.begin, span.begin))
        expected = dict(layer.cycles)
        expected["dma"] += expected.pop("dram")
        assert {cause: n for cause, n in spent.items() if cause != "dram"} == expected
    assert trace.cycles == trace.busy("sequencer") == end


def test_watching_changes_nothing(run):
    network, images, found, _ = run
    alone = simulate(network, preset("ews-cms-16"), images)
    assert alone.layers == found.layers
    assert found.bit_exact
    assert alone.bit_exact


@pytest.mark.parametrize("registers", [False, True])
def test_a_window_is_a_part_of_the_whole(run, registers):
    network, images, _, whole = run
    middle = range(whole.cycles // 3, whole.cycles // 3 + 700)
    recorder = Recorder(middle, registers=registers)
    simulate(network, preset("ews-cms-16"), images[:1], compare=False, recorder=recorder)
    part = recorder.trace()
    for track in TRACKS:
        if track != "sequencer":
            assert part.on(track) == whole.on(track)
    seen = {n: span.name for span in part.on("sequencer") for n in range(span.begin, span.end)}
    told = {n: span.name for span in whole.on("sequencer") for n in range(span.begin, span.end)}
    assert seen == {n: told[n] for n in middle}


def test_spans_of_a_thread_do_not_overlap(run):
    _, _, _, trace = run
    events = json.loads(perfetto([trace, trace], "small", 3e8))["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    assert len(complete) == 2 * len(trace.spans)
    for process in (1, 2):
        spans = {
            (event["cat"], event["name"], event["args"]["first cycle"], event["args"]["cycles"])
            for event in complete
            if event["pid"] == process
        }
        assert spans == {(s.track, s.name, s.begin, s.end - s.begin) for s in trace.spans}
    ends = {}
    for event in complete:
        thread = event["pid"], event["tid"]
        assert event["ts"] >= ends.get(thread, -(1 << 60))
        ends[thread] = event["ts"] + event["dur"]
    named = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {name.rstrip(" 0123456789") for name in named} == {span.track for span in trace.spans}


def test_the_first_difference_in_time():
    ours = Trace.of(
        "engine", [Span("array", "a", 0, 9), Span("array", "b", 9, 20), Span("storer", "a", 4, 12)]
    )
    later = Trace.of("RTL", [Span("array", "a", 0, 9), Span("array", "b", 9, 21), Span("storer", "a", 4, 13)])
    found = difference(ours, later)
    assert found is not None
    assert (found.track, found.cycle) == ("storer", 12)
    assert difference(ours, ours) is None
    short = Trace.of("RTL", ours.spans[:1])
    missing = difference(ours, short)
    assert missing is not None
    assert (missing.cycle, missing.found) == (4, None)
