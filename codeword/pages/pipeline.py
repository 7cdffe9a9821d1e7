"""A window of a run, unit by unit, as the cycle engine had it."""

from __future__ import annotations

from codeword.pages.designs import Row
from codeword.tracing import Traced
from sim.trace import TRACKS, Trace

SEQUENCER = "sequencer"


def name(traced: Traced) -> str:
    return f"{traced.network} on {traced.accelerator.name}"


def spans(traced: Traced) -> list[Row]:
    """Spans that meet the window of the first trace, cut to it; what a cycle of the sequencer goes to is its row."""
    trace = traced.traces[0]
    window = trace.window
    return [
        {
            "unit": f"{SEQUENCER}: {span.name}" if span.track == SEQUENCER else span.track,
            "what": span.name,
            "from": max(span.begin, window.start),
            "to": min(span.end, window.stop),
            "cycles": span.end - span.begin,
        }
        for span in trace.spans
        if span.begin < window.stop and span.end > window.start
    ]


def units(rows: list[Row]) -> list[str]:
    """Rows of the picture, in the order of the tracks."""
    found = dict.fromkeys(row["unit"] for row in rows)
    place = {track: n for n, track in enumerate(TRACKS)}
    return sorted(found, key=lambda unit: place[unit.partition(":")[0]])


def busy(trace: Trace) -> list[Row]:
    """Of each unit, the cycles of the window in which it works."""
    window = trace.window
    cut = Trace.of(
        trace.source,
        [
            span._replace(begin=max(span.begin, window.start), end=min(span.end, window.stop))
            for span in trace.spans
        ],
    )
    return [
        {"unit": track, "busy cycles": cut.busy(track), "utilization": cut.busy(track) / len(window)}
        for track in TRACKS
        if cut.on(track)
    ]
