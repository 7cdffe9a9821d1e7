"""Packets and parameters of the stripes at hand, which the Verilog calls units."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.data import View
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl import packets
from rtl.block import Block, place
from rtl.geometry import Geometry
from rtl.l1.sram import Sram
from sim.accelerator import Accelerator

SLOTS = 4
"""Stripes between the stream and the row mover: one loads, one runs, the rows of two may wait."""


class StripeBuffer(Block):
    """The `units` stream, unpacked: parameters twice, packets for as long as rows of their unit wait.

    Function: takes a unit's packet, and behind that of a unit of rows one word of parameters for each of
        its a*L outputs. `unit` is the packet of the unit that runs while `unit_valid`, `parameters` are those
        of its outputs `group`*L and on; `unit_done` goes on to the next unit. `leaving` is the packet of the
        oldest unit that has not `left`. `unit_loaded`: pulse for each unit of rows that is complete. `empty`:
        all units have left, and none was cut short.
    Throughput: one word a cycle. The parameters of a unit load while the unit before it runs.
    Handshake: a word moves when `word_valid` and `word_ready`. `group` in cycle t, for the unit that runs in
        t+1; `parameters` in t+1, two cycles after their last word at the earliest. A unit whose last word
        moves in cycle t is `unit_loaded`, and may be `unit_valid`, in t+1; `leaving` from t+2 on.
    """

    kind = "unit_buffer"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        geometry = Geometry(accelerator)
        self.layout = packets.stripe(geometry)
        self.group_bits = geometry.word_select_bits
        super().__init__(
            {
                "word_valid": In(1),
                "word_ready": Out(1),
                "word": In(packets.WORD_BITS),
                "unit": Out(self.layout.size),
                "unit_valid": Out(1),
                "unit_done": In(1),
                "unit_loaded": Out(1),
                "group": In(self.group_bits),
                "parameters": Out(packets.PARAMETER.size * accelerator.columns),
                "leaving": Out(self.layout.size),
                "left": In(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns, length = self.accelerator.columns, packets.words(self.layout)
        parameter_bits = packets.PARAMETER.size
        m.submodules.units = stripes = Memory(
            shape=unsigned(length * packets.WORD_BITS), depth=SLOTS, init=[]
        )
        packet_write = stripes.write_port(granularity=packets.WORD_BITS)
        running, leaving = stripes.read_port(domain="comb"), stripes.read_port(domain="comb")
        parameters = place(
            m,
            "parameter_rows",
            Sram(depth=2 << self.group_bits, width=parameter_bits * columns, granularity=parameter_bits),
        )

        # Numbers of the stripes that load, run and leave; a bit more than a slot number tells full from empty.
        slot_bits = ceil_log2(SLOTS)
        load, run, leave = (Signal(slot_bits + 1, name=name) for name in ("load", "run", "leave"))
        run_next, leave_next = Signal.like(run, name="run_next"), Signal.like(leave, name="leave_next")
        # A register: the memory, and then the row's place, would be too much for a cycle.
        oldest = Signal.like(self.leaving, name="oldest", reset_less=True)
        slot_free, half_free = Signal(name="slot_free"), Signal(name="half_free")
        m.d.comb += [
            run_next.eq(run + self.unit_done),
            slot_free.eq((load - leave)[: slot_bits + 1] != SLOTS),
            half_free.eq((load - run)[: slot_bits + 1] <= 1),
            running.addr.eq(run),
            leave_next.eq(leave + self.left),
            leaving.addr.eq(leave_next),
            self.unit.eq(running.data),
            self.leaving.eq(oldest),
            self.unit_valid.eq(load != run),
        ]
        m.d.sync += [run.eq(run_next), leave.eq(leave_next), oldest.eq(leaving.data)]

        taken, complete = Signal(name="taken"), Signal(name="complete")
        index = Signal(range(length))
        in_packet = Signal(init=1)
        begins = View(self.layout, self.word.replicate(length)[: self.layout.size])
        rows = Signal()
        last_group, group = Signal(self.group_bits, name="last_group"), Signal(self.group_bits, name="group")
        column = Signal(range(columns))
        column_end = Signal()
        packet_end = Signal()
        m.d.comb += [
            self.word_ready.eq(Mux(in_packet, slot_free, half_free)),
            taken.eq(self.word_valid & self.word_ready),
            packet_end.eq(in_packet & (index == length - 1)),
            column_end.eq(column == columns - 1),
            complete.eq(taken & Mux(in_packet, packet_end & ~rows, column_end & (group == last_group))),
            packet_write.addr.eq(load),
            packet_write.data.eq(self.word.replicate(length)),
            packet_write.en.eq((taken & in_packet) << index),
            parameters.write_address.eq(Cat(group, load[0])),
            parameters.write_data.eq(self.word[:parameter_bits].replicate(columns)),
            parameters.write_enable.eq((taken & ~in_packet) << column),
            parameters.read_enable.eq(1),
            parameters.read_address.eq(Cat(self.group, run_next[0])),
            self.parameters.eq(parameters.read_data),
        ]
        m.d.comb += self.empty.eq((load == leave) & in_packet & (index == 0))
        m.d.sync += [self.unit_loaded.eq(complete & rows), load.eq(load + complete)]
        with m.If(taken & in_packet):
            m.d.sync += index.eq(Mux(packet_end, 0, index + 1))
            with m.If(index == 0):
                m.d.sync += [
                    rows.eq(begins["pass"] == packets.PASS_KINDS["rows"]),
                    last_group.eq(begins.a - 1),
                ]
            with m.If(packet_end & rows):
                m.d.sync += in_packet.eq(0)
        with m.If(taken & ~in_packet):
            m.d.sync += column.eq(Mux(column_end, 0, column + 1))
            with m.If(column_end):
                m.d.sync += group.eq(group + 1)
        with m.If(complete):
            m.d.sync += [in_packet.eq(1), group.eq(0)]
        return m
