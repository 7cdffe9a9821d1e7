"""Performance counters."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_positive

COUNTERS = (
    "cycles",
    "compute",
    "dma",
    "rom",
    "weight",
    "psum",
    "store",
    "ifmap",
    "control",
    "vector",
    "drain",
    "vectors",
    "wrf_rows",
    "beats",
    "psum_rows_read",
    "psum_rows_written",
    "finished_rows",
)
"""Cycles, cycles by cause (docs/timing.md section 5), and the core's events (section 6)."""
COUNTER_BITS = 40


class Counters(Block):
    """Event counters of a run.

    Function: output `count_X` is the number of cycles in which `events` bit X (order of `names`)
        was 1 since `clear`.
    Throughput: one event of each kind a cycle.
    Handshake: none. An event in cycle t counts from t+1.
    """

    kind = "counters"

    def __init__(self, *, names: Sequence[str] = COUNTERS, width: int = COUNTER_BITS) -> None:
        check_positive(width=width)
        self.names = tuple(names)
        super().__init__(
            {
                "clear": In(1),
                "events": In(len(self.names)),
                **{f"count_{name}": Out(width) for name in self.names},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for n, name in enumerate(self.names):
            counter = getattr(self, f"count_{name}")
            with m.If(self.clear):
                m.d.sync += counter.eq(0)
            with m.Elif(self.events[n]):
                m.d.sync += counter.eq(counter + 1)
        return m
