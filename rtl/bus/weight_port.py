"""Weights, memory to loader."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, place
from rtl.bus.address_channel import REQUEST_BITS
from rtl.bus.axi import SUPERVISION, forward, read_signals, reset
from rtl.bus.fifo import Fifo
from rtl.bus.read_port import ReadPort
from rtl.bus.sram_fifo import SramFifo
from rtl.geometry import Geometry
from rtl.packets import ADDRESS_BITS, ANNOUNCE, job
from sim.accelerator import Accelerator
from sim.errors import InputError

BUFFER_BEATS = 32
WAITING_JOBS = 8
CREDIT_BITS = 8
MOST_LATENCY = ANNOUNCE - 3
"""An announced job's first beat needs three cycles beside the memory's."""


class WeightPort(Block):
    """Fetches the beats of weight jobs ahead of the loader.

    Function: `in_job` (rtl.packets.job) leaves as `out_job` in the same order, and its `beats` (> 0) beats
        from `address` on as `weight_data`, as far ahead as a buffer of 32 beats has room. A packet with
        `wait` takes one pulse of `weights_there`, of which up to 255 are kept: if the pulse came in cycle u,
        its first address goes out from u+1 on and the packet leaves from u+16 (ANNOUNCE) on. `empty`: no packet
        waits. `stop`, `clear`,
        `idle`, `error`: rtl.bus.axi.SUPERVISION.
    Throughput: one beat a cycle while the memory answers within 14 cycles; a job a cycle. 8 jobs wait at
        most. A beat is there two cycles after it came.
    Handshake: valid and ready. A job leaves independently of its beats.
    """

    kind = "weight_port"

    def __init__(self, *, accelerator: Accelerator) -> None:
        if accelerator.l2_latency > MOST_LATENCY:
            raise InputError(
                "l2_latency",
                accelerator.l2_latency,
                "the weight port fetches 16 cycles ahead",
                f"set l2_latency <= {MOST_LATENCY}",
            )
        self.layout = job(Geometry(accelerator))
        self.port_bits = accelerator.weight_port_bits
        if self.layout["beats"].width > REQUEST_BITS:
            raise InputError(
                "wrf_depth",
                accelerator.wrf_depth,
                "a job has more beats than a request can",
                "set a smaller wrf_depth or a wider weight_port_bits",
            )
        super().__init__(
            {
                "in_valid": In(1),
                "in_ready": Out(1),
                "in_job": In(self.layout.size),
                "out_valid": Out(1),
                "out_ready": In(1),
                "out_job": Out(self.layout.size),
                "empty": Out(1),
                "weights_there": In(1),
                "weight_valid": Out(1),
                "weight_ready": In(1),
                "weight_data": Out(self.port_bits),
                **read_signals(self.port_bits),
                **SUPERVISION,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = place(m, "port", ReadPort(data_bits=self.port_bits))
        forward(m, self, port, read_signals(self.port_bits) | SUPERVISION)
        job_in, job_out = View(self.layout, self.in_job), View(self.layout, self.out_job)

        # Each job stands in two queues: one for the loader, one for the addresses.
        transfer = StructLayout({"wait": 1, "beats": len(job_in.beats), "address": ADDRESS_BITS})
        jobs = place(m, "jobs", Fifo(width=self.layout.size, depth=WAITING_JOBS))
        transfers = place(m, "transfers", Fifo(width=transfer.size, depth=WAITING_JOBS, ahead=True))
        head = View(transfer, transfers.out_data)
        m.d.comb += [
            self.in_ready.eq(jobs.in_ready & transfers.in_ready),
            jobs.in_valid.eq(self.in_valid & transfers.in_ready),
            jobs.in_data.eq(self.in_job),
            transfers.in_valid.eq(self.in_valid & jobs.in_ready),
            transfers.in_data.eq(Cat(job_in.wait, job_in.beats, job_in.address)),
            jobs.clear.eq(self.clear),
            transfers.clear.eq(self.clear),
        ]

        there = Signal(CREDIT_BITS)  # for addresses
        ripe = Signal(CREDIT_BITS)  # for packets
        ripening = Signal(ANNOUNCE - 1)
        m.d.comb += [
            port.request_valid.eq(transfers.out_valid & (~head.wait | (there != 0))),
            port.address.eq(head.address),
            port.beats.eq(head.beats),
            transfers.out_ready.eq(port.request_ready),
            self.out_job.eq(jobs.out_data),
            self.empty.eq(~jobs.out_valid),
            self.out_valid.eq(jobs.out_valid & (~job_out.wait | (ripe != 0))),
            jobs.out_ready.eq(self.out_valid & self.out_ready),
        ]
        m.d.sync += [
            there.eq(
                Mux(
                    port.request_ready & head.wait, there + self.weights_there - 1, there + self.weights_there
                )
            ),
            ripening.eq(Cat(self.weights_there, ripening)),
            ripe.eq(ripe + ripening[-1] - (jobs.out_ready & job_out.wait)),
        ]

        buffer = place(m, "buffer", SramFifo(width=self.port_bits, depth=BUFFER_BEATS))
        reserved = Signal(bits_for(BUFFER_BEATS))
        m.d.comb += [
            port.room.eq(BUFFER_BEATS - reserved),
            port.data_ready.eq(1),
            buffer.write.eq(port.data_valid),
            buffer.write_data.eq(port.data),
            buffer.clear.eq(self.clear),
            self.weight_valid.eq(buffer.out_valid),
            buffer.out_ready.eq(self.weight_ready),
            self.weight_data.eq(buffer.out_data),
        ]
        m.d.sync += reserved.eq(reserved + port.asked - (self.weight_valid & self.weight_ready))
        reset(m, self.clear, there, ripe, ripening, reserved)
        return m
