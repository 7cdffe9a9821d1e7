"""Weight loader."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, place
from rtl.control.entry_counter import EntryCounter
from rtl.geometry import Geometry
from rtl.weights.beat_buffer import BeatBuffer
from rtl.weights.group_counter import GroupCounter
from rtl.weights.row_decoder import RowDecoder
from rtl.weights.row_words import RowWords
from sim.accelerator import Accelerator


class Loader(Block):
    """Weight stream to codebook and WRF rows (docs/timing.md section 3).

    Function: runs the jobs of `packets.job` one after the other. A row is looked up (beat buffer,
        codebook or ROM) in one cycle, with conflicts in a ROM in several (`again` in
        all but the last), goes through mask LUT and AND in the next one, where there is a codebook memory, and is
        written in the one after that (signs, or LZC and MUX on a sparse tile). A
        weight job takes the bank that the one before it did not take, bank 0 after a serial job; a serial
        job takes both and counts as bank 0. `full` tells which banks hold a chunk; `take` (with
        `take_bank` or `take_serial`) withdraws that, `retire` (with `retire_bank` or `retire_serial`)
        in cycle t frees the bank, or both, for a job that starts in t+1.
    Throughput: one beat and one row a cycle; jobs without a gap.
    Handshake: a job moves when `job_valid` and `job_ready`, in its first cycle, in which its first
        beat may move; `idle`: no job is at hand. A beat moves when `weight_valid` and
        `weight_ready`; a job has at least one. `row_written`: of a chunk; `job_written`: the
        last row of a job, of a codebook too, is written. `write_enable`: the array row at hand, with the first
        one of an entry also those that the entry has no row for.
    """

    kind = "loader"

    def __init__(self, *, accelerator: Accelerator, rom: np.ndarray | None = None) -> None:
        """`rom`: contents of the codebook ROM, int8 [k, d]."""
        self.geometry = geometry = Geometry(accelerator)
        self.layout = packets.job(geometry)
        self.rom = rom
        self.fills = accelerator.weights.loads_codebook
        super().__init__(
            {
                "job_valid": In(1),
                "job_ready": Out(1),
                "job": In(self.layout.size),
                "idle": Out(1),
                "weight_valid": In(1),
                "weight_ready": Out(1),
                "weight_data": In(accelerator.weight_port_bits),
                "full": Out(2),
                "take": In(1),
                "take_bank": In(1),
                "take_serial": In(1),
                "retire": In(1),
                "retire_bank": In(1),
                "retire_serial": In(1),
                "write_enable": Out(accelerator.rows),
                "write_address": Out(geometry.wrf_address_bits),
                "write_data": Out(geometry.row_word_bits),
                "beat_accepted": Out(1),
                "row_written": Out(1),
                "job_written": Out(1),
                "again": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, geometry = self.geometry.accelerator, self.geometry
        held = Signal(self.layout.size, reset_less=True)
        job = View(self.layout, held)
        buffer = self._buffer(m)
        entries = place(m, "entry_counter", EntryCounter(depth=acc.wrf_depth))
        words = place(m, "row_words", RowWords(accelerator=acc))

        filling = job.codebook if self.fills else Const(0)
        row = Signal(range(max(acc.rows, acc.codebook_entries if self.fills else 1)))
        rows = Signal(len(row) + 1)
        width = Signal(len(buffer.width))
        self._extents(m, job, entries, filling, rows, width)

        # A row is in the buffer, looked up for the last cycle; it is written in the last of `stages` cycles.
        present, looks = Signal(name="present"), Signal(name="looks")
        stages = acc.loader_stages - 1
        written, last = Signal(stages, name="written"), Signal(stages, name="last")
        loading, begins, row_end = Signal(name="loading"), Signal(name="begins"), Signal(name="row_end")
        sent = Signal.like(job.beats)
        scale, weighs = self._scale_rows(m, job, looks, row_end)
        m.d.comb += [
            self.idle.eq(~loading),
            begins.eq(self.job_valid & self.job_ready),
            self.weight_ready.eq((begins | (loading & (sent < job.beats))) & buffer.ready),
            self.beat_accepted.eq(self.weight_ready & self.weight_valid),
            buffer.write.eq(self.beat_accepted),
            buffer.data.eq(self.weight_data),
            present.eq(loading & (buffer.fill >= width) & ~last.any()),
            buffer.consume.eq(looks),
            buffer.width.eq(width),
            buffer.clear.eq(self.job_written),
            row_end.eq(row + 1 == rows),
            entries.step.eq(weighs & row_end & ~filling),
            entries.a.eq(job.a),
            entries.b.eq(job.b),
            entries.u.eq(job.u),
            entries.d.eq(job.d),
            self.again.eq(present & ~looks),
            self.row_written.eq(written[-1] & ~filling),
            self.job_written.eq(last[-1]),
        ]
        m.d.sync += [
            written.eq(Cat(weighs, written)),
            last.eq(Cat(weighs & row_end & (filling | entries.complete), last)),
            sent.eq(sent + self.beat_accepted),
        ]
        with m.If(weighs):
            m.d.sync += row.eq(Mux(row_end, 0, row + 1))
        with m.If(begins):
            m.d.sync += [loading.eq(1), held.eq(self.job)]
        with m.If(self.job_written):
            m.d.sync += [loading.eq(0), sent.eq(0)]
        bank = self._banks(m, job, begins, loading, filling)

        entry = (entries.entry + Mux(bank, acc.wrf_depth // 2, 0))[: geometry.wrf_address_bits]
        target, address, beside = self._targets(m, row, rows, entry, looks)
        if acc.coded:
            decoder = self._decode(m, buffer.row, width, job, filling)
            m.d.comb += [decoder.look.eq(present), looks.eq(present & decoder.done)]
            if len(scale):
                m.d.comb += decoder.scale.eq(scale)
            self._pass_on(m, decoder, words, written[-1] & filling, target)
        else:
            values = Signal.like(words.values, reset_less=True)
            with m.If(looks):
                m.d.sync += values.eq(buffer.row)
            m.d.comb += [looks.eq(present), words.values.eq(values)]
        self._place_row(m, words, entries, job, looks, row_end)
        m.d.comb += [
            self.write_enable.eq(Mux(self.row_written, (1 << target) | beside, 0)),
            self.write_address.eq(address),
            self.write_data.eq(words.words),
        ]
        return m

    def _targets(
        self, m: Module, row: Signal, rows: Signal, entry: Value, looks: Signal
    ) -> tuple[Value, Value, Value]:
        """Registers between look-up and write: the array row, the WRF word, and array rows beside it."""
        target = self._delayed(m, "target", row, looks)
        address = self._delayed(m, "address", entry, looks)
        # The first row of an entry goes to the array rows without a channel too: their activations are 0, but
        # 0 times the unknown word of a register file that was never written is unknown in a simulation.
        height = self.geometry.accelerator.rows
        without = Mux(row == 0, Const(-1, height) << rows, 0)[:height]
        return target, address, self._delayed(m, "beside", without, looks)

    def _delayed(self, m: Module, name: str, value: Value, looks: Signal) -> Signal:
        """What belongs to the row looked up, when it is written."""
        for stage in range(1, self.geometry.accelerator.loader_stages):
            register = Signal(len(value), name=f"{name}_{stage}", reset_less=True)
            if stage == 1:
                with m.If(looks):
                    m.d.sync += register.eq(value)
            else:
                m.d.sync += register.eq(value)
            value = register
        return value

    def _buffer(self, m: Module) -> BeatBuffer:
        geometry = self.geometry
        return place(
            m,
            "beat_buffer",
            BeatBuffer(
                port_bits=geometry.accelerator.weight_port_bits,
                ring_bits=geometry.buffer_row_bits,
                rows=geometry.buffer_rows,
                row_bits=geometry.row_bits,
            ),
        )

    def _extents(
        self, m: Module, job: View, entries: EntryCounter, filling: Value, rows: Signal, width: Signal
    ) -> None:
        """Rows of the entry at hand, or of the codebook, and their bits."""
        m.d.comb += [
            rows.eq(Mux(entries.group_tail, job.rows_tail, job.rows)),
            width.eq(Mux(entries.column_tail, job.row_bits_tail, job.row_bits)),
        ]
        if self.fills:
            length = self.geometry.accelerator.codeword_length
            with m.If(filling):
                m.d.comb += [rows.eq(job.entries), width.eq(8 * length)]

    def _scale_rows(self, m: Module, job: View, looks: Signal, row_end: Signal) -> tuple[Value, Value]:
        """Which row of scales is at hand, a bit of each; and whether a row of weights is looked up."""
        acc = self.geometry.accelerator
        count, span = acc.weights.scale_rows(acc), acc.weights.scale_span(acc)
        if not count:
            return Const(0, 0), looks
        scale, within = Signal(count + 1, init=1, name="scale"), Signal(range(span), name="within")
        weighs, group_end = Signal(name="weighs"), Signal(name="group_end")
        m.d.comb += [
            weighs.eq(looks & (job.raw | scale[count])),
            group_end.eq(row_end | (within == span - 1)),
        ]
        with m.If(weighs):
            m.d.sync += within.eq(Mux(group_end, 0, within + 1))
        with m.If(looks & ~job.raw):
            m.d.sync += scale.eq(Mux(scale[count], Mux(group_end, 1, scale), scale << 1))
        return Mux(job.raw, 0, scale[:count]), weighs

    def _banks(self, m: Module, job: View, begins: Signal, loading: Signal, filling: Value) -> Value:
        """Claims a bank when a job begins; returns that of the job at hand."""
        offered = View(self.layout, self.job)
        owned = Signal(2)
        turn = Signal()  # bank of the next job
        claim = Mux(offered.serial, 0b11, 1 << turn)
        if self.fills:
            claim = Mux(offered.codebook, 0, claim)
        m.d.comb += self.job_ready.eq(~loading & ((owned & claim) == 0))
        released = Mux(self.retire_serial, 0b11, 1 << self.retire_bank)
        m.d.sync += owned.eq((owned | Mux(begins, claim, 0)) & ~Mux(self.retire, released, 0))
        bank = turn & ~job.serial
        with m.If(self.take):
            m.d.sync += self.full.bit_select(self.take_bank & ~self.take_serial, 1).eq(0)
        with m.If(self.job_written & ~filling):
            m.d.sync += [self.full.bit_select(bank, 1).eq(1), turn.eq(~bank & ~job.serial)]
        return bank

    def _decode(self, m: Module, row: Signal, width: Signal, job: View, filling: Value) -> RowDecoder:
        decoder = RowDecoder(accelerator=self.geometry.accelerator, rom=self.rom)
        place(m, "row_decoder", decoder)
        m.d.comb += [
            decoder.row.eq(row),
            decoder.index_bits.eq(job.index_bits),
            decoder.raw.eq(job.raw | filling),
        ]
        if self.geometry.accelerator.weights.universal:
            m.d.comb += decoder.row_width.eq(width)
        return decoder

    def _pass_on(
        self, m: Module, decoder: RowDecoder, words: RowWords, fill: Value, codeword: Signal
    ) -> None:
        """What was looked up goes to the WRF words, or in a codebook job back into the codebook."""
        for port in ("values", "signs", "masks"):
            if port in words.signature.members:
                m.d.comb += getattr(words, port).eq(getattr(decoder, port))
        if self.fills:
            m.d.comb += [
                decoder.write_enable.eq(fill),
                decoder.write_address.eq(codeword),
                decoder.write_data.eq(decoder.values),
            ]

    def _place_row(
        self, m: Module, words: RowWords, entries: EntryCounter, job: View, looks: Signal, row_end: Signal
    ) -> None:
        """Where the row's raw weights belong, from its look-up to its write."""
        groups = GroupCounter(accelerator=self.geometry.accelerator)
        place(m, "group_counter", groups)
        m.d.comb += [
            groups.step.eq(looks),
            groups.restart.eq(row_end),
            groups.inputs.eq(job.block_inputs),
            groups.outputs.eq(job.block_outputs),
            words.diagonal.eq(job.diagonal),
            words.outputs.eq(job.block_outputs),
        ]
        kept = {"lane": groups.lane}
        if self.geometry.accelerator.sparse_tile:
            kept |= {"base": groups.base, "sub": entries.sub}
            m.d.comb += words.raw.eq(job.raw)
        for port, value in kept.items():
            m.d.comb += getattr(words, port).eq(self._delayed(m, port, value, looks))
