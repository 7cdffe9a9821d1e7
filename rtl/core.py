"""The core: what docs/timing.md describes, as one module."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl.array import Array
from rtl.block import Block, place
from rtl.counters import COUNTERS, Counters
from rtl.geometry import COUNT_BITS, PSUM_BITS, Geometry
from rtl.loader import Loader, layer_ports
from rtl.prf import Prf
from rtl.sequencer import Sequencer
from sim.accelerator import Accelerator

COUNTER_BITS = 40


class Core(Block):
    """Weight loader, array, PRF and sequencer; runs one layer for each `start`.

    Function: reads chunk descriptors, weight beats, activation vectors and stored psums; gives
        psum rows of L values. `row` and `row_address` (pixel * A + s) belong to `psum_write` (to
        the psum memory) or `finished` (to the storer). The `count_*` outputs hold the layer's
        counters until the next start.
    Throughput: one token a cycle, LAT = Rv + Rh + 1 cycles from issue to row.
    Handshake: `start` is taken while not `busy`; the next cycle is cycle 0, and `done` is 1 in the
        cycle of the last row. The layer configuration stays while busy.
        Descriptors: `*_index` out, fields in, same cycle.
        Weight beats: move when `weight_valid` and `weight_ready`.
        Activations: `activation_request` in cycle t, `activation` in t+1 and held until the
        cycle after the next request.
        Psums: `psum_read` with `psum_read_address` in cycle t, `psum_read_data` in t+1.
    """

    kind = "core"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        row_bits = PSUM_BITS * accelerator.columns
        self.config = layer_ports(geometry)
        super().__init__({
            "start": In(1), "busy": Out(1), "done": Out(1),
            **{name: In(width) for name, width in self.config.items()},
            "loader_index": Out(COUNT_BITS), "loader_chunk": In(geometry.loader_chunk.size),
            "slot_index": Out(COUNT_BITS), "slot_chunk": In(geometry.slot_chunk.size),
            "weight_valid": In(1), "weight_ready": Out(1),
            "weight_data": In(accelerator.weight_port_bits),
            "activation_request": Out(1), "activation": In(8 * accelerator.rows),
            "psum_read": Out(1), "psum_read_address": Out(COUNT_BITS), "psum_read_data": In(row_bits),
            "row": Out(row_bits), "row_address": Out(COUNT_BITS), "psum_write": Out(1),
            "finished": Out(1),
            **{f"count_{name}": Out(COUNTER_BITS) for name in COUNTERS},
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, geometry = self.geometry.accelerator, self.geometry
        loader = place(m, "loader", Loader(accelerator=acc))
        sequencer = place(m, "sequencer", Sequencer(accelerator=acc))
        array = place(m, "array", Array(accelerator=acc))
        prf = place(m, "prf", Prf(depth=acc.prf_depth, columns=acc.columns,
                                  sum_bits=geometry.sum_bits))
        counters = place(m, "counters", Counters(width=COUNTER_BITS))
        start = Signal()
        ahead, tag = View(geometry.tag, array.tag_ahead), View(geometry.tag, array.tag_out)
        row_tag_bits = Signal(geometry.tag.size)
        row_tag = View(geometry.tag, row_tag_bits)
        m.d.sync += row_tag_bits.eq(array.tag_out)
        m.d.comb += [
            start.eq(self.start & ~self.busy),
            self.done.eq(row_tag.valid & row_tag.end),
        ]
        with m.If(start):
            m.d.sync += self.busy.eq(1)
        with m.Elif(self.done):
            m.d.sync += self.busy.eq(0)

        m.d.comb += [getattr(loader, name).eq(getattr(self, name)) for name in self.config]
        m.d.comb += [
            loader.start.eq(start),
            self.loader_index.eq(loader.chunk_index), loader.chunk.eq(self.loader_chunk),
            loader.weight_valid.eq(self.weight_valid), loader.weight_data.eq(self.weight_data),
            self.weight_ready.eq(loader.weight_ready),
            loader.take.eq(sequencer.take), loader.take_bank.eq(sequencer.take_bank),
            loader.retire.eq(ahead.valid & ahead.retire), loader.retire_bank.eq(ahead.bank),

            sequencer.start.eq(start), sequencer.busy.eq(self.busy),
            sequencer.chunk_count.eq(self.chunk_count), sequencer.overlap.eq(self.overlap),
            self.slot_index.eq(sequencer.chunk_index), sequencer.chunk.eq(self.slot_chunk),
            sequencer.full.eq(loader.full),
            self.activation_request.eq(sequencer.request),

            array.valid.eq(sequencer.valid), array.address.eq(sequencer.address),
            array.tag.eq(sequencer.tag),
            # Array rows without a channel take no part.
            array.activation.eq(self.activation & Cat(bit.replicate(8) for bit in sequencer.lanes)),
            array.write_enable.eq(loader.write_enable),
            array.write_address.eq(loader.write_address), array.write_data.eq(loader.write_data),

            self.psum_read.eq(ahead.valid & ahead.stored), self.psum_read_address.eq(ahead.address),
            prf.valid.eq(tag.valid), prf.word.eq(tag.word), prf.first.eq(tag.first),
            prf.use_stored.eq(tag.stored), prf.stored.eq(self.psum_read_data),
            prf.sums.eq(array.sums),
            self.row.eq(prf.row), self.row_address.eq(row_tag.address),
            self.psum_write.eq(row_tag.valid & row_tag.last & ~row_tag.final),
            self.finished.eq(row_tag.valid & row_tag.last & row_tag.final),

            counters.clear.eq(start),
            # In the order of COUNTERS.
            counters.events.eq(Cat(
                self.busy, sequencer.causes, self.activation_request, loader.row_written,
                loader.beat_accepted, self.psum_read, self.psum_write, self.finished)),
        ]
        m.d.comb += [getattr(self, f"count_{name}").eq(getattr(counters, f"count_{name}"))
                     for name in COUNTERS]
        return m
