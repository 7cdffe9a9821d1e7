"""Spans of a network's run on the cycle engine, from the times at which its units decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from sim.results import LayerCounts
from sim.systolic.engine.core import LayerRun
from sim.systolic.engine.counters import Cause
from sim.systolic.engine.memory import PassTimes
from sim.systolic.program import Program
from sim.systolic.results import CAUSES
from sim.trace import Span, Trace

_UNITS = {"dram": "DRAM", "beats": "DMA weights", "load": "loader", "tokens": "array"}
_OF_STRIPE = {"rows": "storer", "sent": "DMA writes"}


@dataclass
class Recorder:
    """Receives the layers of a run in their order.

    Attributes:
        window: cycles of the network of which the sequencer's are wanted.
        registers: those of the array are wanted in the window too.
        rows: every emitted psum row is wanted, of the whole run.
        now: cycle in which the next layer begins.
        runs: with `registers` or `rows`, of each layer of the array: its first cycle, program and run.
    """

    window: range = range(0)
    registers: bool = False
    rows: bool = False
    now: int = 0
    spans: list[Span] = field(default_factory=list)
    runs: list[tuple[int, Program, LayerRun]] = field(default_factory=list)

    @property
    def here(self) -> range:
        """The window from the next layer's begin on; empty where it lies behind."""
        first, end = self.window.start - self.now, self.window.stop - self.now
        return range(max(first, 0), end) if len(self.window) and end > 0 else range(0)

    def trace(self) -> Trace:
        return Trace.of("engine", self.spans, self.window)

    def convolution(self, counts: LayerCounts, program: Program, run: LayerRun) -> None:
        """A layer of the array."""
        name, chunks = counts.name, program.chunks
        labels = [f"{name} codebook", *(f"{name} chunk {n}" for n in range(len(chunks)))]
        for unit, track in _UNITS.items():
            self._add(track, labels, run.times[unit])
        stripes = np.flatnonzero(chunks["last"])
        for unit, track in _OF_STRIPE.items():
            self._add(track, [f"{name} rows {n}" for n in range(len(stripes))], run.times[1:][stripes][unit])
        visits = range(len(program.visits))
        self._add("DRAM", [f"{name} maps {n}" for n in visits], run.visit_times["dram"])
        self._add("DMA reads", [f"{name} tile {n}" for n in visits], run.visit_times["tile"])
        causes = np.array([cause.name.lower() for cause in Cause])[run.trace.causes]
        self._causes(causes[: max(0, counts.total_cycles - self.here.start)])
        if self.registers or self.rows:
            self.runs.append((self.now, program, run))
        self._end(counts)

    def vector(self, counts: LayerCounts, times: PassTimes) -> None:
        """A pass of the vector unit."""
        name = counts.name
        self._add("vector unit", [name], [times.vector])
        self._add("DRAM", [f"{name} maps 0"], [times.dram])
        self._add("DMA reads", [f"{name} tile 0"], [times.tile])
        self._add("DMA writes", [f"{name} rows 0"], [times.sent])
        ordered = ("control", "vector", "dma", "dram", "drain")
        assert sum(counts.cycles[cause] for cause in ordered) == counts.total_cycles
        causes = np.repeat(ordered, [counts.cycles[cause] for cause in ordered])
        self._causes(causes[self.here.start : self.here.stop])
        self._end(counts)

    def _end(self, counts: LayerCounts) -> None:
        self.spans.append(Span("layers", counts.name, self.now, self.now + counts.total_cycles))
        self.now += counts.total_cycles

    def _add(self, track: str, labels: list[str], times: object) -> None:
        """Spans between pairs of cycles of the layer."""
        for label, (begin, end) in zip(labels, np.asarray(times).tolist(), strict=True):
            self.spans.append(Span(track, label, self.now + begin, self.now + end))

    def _causes(self, causes: np.ndarray) -> None:
        """Runs of what each cycle went to, from the first one of the window on."""
        self.spans += runs(causes, self.now + self.here.start)


def runs(causes: np.ndarray, first: int) -> list[Span]:
    """Spans of equal causes, names [cycles] from cycle `first` on.

    Waiting for DRAM is *dma*, as the RTL sees it, which knows only that something is not in L2 or L1 yet.
    """
    assert set(causes.tolist()) <= set(CAUSES)
    seen = np.where(causes == "dram", "dma", causes)
    edges = np.flatnonzero(seen[1:] != seen[:-1]) + 1
    bounds = [0, *edges.tolist(), len(seen)] if len(seen) else []
    return [
        Span("sequencer", str(seen[begin]), first + begin, first + end) for begin, end in pairwise(bounds)
    ]
