"""Storer: finished psum rows become finished rows of a map; passes over maps on the same lanes."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from rtl import packets
from rtl.block import Block, place
from rtl.bus.fifo import Fifo
from rtl.geometry import DEMAND_BITS, PSUM_BITS, Geometry
from rtl.pass_walk import PassWalk
from rtl.row_entries import ENTRY, RowEntries
from rtl.row_places import BYTE_BITS, RowPlaces
from rtl.storer_lanes import StorerLanes
from rtl.unit_buffer import UnitBuffer
from sim.accelerator import Accelerator
from sim.errors import InputError

TIME_BITS = DEMAND_BITS + 2
"""Of the clock that hands rows over: none waits for half its range."""
HALF_WORD = packets.WORD_BITS // 2


class Storer(Block):
    """Bias, requantization and residual of finished rows, and passes (docs/timing.md section 7).

    Function: runs the units of rtl.packets in order. Of a unit of rows it takes `row` for s = 0..a-1 of each
        pixel, `requant_lanes` columns a cycle (of `wide` rows rtl.storer_lanes.wide_lanes), writes them to L1 and
        offers them to the row mover. Of a pass it reads `requant_lanes` channels of a map a cycle. `overflow` stays 1
        from the first row for which there is no room or no unit.
        It must have drained between layers; units of one layer differ in place and extent only.
    Throughput: a pixel's rows may come in consecutive cycles. From one pixel's first row to the next one's there must
        be as many cycles as the lanes need: timing.md's store term is enough, for wide rows with `wide_lanes`.
    Handshake: `word` moves when valid and ready. `unit_loaded`: pulse; the unit's rows may come from this cycle on.
        `row_valid` knows no ready. With a pixel's last row in cycle t, its rows are in L1 and offered from t + 3 +
        store on, in order; later if wide rows take longer, or if lanes < L still owe rows of a unit of larger a.
        Entries `out_*` (rtl.row_entries): valid and ready; an entry stays until taken.
        Writes: `write_data` holds map_banks words from `write_word` on, of which `write_enable` selects bytes. A row begins
        at a multiple of 4 bytes and fits one write together with the bytes before it in its first word; a wide row
        takes several writes and begins at a multiple of 8.
        Reads: `residual_word` with `residual_read` in cycle t, map_banks words from there in `residual_data` in t+1;
        `pass_word`, `pass_read` and `pass_data` likewise, in group `pass_map`.
        `pass_waiting`: the next unit is a pass. `pass_start` begins it: `pass_busy` is 1 from the next cycle on, one
        cycle for each vector; a result whose last vector is read in cycle t is offered from t + 5 on.
    """

    kind = "storer"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        lanes, columns = accelerator.requant_lanes, accelerator.columns
        if columns % lanes or lanes % 4:
            raise InputError("requant_lanes", lanes, f"the storer takes the {columns} columns of a row in equal parts of "
                             "whole half words", "choose a multiple of 4 that divides columns")
        self.layout = packets.unit(geometry)
        word, data = packets.WORD_ADDRESS_BITS, packets.WORD_BITS * geometry.map_banks
        super().__init__({
            "word_valid": In(1), "word_ready": Out(1), "word": In(packets.WORD_BITS), "unit_loaded": Out(1),
            "row_valid": In(1), "row": In(PSUM_BITS * columns), "overflow": Out(1),
            "write_map": Out(1), "write_enable": Out(data // 8), "write_word": Out(word), "write_data": Out(data),
            "residual_read": Out(1), "residual_word": Out(word), "residual_data": In(data),
            "out_valid": Out(1), "out_ready": In(1), **{f"out_{name}": Out(width) for name, width in ENTRY.items()},
            "pass_waiting": Out(1), "pass_start": In(1), "pass_busy": Out(1),
            "pass_read": Out(1), "pass_map": Out(1), "pass_word": Out(word), "pass_data": In(data),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, geometry = self.geometry.accelerator, self.geometry
        units = place(m, "unit_buffer", UnitBuffer(accelerator=acc))
        places = place(m, "row_places", RowPlaces(accelerator=acc))
        entries = place(m, "row_entries", RowEntries(accelerator=acc))
        lanes = place(m, "lanes", StorerLanes(accelerator=acc))
        unit = View(self.layout, units.unit)
        # The packet of the last value that entered the lanes.
        issued_bits = Signal(self.layout.size, reset_less=True)
        issued = View(self.layout, issued_bits)
        now = Signal(TIME_BITS)
        m.d.sync += now.eq(now + 1)
        m.d.comb += [
            units.word_valid.eq(self.word_valid), units.word.eq(self.word), self.word_ready.eq(units.word_ready),
            self.unit_loaded.eq(units.unit_loaded),
            units.group.eq(places.following), units.unit_done.eq(places.step & places.unit_end),
            units.left.eq(entries.left), entries.unit.eq(units.leaving),
            places.unit.eq(units.unit),
            lanes.unit.eq(units.unit), lanes.issued.eq(issued_bits), lanes.parameters.eq(units.parameters),
            self.out_valid.eq(entries.out_valid), entries.out_ready.eq(self.out_ready),
            *(getattr(self, f"out_{name}").eq(getattr(entries, f"out_{name}")) for name in ENTRY),
        ]

        # The row or the result at hand enters the lanes; its bytes are written when it leaves them.
        issue, row_done, result = Signal(), Signal(), Signal()
        column, count = Signal.like(places.columns), Signal.like(places.columns)
        arrival = Signal(TIME_BITS)
        self._rows(m, units, lanes, unit, places, now, issue, row_done, column, count, arrival)
        self._pass(m, units, lanes, unit, result)
        write = Signal(StructLayout({
            "valid": 1, "word": packets.WORD_ADDRESS_BITS, "half": 1, "bytes": bits_for(8 * geometry.map_banks),
            "handed": geometry.extent_bits, "due": TIME_BITS}))
        byte = Signal(BYTE_BITS)
        m.d.comb += [
            places.step.eq(row_done | result),
            byte.eq(unit.channel + places.offset + Mux(unit.wide, column << 2, column)),
            write.valid.eq(issue | result), write.word.eq(places.word + (byte >> 3)), write.half.eq(byte[2]),
            write.bytes.eq(Mux(unit.wide, count << 2, count)),
        ]
        # Results of a pass are handed over one by one, rows of the array with the last of their pixel.
        with m.If(result):
            m.d.comb += [write.handed.eq(1), write.due.eq(now), write.bytes.eq(acc.requant_lanes)]
        with m.Elif(row_done & places.pixel_end):
            m.d.comb += [write.handed.eq(unit.a), write.due.eq(arrival + unit.store + 2)]
        with m.If(write.valid):
            m.d.sync += issued_bits.eq(units.unit)
        later = [write]
        for stage in range(1, 5):
            later.append(Signal(write.shape(), name=f"write_{stage}"))
            m.d.sync += later[stage].eq(later[stage - 1])
        self._residual(m, lanes, unit, issued, places, column, later)
        self._write(m, lanes, issued, Mux(issued.residual, later[4].as_value(), later[3].as_value()), write.shape())
        self._hand_over(m, entries, now, Mux(issued.residual, later[3].as_value(), later[2].as_value()), write.shape())
        return m

    def _rows(self, m: Module, units: UnitBuffer, lanes: StorerLanes, unit: View, places: RowPlaces, now: Signal,
              issue: Signal, row_done: Signal, column: Signal, count: Signal, arrival: Signal) -> None:
        acc = self.geometry.accelerator
        # Served from the input while nothing waits. A pixel's rows are served before the next one's come.
        queue = place(m, "rows", Fifo(width=TIME_BITS + len(self.row), depth=max(2, 1 << ceil_log2(acc.prf_depth))))
        index = Signal.like(lanes.index)
        width = Mux(unit.wide, lanes.wide, acc.requant_lanes)
        last = Signal()
        lost = Signal()
        m.d.comb += [
            Cat(arrival, lanes.operand).eq(Mux(queue.out_valid, queue.out_data, Cat(now, self.row))),
            lanes.index.eq(index),
            issue.eq(units.unit_valid & (unit["pass"] == packets.PASS_KINDS["rows"]) & (queue.out_valid | self.row_valid)),
            last.eq(column + width >= places.columns), row_done.eq(issue & last),
            count.eq(Mux(last, places.columns - column, width)),
            queue.in_valid.eq(self.row_valid & (queue.out_valid | ~row_done)), queue.in_data.eq(Cat(now, self.row)),
            queue.out_ready.eq(row_done),
            lost.eq(self.row_valid & ~issue | queue.in_valid & ~queue.in_ready),
        ]
        with m.If(issue):
            m.d.sync += [column.eq(Mux(last, 0, column + width)), index.eq(Mux(last, 0, index + 1))]
        with m.If(lost):
            m.d.sync += self.overflow.eq(1)

    def _pass(self, m: Module, units: UnitBuffer, lanes: StorerLanes, unit: View, result: Signal) -> None:
        walk = place(m, "pass_walk", PassWalk(accelerator=self.geometry.accelerator))
        begun, waits = Signal(), Signal()
        arrives, last, half = Signal(), Signal(), Signal()
        m.d.comb += [
            waits.eq(units.unit_valid & (unit["pass"] != packets.PASS_KINDS["rows"]) & ~begun),
            walk.unit.eq(units.unit), walk.start.eq(self.pass_start), walk.step.eq(self.pass_busy),
            self.pass_read.eq(self.pass_busy & walk.inside), self.pass_map.eq(~unit.map), self.pass_word.eq(walk.word),
            result.eq(arrives & last), lanes.value.eq(_from_half(self.pass_data, half)),
        ]
        m.d.sync += [
            self.pass_waiting.eq(waits & ~self.pass_start), arrives.eq(self.pass_busy), last.eq(walk.last),
            half.eq(walk.half), lanes.inside.eq(self.pass_read), lanes.first.eq(walk.first),
        ]
        with m.If(self.pass_start):
            m.d.sync += [begun.eq(1), self.pass_busy.eq(1)]
        with m.If(self.pass_busy & walk.complete):
            m.d.sync += self.pass_busy.eq(0)
        with m.If(units.unit_done):
            m.d.sync += begun.eq(0)

    def _residual(self, m: Module, lanes: StorerLanes, unit: View, issued: View, places: RowPlaces, column: Signal,
                  later: list[View]) -> None:
        pixel, place_of_pixel = Signal(packets.WORD_ADDRESS_BITS), Signal(packets.WORD_ADDRESS_BITS)
        byte = Signal(BYTE_BITS)
        half = Signal(2)
        m.d.comb += [
            pixel.eq(Mux(places.first_pixel, unit["from"], place_of_pixel)),
            byte.eq(unit.from_channel + places.offset + column),
            self.residual_read.eq(later[1].valid & issued.residual),
            lanes.other.eq(_from_half(self.residual_data, half[1])),
        ]
        m.d.sync += [self.residual_word.eq(pixel + (byte >> 3)), half.eq(Cat(byte[2], half[0]))]
        with m.If(places.step & places.pixel_end):
            m.d.sync += place_of_pixel.eq(pixel + unit.from_pitch)

    def _write(self, m: Module, lanes: StorerLanes, issued: View, bits: Mux, layout: StructLayout) -> None:
        write = View(layout, bits)
        enable = Cat(write.valid & (write.bytes > n) for n in range(len(self.write_enable)))
        m.d.comb += [
            self.write_map.eq(issued.map), self.write_word.eq(write.word),
            self.write_enable.eq(Mux(write.half, enable << HALF_WORD // 8, enable)),
            self.write_data.eq(Mux(write.half, lanes.data << HALF_WORD, lanes.data)),
        ]

    def _hand_over(self, m: Module, entries: RowEntries, now: Signal, bits: Mux, layout: StructLayout) -> None:
        """What is written in the next cycle waits until it is due, `store` cycles at most."""
        write = View(layout, bits)
        depth = 1 << ceil_log2(self.geometry.accelerator.prf_depth + 2)
        queue = place(m, "handed", Fifo(width=len(write.handed) + TIME_BITS, depth=depth))
        handed, due = Signal.like(write.handed), Signal(TIME_BITS)
        m.d.comb += [
            queue.in_valid.eq(write.valid & (write.handed != 0)), queue.in_data.eq(Cat(write.handed, write.due)),
            Cat(handed, due).eq(queue.out_data), queue.out_ready.eq(~(now - due)[TIME_BITS - 1]),
            entries.handed.eq(Mux(queue.out_valid & queue.out_ready, handed, 0)),
        ]


def _from_half(data: Signal, half: Signal) -> Mux:
    """Words from their first or second half on."""
    return Mux(half, data >> HALF_WORD, data)
