"""Storer: finished psum rows become finished rows of a map; passes over maps on the same lanes."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from rtl import packets
from rtl.block import Block, place
from rtl.bus.fifo import Fifo
from rtl.clocking import place_idle
from rtl.geometry import PSUM_BITS, Geometry
from rtl.packets import WORD_ADDRESS_BITS, WORD_BITS
from rtl.storer.finished_rows import ENTRY, FinishedRows
from rtl.storer.intake import TIME_BITS, PsumRowIntake
from rtl.storer.pass_walk import PassWalk
from rtl.storer.places import BYTE_BITS, FinishedRowPlaces
from rtl.storer.pool_lines import LargestOfLines, PoolLines
from rtl.storer.storer_lanes import PLAIN_STAGES, RESIDUAL_STAGES, WIDE_STAGES, StorerLanes
from rtl.storer.stripe_buffer import StripeBuffer
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.systolic.results import STORER_STAGES

HALF_WORD = WORD_BITS // 2
READ_STAGE = 3
"""Age of a row when its residual operand is read; the lanes take it in the next cycle."""
POOLED_STAGES = PLAIN_STAGES + 1
"""Cycles from the operands to the largest values of the lines of a pool."""


class Storer(Block):
    """Bias, requantization, residual and pooling of finished rows, and passes (docs/timing.md section 7).

    Function: runs the units of rtl.packets in order. Of a unit of rows it takes `row` for s = 0..a-1 of each
        pixel, `requant_lanes` outputs a cycle (of 32-bit values `wide_lanes`), writes them
        to L1 and offers them to the row mover. Of a pass it reads `requant_lanes` channels of a map a cycle.
        Units of one layer differ in place and extent only; between layers everything must have left.
    Throughput: the rows of a pixel may come in consecutive cycles. From the first one to that of the next
        pixel there must be as many cycles as the lanes need: the store term of timing.md is enough, for wide
        rows with `wide_lanes` in the place of requant_lanes. `overflow` stays 1 once a row was lost.
    Handshake: `word` moves when valid and ready. `unit_loaded` is a pulse; the rows of the unit may come from
        the cycle after it on. `row_valid` knows no ready.
        With the last row of a pixel in cycle t, all its rows are in L1 and offered from t + STORER_STAGES + store on,
        in order; later if wide rows take longer, or if L > lanes and the rows of a unit with larger a came
        just before. Entries `out_*` (rtl.row_entries) have valid and ready and stay until taken.
        `write_data` holds map_banks words from `write_word` on, of which `write_enable` selects bytes. A row
        begins at a multiple of 4 bytes and fits one write together with the bytes before it in its first
        word; a wide row begins at a multiple of 8 and takes several writes.
        `residual_read` and `residual_word` in cycle t, map_banks words from there in `residual_data` in t+1;
        likewise `pass_read`, `pass_map`, `pass_word` and `pass_data`. A unit that pools reads there what it kept of the
        lines before, and `line_enable`, `line_word` and `line_data` write it, as `write_` do.
        `empty`: all units have left. `pass_waiting`: the next unit is a pass. `pass_start` begins it:
        `pass_busy` is 1 from the next cycle on, one cycle for each vector; a result whose last vector is read
        in cycle t is offered from t + PASS_STAGES on.
    """

    kind = "storer"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        lanes, columns = accelerator.requant_lanes, accelerator.columns
        if columns % lanes or lanes % 4:
            raise InputError(
                "requant_lanes",
                lanes,
                f"the storer takes the {columns} columns of a row in equal parts of whole half words",
                "choose a multiple of 4 that divides columns",
            )
        self.layout = packets.stripe(geometry)
        self.stripes, self.places = (
            StripeBuffer(accelerator=accelerator),
            FinishedRowPlaces(accelerator=accelerator),
        )
        self.intake, self.lanes = PsumRowIntake(accelerator=accelerator), StorerLanes(accelerator=accelerator)
        self.entries = FinishedRows(accelerator=accelerator)
        self.pool, self.largest = PoolLines(accelerator=accelerator), LargestOfLines(lanes=lanes)
        data = WORD_BITS * accelerator.map_banks
        self.write_layout = StructLayout(
            {
                "valid": 1,
                "word": WORD_ADDRESS_BITS,
                "half": 1,
                "bytes": bits_for(data // 8),
                "handed": geometry.extent_bits,
                "due": TIME_BITS,
                "ends": 1,
                "fresh": 1,
                "from": WORD_ADDRESS_BITS,
                "from_half": 1,
            }
        )
        super().__init__(
            {
                "word_valid": In(1),
                "word_ready": Out(1),
                "word": In(WORD_BITS),
                "unit_loaded": Out(1),
                "row_valid": In(1),
                "row": In(PSUM_BITS * columns),
                "overflow": Out(1),
                "empty": Out(1),
                "write_map": Out(1),
                "write_enable": Out(data // 8),
                "write_word": Out(WORD_ADDRESS_BITS),
                "write_data": Out(data),
                "residual_read": Out(1),
                "residual_word": Out(WORD_ADDRESS_BITS),
                "residual_data": In(data),
                "line_enable": Out(data // 8),
                "line_word": Out(WORD_ADDRESS_BITS),
                "line_data": Out(data),
                "out_valid": Out(1),
                "out_ready": In(1),
                **{f"out_{name}": Out(width) for name, width in ENTRY.items()},
                "pass_waiting": Out(1),
                "pass_start": In(1),
                "pass_busy": Out(1),
                "pass_read": Out(1),
                "pass_map": Out(1),
                "pass_word": Out(WORD_ADDRESS_BITS),
                "pass_data": In(data),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stripes = place(m, "unit_buffer", self.stripes)
        place(m, "row_places", self.places)
        place(m, "row_intake", self.intake)
        lanes, busy = self.lanes, Signal(name="busy")
        place_idle(m, "lanes", lanes, busy)
        place(m, "row_entries", self.entries)
        place(m, "pool_lines", self.pool)
        place(m, "largest_of_lines", self.largest)
        stripe = View(self.layout, stripes.unit)
        is_pass = Signal()
        result = self._pass(m, is_pass)
        now = Signal(TIME_BITS)
        m.d.sync += now.eq(now + 1)
        self._connect(m, is_pass, result, now)
        writes = self._enter(m, stripe, result, now)

        # Something is in the lanes; a pass keeps its total there.
        m.d.comb += busy.eq((stripes.unit_valid & is_pass) | Cat(write.valid for write in writes).any())
        # The packet of what entered last.
        held = Signal(self.layout.size, reset_less=True)
        issued = View(self.layout, held)
        m.d.comb += lanes.issued.eq(held)
        with m.If(writes[0].valid):
            m.d.sync += held.eq(stripes.unit)
        written, soon = Signal(self.write_layout, name="written"), Signal(self.write_layout, name="soon")
        plain = Mux(issued.wide, writes[WIDE_STAGES].as_value(), writes[PLAIN_STAGES].as_value())
        pooled = Mux(issued.pool, writes[POOLED_STAGES].as_value(), plain)
        m.d.comb += [
            written.eq(Mux(issued.residual, writes[RESIDUAL_STAGES].as_value(), pooled)),
            soon.eq(
                Mux(
                    issued.residual,
                    writes[RESIDUAL_STAGES - 2].as_value(),
                    writes[STORER_STAGES - 2].as_value(),
                )
            ),
        ]
        self._residual(m, stripe, writes, issued.residual | issued.pool)
        self._largest(m, writes, issued.pool)
        self._write(m, Mux(issued.pool, self.largest.best, lanes.data), written, issued)
        self._hand_over(m, soon, now)
        return m

    def _connect(self, m: Module, is_pass: Signal, result: Value, now: Signal) -> None:
        """`result`: a result of a pass enters the lanes."""
        stripes, places, intake, lanes = self.stripes, self.places, self.intake, self.lanes
        stripe = View(self.layout, stripes.unit)
        m.d.comb += [
            stripes.word_valid.eq(self.word_valid),
            stripes.word.eq(self.word),
            self.word_ready.eq(stripes.word_ready),
            self.unit_loaded.eq(stripes.unit_loaded),
            stripes.group.eq(places.following),
            stripes.unit_done.eq(places.step & places.unit_end),
            stripes.left.eq(self.entries.left),
            is_pass.eq(stripe["pass"] != packets.PASS_KINDS["rows"]),
            places.unit.eq(stripes.unit),
            places.pixels.eq(stripe.pixels),
            places.written.eq(~stripe.pool | self.pool.ends),
            self.pool.unit.eq(stripes.unit),
            self.pool.step.eq(intake.row_done & stripe.pool),
            self.pool.unit_end.eq(places.unit_end),
            places.step.eq(intake.row_done | result),
            intake.row_valid.eq(self.row_valid),
            intake.row.eq(self.row),
            intake.now.eq(now),
            intake.enable.eq(stripes.unit_valid & ~is_pass),
            intake.unit.eq(stripes.unit),
            intake.columns.eq(places.columns),
            self.overflow.eq(intake.overflow),
            self.empty.eq(stripes.empty & ~self.entries.out_valid),
            lanes.unit.eq(stripes.unit),
            lanes.parameters.eq(stripes.parameters),
            lanes.operand.eq(intake.operand),
            lanes.index.eq(intake.index),
            self.entries.unit.eq(stripes.leaving),
            self.out_valid.eq(self.entries.out_valid),
            self.entries.out_ready.eq(self.out_ready),
            *(getattr(self, f"out_{name}").eq(getattr(self.entries, f"out_{name}")) for name in ENTRY),
        ]

    def _enter(self, m: Module, stripe: View, result: Value, now: Signal) -> list[View]:
        """What goes beside the values through the lanes, from now on to RESIDUAL_STAGES old."""
        places, intake = self.places, self.intake
        writes = [Signal(self.write_layout, name=f"write_{age}") for age in range(RESIDUAL_STAGES + 1)]
        enters = writes[0]
        byte = Signal(BYTE_BITS)
        m.d.comb += [
            byte.eq(stripe.channel + places.offset + Mux(stripe.wide, intake.column << 2, intake.column)),
            enters.valid.eq(intake.issue | result),
            enters.word.eq(places.word + (byte >> 3)),
            enters.half.eq(byte[2]),
            enters.bytes.eq(Mux(stripe.wide, intake.count << 2, intake.count)),
            enters.ends.eq(self.pool.ends),
            enters.fresh.eq(self.pool.fresh),
        ]
        # Results of a pass are handed over one by one, rows with the last one of their pixel.
        with m.If(result):
            m.d.comb += [enters.handed.eq(1), enters.due.eq(now)]
        with m.Elif(intake.row_done & places.pixel_end & places.written):
            m.d.comb += [
                enters.handed.eq(stripe.a),
                enters.due.eq(intake.arrival + stripe.store + (STORER_STAGES - 2)),
            ]
        for younger, older in pairwise(writes):
            m.d.sync += older.valid.eq(0)
            with m.If(younger.valid):
                m.d.sync += older.eq(younger)
        return writes

    def _pass(self, m: Module, is_pass: Signal) -> Value:
        """Reads vectors; returns whether the last one of a window enters the lanes."""
        stripes, lanes = self.stripes, self.lanes
        walk = place(m, "pass_walk", PassWalk(accelerator=self.geometry.accelerator))
        begun, half = Signal(name="begun"), Signal(name="half")
        # A vector is aligned in the first cycle after its read, becomes a term in the second, enters in the third.
        completes = Signal(3)
        inside, first = Signal(name="inside"), Signal(name="first")
        value = Signal.like(lanes.value, reset_less=True)
        m.d.comb += [
            walk.unit.eq(stripes.unit),
            walk.start.eq(self.pass_start),
            walk.step.eq(self.pass_busy),
            self.pass_read.eq(self.pass_busy & walk.inside),
            self.pass_word.eq(walk.word),
            self.pass_map.eq(~View(self.layout, stripes.unit).map),
            lanes.value.eq(value),
        ]
        m.d.sync += [
            self.pass_waiting.eq(stripes.unit_valid & is_pass & ~begun & ~self.pass_start),
            completes.eq(Cat(self.pass_busy & walk.last, completes)),
            half.eq(walk.half),
            Cat(inside, first).eq(Cat(self.pass_read, walk.first)),
            Cat(lanes.inside, lanes.first).eq(Cat(inside, first)),
            value.eq(_from_half(self.pass_data, half)),
        ]
        with m.If(self.pass_start):
            m.d.sync += [begun.eq(1), self.pass_busy.eq(1)]
        with m.If(self.pass_busy & walk.complete):
            m.d.sync += self.pass_busy.eq(0)
        with m.If(stripes.unit_done):
            m.d.sync += begun.eq(0)
        return completes[2]

    def _residual(self, m: Module, stripe: View, writes: list[View], reads: Value) -> None:
        """Reads the operand of a row, or what a pool keeps for it, READ_STAGE cycles after it entered the lanes."""
        lanes, places = self.lanes, self.places
        pixel, later = Signal(WORD_ADDRESS_BITS, name="pixel"), Signal(WORD_ADDRESS_BITS, name="later")
        byte, (read, taken) = Signal(BYTE_BITS, name="byte_of_line"), writes[READ_STAGE : READ_STAGE + 2]
        again = places.first_pixel | (stripe.pool & self.pool.line_begin)
        m.d.comb += [
            writes[0]["from"].eq(pixel + (byte >> 3)),
            writes[0].from_half.eq(byte[2]),
            pixel.eq(Mux(again, stripe["from"], later)),
            byte.eq(stripe.from_channel + places.offset + self.intake.column),
            self.residual_read.eq(read.valid & reads),
            self.residual_word.eq(read["from"]),
            lanes.other.eq(_from_half(self.residual_data, taken.from_half)),
        ]
        with m.If(places.step & places.pixel_end):
            m.d.sync += later.eq(pixel + stripe.from_pitch)

    def _largest(self, m: Module, writes: list[View], pools: Value) -> None:
        """What a pool makes of a row, and what it keeps."""
        largest, row, kept = self.largest, writes[PLAIN_STAGES], writes[POOLED_STAGES]
        enable, data = _bytes(largest.line, kept, kept.from_half, pools)
        m.d.comb += [
            largest.kept.eq(self.lanes.other),
            largest.row.eq(self.lanes.data[: len(largest.row)]),
            largest.fresh.eq(row.fresh),
            largest.ends.eq(row.ends),
            self.line_word.eq(kept["from"]),
            self.line_enable.eq(enable),
            self.line_data.eq(data),
        ]

    def _write(self, m: Module, data: Value, write: View, issued: View) -> None:
        enable, data = _bytes(data, write, write.half, ~issued.pool | write.ends)
        m.d.comb += [
            self.write_map.eq(issued.map),
            self.write_word.eq(write.word),
            self.write_enable.eq(enable),
            self.write_data.eq(data),
        ]

    def _hand_over(self, m: Module, write: View, now: Signal) -> None:
        """What is written two cycles later waits until it is due; it is handed over a cycle behind that."""
        # Pixels of smaller a may come while the last one of a larger a waits for its store cycles.
        depth = 1 << ceil_log2(self.geometry.accelerator.prf_depth + 2)
        queue = place(m, "handed", Fifo(width=len(write.handed) + TIME_BITS, depth=depth))
        handed = Signal.like(write.handed, name="handed_now")
        due = Signal(TIME_BITS)
        m.d.comb += [
            queue.in_valid.eq(write.valid & (write.handed != 0)),
            queue.in_data.eq(Cat(write.handed, write.due)),
            Cat(handed, due).eq(queue.out_data),
            queue.out_ready.eq(~(now - due)[TIME_BITS - 1]),
        ]
        m.d.sync += self.entries.handed.eq(Mux(queue.out_valid & queue.out_ready, handed, 0))


def _bytes(data: Value, write: View, half: Value, wanted: Value) -> tuple[Value, Value]:
    """What enables the bytes of a write, and the data; from the first or second half of a word on."""
    size = len(data) // 8
    each = Cat(write.valid & wanted & (write.bytes > n) for n in range(size))
    return Mux(half, each << HALF_WORD // 8, each), Mux(half, data << HALF_WORD, data)


def _from_half(data: Signal, half: Signal) -> Value:
    """Words from their first or second half on."""
    return Mux(half, data >> HALF_WORD, data)
