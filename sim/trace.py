"""What each unit of a machine does when: spans of cycles on tracks, of the engine and of the RTL alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

TRACKS = (
    "layers",
    "DRAM",
    "DMA reads",
    "DMA weights",
    "loader",
    "sequencer",
    "array",
    "storer",
    "vector unit",
    "DMA writes",
)
"""From the outside in and out again. *sequencer*: what each cycle of a window goes to; *DMA weights*: beats of a job
into the loader; *array*: from the first token of a chunk to its last; *storer*: from a stripe's first psum row until
its last row is handed to the DMA."""

CYCLE_US = 1.0
"""Microseconds of a trace file that stand for a cycle: viewers know times only, and round to nanoseconds."""


class Span(NamedTuple):
    """Work of a unit, from cycle `begin` to before cycle `end`; cycle 0 is that of the first layer."""

    track: str
    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class Trace:
    """What a run did.

    Attributes:
        source: "engine" or "RTL".
        spans: by track, then by cycle.
        window: cycles of which the sequencer's are there.
    """

    source: str
    spans: tuple[Span, ...]
    window: range = range(0)

    @classmethod
    def of(cls, source: str, spans: Iterable[Span], window: range = range(0)) -> Trace:
        """Spans in any order; those without a cycle are left out."""
        place = {track: n for n, track in enumerate(TRACKS)}
        kept = [span for span in spans if span.end > span.begin]
        return cls(source, tuple(sorted(kept, key=lambda span: (place[span.track], *span[2:]))), window)

    @property
    def cycles(self) -> int:
        return max((span.end for span in self.spans if span.track == "layers"), default=0)

    def on(self, track: str) -> list[Span]:
        return [span for span in self.spans if span.track == track]

    def busy(self, track: str) -> int:
        """Cycles in which there is a span on a track."""
        total = end = 0
        for span in self.on(track):
            total += max(0, span.end - max(span.begin, end))
            end = max(end, span.end)
        return total


class Difference(NamedTuple):
    """The first span in which two traces differ; None where one has none there."""

    track: str
    expected: Span | None
    found: Span | None

    @property
    def cycle(self) -> int:
        return min(
            max(one.begin, min(one.end, other.end))
            if other and one.begin == other.begin and one.name == other.name
            else one.begin
            for one, other in ((self.expected, self.found), (self.found, self.expected))
            if one is not None
        )


def difference(expected: Trace, found: Trace) -> Difference | None:
    """The earliest one over all tracks; None where the traces are equal."""
    firsts = []
    for track in TRACKS:
        ours, theirs = expected.on(track), found.on(track)
        for n in range(max(len(ours), len(theirs))):
            pair = (ours[n] if n < len(ours) else None, theirs[n] if n < len(theirs) else None)
            if pair[0] != pair[1]:
                firsts.append(Difference(track, *pair))
                break
    return min(firsts, key=lambda first: first.cycle, default=None)


def perfetto(traces: Sequence[Trace], about: str, clock_hz: float) -> str:
    """JSON of Chrome's trace event format, which ui.perfetto.dev opens: a process a trace, a thread a track."""
    events: list[dict[str, Any]] = []
    for process, trace in enumerate(traces, 1):
        events.append(_named("process_name", process, 0, trace.source))
        thread = 0
        for track in TRACKS:
            for n, lane in enumerate(_lanes(trace.on(track))):
                thread += 1
                events.append(_named("thread_name", process, thread, f"{track} {n + 1}" if n else track))
                events.append(_sorted("thread_sort_index", process, thread))
                events += [_complete(span, process, thread) for span in lane]
    other = {"network": about, "cycle": f"{CYCLE_US:g} us here", "clock_hz": clock_hz}
    body = ",\n".join(json.dumps(event, separators=(",", ":")) for event in events)
    return f'{{"otherData":{json.dumps(other)},"displayTimeUnit":"ns","traceEvents":[\n{body}\n]}}\n'


def _lanes(spans: Sequence[Span]) -> list[list[Span]]:
    """Spans of a thread must not overlap: a stripe's rows may come while those before are on their way."""
    lanes: list[list[Span]] = []
    for span in spans:
        free = next((lane for lane in lanes if lane[-1].end <= span.begin), None)
        if free is None:
            lanes.append(free := [])
        free.append(span)
    return lanes


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _sorted(what: str, process: int, thread: int) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"sort_index": thread}}


def _complete(span: Span, process: int, thread: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.track,
        "pid": process,
        "tid": thread,
        "ts": span.begin * CYCLE_US,
        "dur": (span.end - span.begin) * CYCLE_US,
        "args": {"first cycle": span.begin, "cycles": span.end - span.begin},
    }
