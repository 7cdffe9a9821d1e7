"""Layer controller: one layer after the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from rtl.packets import LAYER_COUNT_BITS
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.systolic.results import CONTROL_CYCLES


class LayerController(Block):
    """Begins layers, starts their rows or their pass, and knows when they have ended.

    Function: as docs/timing.md section 7 says, `begin` is 1 in the cycle before cycle 0 of a layer, which
        for the next one is the last cycle of the layer before. In cycle 3, or as soon as its packets are
        there, `load` (a layer of the array) or `pass_start` (a pass). Either ends dma_setup + l2_latency
        cycles after its last row has left L1, and not before `idle`. `allowed`: the control cycles are over.
    Throughput: layers without gaps.
    Handshake: `start` while no run is on takes `layers`; the run begins when `primed` and the first unit is
        there. `rows_waiting`, `pass_waiting`: what the next unit is. `sent`: a unit's last row leaves L1;
        `passing` tells that it is a pass's. `end` is 1 in the last cycle of each layer, `done` in that of
        the last one. `halt` ends the run in the next cycle. `control`, `drain`: causes of the cycle.
    """

    kind = "layer_controller"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.tail = accelerator.dma_setup + accelerator.l2_latency
        if accelerator.dma_setup < 3:
            raise InputError(
                "dma_setup",
                accelerator.dma_setup,
                "the last row needs longer to reach L2",
                "set dma_setup >= 3",
            )
        super().__init__(
            {
                "start": In(1),
                "layers": In(LAYER_COUNT_BITS),
                "primed": In(1),
                "halt": In(1),
                "rows_waiting": In(1),
                "pass_waiting": In(1),
                "chunk_valid": In(1),
                "settled": In(1),
                "active": In(1),
                "pass_busy": In(1),
                "sent": In(1),
                "idle": In(1),
                "begin": Out(1),
                "load": Out(1),
                "pass_start": Out(1),
                "allowed": Out(1),
                "passing": Out(1),
                "end": Out(1),
                "done": Out(1),
                "control": Out(1),
                "drain": Out(1),
                "running": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal.like(self.layers)
        control = Signal(range(CONTROL_CYCLES))
        tail = Signal(range(self.tail))
        is_pass = Signal()
        gone = Signal()  # the rows of the pass
        at_work = Signal()
        kind_known, known = Signal(name="kind_known"), Signal(name="known")
        m.d.comb += [
            kind_known.eq(self.pass_waiting | self.rows_waiting),
            known.eq(self.pass_waiting | (self.rows_waiting & self.chunk_valid)),
            at_work.eq(Mux(is_pass, ~gone, ~self.settled)),
            self.passing.eq(is_pass),
        ]
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += left.eq(self.layers)
                m.next = "PRIME"
            with m.State("PRIME"):
                with m.If(left == 0):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
                with m.Elif(self.primed & known):
                    m.d.comb += self.begin.eq(1)
                    m.d.sync += control.eq(0)
                    m.next = "CONTROL"
                self._halts(m)
            with m.State("CONTROL"):
                m.d.comb += [self.running.eq(1), self.control.eq(1)]
                with m.If(control != CONTROL_CYCLES - 1):
                    m.d.sync += control.eq(control + 1)
                with m.Elif(known):
                    m.d.comb += [self.load.eq(~self.pass_waiting), self.pass_start.eq(self.pass_waiting)]
                    m.d.sync += [is_pass.eq(self.pass_waiting), tail.eq(0), gone.eq(0)]
                    m.next = "WORK"
                self._halts(m)
            with m.State("WORK"):
                m.d.comb += [
                    self.running.eq(1),
                    self.allowed.eq(1),
                    self.drain.eq(~self.active & ~self.pass_busy),
                ]
                with m.If(self.sent):
                    m.d.sync += gone.eq(1)
                with m.If(~at_work & (tail != self.tail - 1)):
                    m.d.sync += tail.eq(tail + 1)
                with m.Elif(~at_work & self.idle):
                    m.d.comb += self.end.eq(1)
                    m.d.sync += [left.eq(left - 1), control.eq(0)]
                    with m.If(left == 1):
                        m.d.comb += self.done.eq(1)
                        m.next = "IDLE"
                    with m.Elif(kind_known):
                        m.d.comb += self.begin.eq(1)
                        m.next = "CONTROL"
                    with m.Else():
                        m.next = "GAP"
                self._halts(m)
            with m.State("GAP"):  # the next stripe's packet is late
                with m.If(kind_known):
                    m.d.comb += self.begin.eq(1)
                    m.next = "CONTROL"
                self._halts(m)
            with m.State("HALTED"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _halts(self, m: Module) -> None:
        """Counts more than what the state says."""
        with m.If(self.halt):
            m.next = "HALTED"
