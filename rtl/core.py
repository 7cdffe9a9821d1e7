"""The core: weight loader, sequencer, array and PRF (docs/timing.md sections 1 to 6)."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Module
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.array.array import Array, delay, delays
from rtl.array.prf import Prf
from rtl.block import Block, place
from rtl.control.sequencer import CAUSES, Sequencer
from rtl.geometry import COUNT_BITS, PSUM_BITS, Geometry
from rtl.weights.loader import Loader
from sim.accelerator import Accelerator

EVENTS = ("vectors", "wrf_rows", "beats", "psum_rows_read", "psum_rows_written", "finished_rows")
"""What happens at most once a cycle in the core (docs/timing.md section 6)."""


class Core(Block):
    """Turns jobs, chunks, weight beats and activation vectors into psum rows.

    Function: jobs fill the WRF, chunks are run on it. A psum row (L values) leaves as `row` with
    `row_address`
        (pixel * A + s) and `psum_write` (to the psum group) or `finished` (to the storer).
    Throughput: one token a cycle, LAT cycles from issue to row; a token comes to the array `operand_stages` + 1 cycles
        after its issue.
    Handshake: jobs and weight beats move when valid and ready. `load`, `chunk_*`, `starts`, `visit_end`,
    `ready`,
        `tile_missing`, `unit_loaded`, `unit_sent`: see the sequencer. `settled`: no row of the layer is on
        its way. `empty`: no job is at hand, and the WRF holds no chunk. Activations: `request` in cycle t,
        `activation` in t+2 and held until two cycles after the next request. Psums: `psum_read` with
        `psum_read_address` in cycle t, `psum_read_data` in t+1.
        `events` in the order of EVENTS, `causes` in that of the sequencer's.
    """

    kind = "core"

    def __init__(self, *, accelerator: Accelerator, rom: np.ndarray | None = None) -> None:
        """`rom`: contents of the codebook ROM, int8 [k, d]."""
        self.geometry = geometry = Geometry(accelerator)
        self.loader = Loader(accelerator=accelerator, rom=rom)
        self.sequencer, self.array = Sequencer(accelerator=accelerator), Array(accelerator=accelerator)
        self.prf = Prf(depth=accelerator.prf_depth, columns=accelerator.columns, sum_bits=geometry.sum_bits)
        row_bits = PSUM_BITS * accelerator.columns
        super().__init__(
            {
                "job_valid": In(1),
                "job_ready": Out(1),
                "job": In(packets.job(geometry).size),
                "job_written": Out(1),
                "weight_valid": In(1),
                "weight_ready": Out(1),
                "weight_data": In(accelerator.weight_port_bits),
                "load": In(1),
                "chunk_valid": In(1),
                "chunk_ready": Out(1),
                "chunk": In(packets.chunk(geometry).size),
                "active": Out(1),
                "settled": Out(1),
                "empty": Out(1),
                "starts": Out(1),
                "visit_end": Out(1),
                "ready": In(1),
                "tile_missing": In(1),
                "unit_loaded": In(1),
                "unit_sent": In(1),
                "unit_there": Out(1),
                "request": Out(1),
                "activation": In(8 * accelerator.rows),
                "psum_read": Out(1),
                "psum_read_address": Out(COUNT_BITS),
                "psum_read_data": In(row_bits),
                "row": Out(row_bits),
                "row_address": Out(COUNT_BITS),
                "psum_write": Out(1),
                "finished": Out(1),
                "causes": Out(len(CAUSES)),
                "events": Out(len(EVENTS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        place(m, "loader", self.loader)
        place(m, "sequencer", self.sequencer)
        place(m, "array", self.array)
        place(m, "prf", self.prf)
        tag_layout = self.geometry.tag
        ahead, tag = View(tag_layout, self.array.tag_ahead), View(tag_layout, self.array.tag_out)
        row_valid = delays(m, tag.valid, 1, "row_valid")[1]
        row_tag_bits = Cat(row_valid, delay(m, self.array.tag_out[1:], [tag.valid], "row_tag"))
        self._chunks(m)
        self._weights(m, ahead)
        self._tokens(m)
        self._sums(m, ahead, tag, View(tag_layout, row_tag_bits))
        # In the order of EVENTS.
        m.d.comb += self.events.eq(
            Cat(
                self.request,
                self.loader.row_written,
                self.loader.beat_accepted,
                self.psum_read,
                self.psum_write,
                self.finished,
            )
        )
        return m

    def _chunks(self, m: Module) -> None:
        """The sequencer's ports are the core's."""
        for name in ("load", "chunk_valid", "chunk", "ready", "tile_missing", "unit_loaded", "unit_sent"):
            m.d.comb += getattr(self.sequencer, name).eq(getattr(self, name))
        for name in ("chunk_ready", "active", "settled", "starts", "visit_end", "unit_there", "causes"):
            m.d.comb += getattr(self, name).eq(getattr(self.sequencer, name))

    def _weights(self, m: Module, ahead: View) -> None:
        """Jobs and their banks; `ahead`: the tag of the token that leaves the array in the next cycle."""
        loader, sequencer = self.loader, self.sequencer
        m.d.comb += [
            loader.job_valid.eq(self.job_valid),
            loader.job.eq(self.job),
            self.job_ready.eq(loader.job_ready),
            self.job_written.eq(loader.job_written),
            loader.weight_valid.eq(self.weight_valid),
            loader.weight_data.eq(self.weight_data),
            self.weight_ready.eq(loader.weight_ready),
            loader.take.eq(sequencer.take),
            loader.take_bank.eq(sequencer.take_bank),
            loader.take_serial.eq(sequencer.take_serial),
            loader.retire.eq(ahead.valid & ahead.retire),
            loader.retire_bank.eq(ahead.bank),
            loader.retire_serial.eq(ahead.serial),
            sequencer.full.eq(loader.full),
            sequencer.again.eq(loader.again),
            self.empty.eq(loader.idle & ~loader.full.any()),
            sequencer.missing.eq(~self.job_valid & loader.idle),
        ]

    def _tokens(self, m: Module) -> None:
        """From the sequencer into the array."""
        array, loader, sequencer = self.array, self.loader, self.sequencer
        lag = self.geometry.accelerator.operand_stages
        valids = delays(m, sequencer.valid, lag, "issued_valid")
        tags = delays(m, sequencer.tag[0], lag, "issued_tag_valid")
        address, lanes = (
            delay(m, getattr(sequencer, name), valids[:lag], f"issued_{name}")
            for name in ("address", "lanes")
        )
        tag = delay(m, sequencer.tag[1:], tags[:lag], "issued_tag")
        m.d.comb += [
            # A cycle ahead: the loader finds the vector's place first.
            self.request.eq(delays(m, sequencer.request, lag - 1, "issued_request")[-1]),
            array.valid.eq(valids[-1]),
            array.address.eq(address),
            array.tag.eq(Cat(tags[-1], tag)),
            # Array rows without a channel take no part.
            array.activation.eq(self.activation & Cat(bit.replicate(8) for bit in lanes)),
            array.write_enable.eq(loader.write_enable),
            array.write_address.eq(loader.write_address),
            array.write_data.eq(loader.write_data),
        ]

    def _sums(self, m: Module, ahead: View, tag: View, row_tag: View) -> None:
        """From the array through the PRF; tags of the tokens one cycle before it, in it, and behind it."""
        prf = self.prf
        m.d.comb += [
            self.psum_read.eq(ahead.valid & ahead.stored),
            self.psum_read_address.eq(ahead.address),
            prf.valid.eq(tag.valid),
            prf.word.eq(tag.word),
            prf.first.eq(tag.first),
            prf.use_stored.eq(tag.stored),
            prf.stored.eq(self.psum_read_data),
            prf.sums.eq(self.array.sums),
            self.row.eq(prf.row),
            self.row_address.eq(row_tag.address),
            self.psum_write.eq(row_tag.valid & row_tag.last & ~row_tag.final),
            self.finished.eq(row_tag.valid & row_tag.last & row_tag.final),
        ]
