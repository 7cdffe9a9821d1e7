"""Weight loader."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.beat_buffer import BeatBuffer
from rtl.block import Block, address_bits, place
from rtl.compactor import Compactor
from rtl.entry_counter import EntryCounter
from rtl.geometry import COUNT_BITS, Geometry
from rtl.row_decoder import RowDecoder
from sim.accelerator import Accelerator


def layer_ports(geometry: Geometry) -> dict[str, int]:
    """Layer configuration that the loader reads, with widths.

    `chunk_count` chunks; `overlap`: two banks; on codebook machines `raw`: rows carry INT8
    weights, `codewords`, `codebook_beats`: the codebook job (0: none), `index_bits`.
    """
    acc = geometry.accelerator
    ports = {"chunk_count": COUNT_BITS, "overlap": 1}
    if acc.loader != "dense":
        beats = -(-acc.codebook_entries * acc.codeword_length * 8 // acc.weight_port_bits)
        ports |= {"raw": 1, "codewords": bits_for(acc.codebook_entries),
                  "codebook_beats": bits_for(beats), "index_bits": bits_for(geometry.index_bits)}
    return ports


class Loader(Block):
    """Weight stream to WRF rows (docs/timing.md section 3).

    Function: after `start` runs the codebook job, then a job for each chunk. A row is looked up
        (beat buffer, codebook, mask LUT, AND) in one cycle and written (LZC and MUX on a sparse
        tile) in the next. `full` tells which banks hold a chunk; `take` (with `take_bank`)
        withdraws that, `retire` (with `retire_bank`) frees the bank for the next job.
    Throughput: one beat and one row a cycle.
    Handshake: a beat moves when `weight_valid` and `weight_ready`; `chunk` answers
        `chunk_index` in the same cycle. The configuration stays while the layer runs.
    """

    kind = "loader"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        self.config = layer_ports(geometry)
        super().__init__({
            "start": In(1), **{name: In(width) for name, width in self.config.items()},
            "chunk_index": Out(COUNT_BITS), "chunk": In(geometry.loader_chunk.size),
            "weight_valid": In(1), "weight_data": In(accelerator.weight_port_bits),
            "weight_ready": Out(1),
            "full": Out(2), "take": In(1), "take_bank": In(1), "retire": In(1), "retire_bank": In(1),
            "write_enable": Out(accelerator.rows), "write_address": Out(geometry.wrf_address_bits),
            "write_data": Out(geometry.row_word_bits),
            "beat_accepted": Out(1), "row_written": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, geometry = self.geometry.accelerator, self.geometry
        coded = acc.loader != "dense"
        chunk = View(geometry.loader_chunk, self.chunk)
        job = self.chunk_index
        buffer = place(m, "beat_buffer", BeatBuffer(
            port_bits=acc.weight_port_bits, ring_bits=geometry.buffer_row_bits,
            rows=geometry.buffer_rows, row_bits=geometry.row_bits))
        entries = place(m, "entry_counter", EntryCounter(depth=acc.wrf_depth))

        # The job at hand.
        filling = Signal()  # it is the codebook job
        row = Signal(range(max(acc.rows, acc.codebook_entries if coded else 1)))
        rows = Signal(len(row) + 1)
        width = Signal(len(buffer.width))
        beats = Signal(max(len(chunk.beats), self.config.get("codebook_beats", 0)))
        m.d.comb += [
            rows.eq(Mux(entries.group_tail, chunk.rows_tail, chunk.rows)),
            width.eq(Mux(entries.column_tail, chunk.row_bits_tail, chunk.row_bits)),
            beats.eq(chunk.beats),
        ]
        if coded:
            with m.If(filling):
                m.d.comb += [rows.eq(self.codewords), width.eq(8 * acc.codeword_length),
                             beats.eq(self.codebook_beats)]
        bank = Signal()
        m.d.comb += bank.eq(self.overlap & job[0])

        # Row looked up in this cycle, row written in this cycle.
        looks = Signal()
        ends = Signal()
        row_end = Signal()
        written = Signal()
        written_ends = Signal()
        loading = Signal()
        running = Signal()
        begins = Signal()
        owned = Signal(2)
        idle = Signal(init=1)
        sent = Signal.like(beats)
        m.d.comb += [
            begins.eq(~idle & ~loading & (filling | ~owned.bit_select(bank, 1))),
            running.eq(loading | begins),
            self.weight_ready.eq(running & (sent < beats) & buffer.ready),
            self.beat_accepted.eq(self.weight_ready & self.weight_valid),
            buffer.write.eq(self.beat_accepted), buffer.data.eq(self.weight_data),
            looks.eq(loading & (buffer.fill >= width) & ~written_ends),
            buffer.consume.eq(looks), buffer.width.eq(width), buffer.clear.eq(written_ends),
            row_end.eq(row + 1 == rows), ends.eq(row_end & (filling | entries.complete)),
            entries.step.eq(looks & row_end & ~filling),
            entries.a.eq(chunk.a), entries.b.eq(chunk.b), entries.u.eq(chunk.u),
            entries.d.eq(chunk.d),
        ]
        m.d.sync += [written.eq(looks), written_ends.eq(looks & ends), sent.eq(sent + self.beat_accepted)]
        with m.If(looks):
            m.d.sync += row.eq(Mux(row_end, 0, row + 1))
        with m.If(begins):
            m.d.sync += [loading.eq(1)]
            with m.If(~filling):
                m.d.sync += owned.bit_select(bank, 1).eq(1)
        with m.If(self.take):
            m.d.sync += self.full.bit_select(self.take_bank, 1).eq(0)
        with m.If(self.retire):
            m.d.sync += owned.bit_select(self.retire_bank, 1).eq(0)
        with m.If(written_ends):
            m.d.sync += [loading.eq(0), filling.eq(0), sent.eq(0)]
            with m.If(~filling):
                m.d.sync += [self.full.bit_select(bank, 1).eq(1), job.eq(job + 1),
                             idle.eq(job + 1 == self.chunk_count)]
        with m.If(self.start):
            m.d.sync += [idle.eq(0), job.eq(0), owned.eq(0), self.full.eq(0)]
            if coded:
                m.d.sync += filling.eq(self.codewords != 0)

        self._datapath(m, buffer, entries, filling, row, bank, looks, written)
        return m

    def _datapath(self, m: Module, buffer: BeatBuffer, entries: EntryCounter, filling: Signal,
                  row: Signal, bank: Signal, looks: Signal, written: Signal) -> None:
        acc, geometry = self.geometry.accelerator, self.geometry
        # Registers between look-up and write.
        values = Signal(8 * acc.columns, reset_less=True)
        masks = Signal(acc.columns, reset_less=True)
        sub = Signal(address_bits(acc.split), reset_less=True)
        target = Signal.like(row, reset_less=True)
        address = Signal(geometry.wrf_address_bits, reset_less=True)
        with m.If(looks):
            m.d.sync += [sub.eq(entries.sub), target.eq(row),
                         address.eq(entries.entry + Mux(bank, acc.wrf_depth // 2, 0))]

        if acc.loader == "dense":
            with m.If(looks):
                m.d.sync += values.eq(buffer.row)
        else:
            decoder = place(m, "row_decoder", RowDecoder(accelerator=acc))
            m.d.comb += [
                decoder.row.eq(buffer.row), decoder.index_bits.eq(self.index_bits),
                decoder.raw.eq(self.raw | filling),
                decoder.write_enable.eq(written & filling), decoder.write_address.eq(target),
                decoder.write_data.eq(values),
            ]
            with m.If(looks):
                m.d.sync += values.eq(decoder.values)
                if acc.sparse_tile:
                    m.d.sync += masks.eq(decoder.masks)

        words = values
        if acc.sparse_tile:
            words = Cat(self._compact(m, values, masks, sub, n) for n in range(geometry.records))
        m.d.comb += [
            self.row_written.eq(written & ~filling),
            self.write_enable.eq(self.row_written << target),
            self.write_address.eq(address), self.write_data.eq(words),
        ]

    def _compact(self, m: Module, values: Signal, masks: Signal, sub: Signal, n: int) -> Signal:
        acc = self.geometry.accelerator
        compactor = place(m, f"compactor_{n}", Compactor(
            length=acc.codeword_length, keep=acc.keep, group=acc.group))
        dense_bits = 8 * acc.multipliers_per_codeword
        vector = values.word_select(n, 8 * acc.codeword_length)
        m.d.comb += [
            compactor.values.eq(Mux(self.raw, values[n * dense_bits : (n + 1) * dense_bits], vector)),
            compactor.mask.eq(masks.word_select(n, acc.codeword_length)),
            compactor.raw.eq(self.raw), compactor.sub.eq(sub),
        ]
        return compactor.words
