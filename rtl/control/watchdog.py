"""Watchdog: no run lasts for ever."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block

LIMIT_BITS = 32


class Watchdog(Block):
    """Counts the cycles without progress.

    Function: `expired` is 1 in the cycle behind the `limit`th of consecutive cycles with `watches` and without
        `progress`; never if `limit` is 0.
    Throughput: every cycle.
    Handshake: none. `limit` stays while `watches`.
    """

    kind = "watchdog"

    def __init__(self) -> None:
        super().__init__({"watches": In(1), "progress": In(1), "limit": In(LIMIT_BITS), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(LIMIT_BITS)
        idles = Signal()
        m.d.comb += idles.eq(self.watches & ~self.progress)
        # A register: what moves a packet comes late in a cycle, and what an error stops is much.
        m.d.sync += self.expired.eq(idles & (count + 1 == self.limit))
        with m.If(idles):
            m.d.sync += count.eq(count + 1)
        with m.Else():
            m.d.sync += count.eq(0)
        return m
