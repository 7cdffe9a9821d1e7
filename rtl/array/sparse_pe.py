"""Processing element of a sparse tile."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.array.demux import Demux
from rtl.array.wrf import Wrf, write_ports
from rtl.block import Block, address_bits, check_positive, gated, place
from rtl.clocking import isolate


class SparsePe(Block):
    """WRF, MRF, INT8 multiplier and DEMUX: one of the Q kept weights of a codeword.

    Function: lane MRF[read_address] = activation * WRF[read_address], the other lanes 0.
    Throughput: one multiplication a cycle.
    Handshake: none. Combinational from the read side; a write is visible one cycle later.
    """

    kind = "sparse_pe"

    def __init__(self, *, depth: int, lanes: int, latches: bool = False) -> None:
        check_positive(depth=depth, lanes=lanes)
        self.depth, self.count, self.latches = depth, lanes, latches
        self.word_bits = 8 + address_bits(lanes)
        self.clocked = not gated()
        super().__init__(
            {
                **write_ports(depth),
                "write_data": In(self.word_bits),
                "read_address": In(address_bits(depth)),
                "activation": In(8),
                "lanes": Out(16 * lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wrf = place(m, "wrf", Wrf(depth=self.depth, word_bits=self.word_bits, latches=self.latches))
        demux = place(m, "demux", Demux(lanes=self.count))
        weight = Signal(8)
        m.d.comb += [
            *(getattr(wrf, name).eq(getattr(self, name)) for name in write_ports(self.depth)),
            wrf.write_data.eq(self.write_data),
            wrf.read_address.eq(self.read_address),
            weight.eq(isolate(wrf.read_data[:8], self.activation.any())),
            demux.product.eq(self.activation.as_signed() * weight.as_signed()),
            demux.position.eq(wrf.read_data[8:]),
            self.lanes.eq(demux.lanes),
        ]
        return m
