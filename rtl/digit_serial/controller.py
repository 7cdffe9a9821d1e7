"""When a run of the digit-serial machine begins and ends."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from rtl.packets import LAYER_COUNT_BITS


class DigitController(Block):
    """Counts the layers of a run.

    Function: after `start` waits until the streams are `primed`, then lets words in with `feed`. `closes` marks the
        last operation of a layer; after that of the last of `layers` it waits until all is `idle`. `running` is 1 from
        the first cycle with `feed` to the one with `done`; `drain` in those behind the last operation. `halt` ends it
        at once. `layer_end`: with `closes`, and for the last layer with `done`.
    Throughput: an operation a cycle.
    Handshake: `done` is a pulse; `start` only when none runs.
    """

    kind = "digit_controller"

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "layers": In(LAYER_COUNT_BITS),
                "halt": In(1),
                "primed": In(1),
                "closes": In(1),
                "idle": In(1),
                "feed": Out(1),
                "running": Out(1),
                "drain": Out(1),
                "layer_end": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(LAYER_COUNT_BITS)
        with m.FSM(init="idle"):
            with m.State("idle"), m.If(self.start):
                m.d.sync += left.eq(self.layers)
                m.next = "prime"
            with m.State("prime"):
                with m.If(self.halt):
                    m.d.comb += self.done.eq(1)
                    m.next = "idle"
                with m.Elif(self.primed):
                    m.next = "work"
            with m.State("work"):
                m.d.comb += [self.feed.eq(1), self.running.eq(1)]
                with m.If(self.closes):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "drain"
                    with m.Else():
                        m.d.comb += self.layer_end.eq(1)
                with m.If(self.halt):
                    m.next = "halted"
            with m.State("drain"):
                m.d.comb += [self.running.eq(1), self.drain.eq(1)]
                with m.If(self.idle | self.halt):
                    m.d.comb += [self.done.eq(1), self.layer_end.eq(~self.halt)]
                    m.next = "idle"
            with m.State("halted"):
                m.d.comb += self.done.eq(1)
                m.next = "idle"
        return m
