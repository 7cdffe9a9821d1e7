"""Processing element of a dense tile."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.array.wrf import Wrf, write_ports
from rtl.block import Block, address_bits, check_positive, gated, place
from rtl.clocking import isolate


class Pe(Block):
    """WRF, INT8 multiplier and adder of one array position.

    Function: psum_out = psum_in + activation * WRF[read_address], two's complement.
    Throughput: one multiply-accumulate a cycle.
    Handshake: none. Combinational from the read side; a write is visible one cycle later.
    """

    kind = "pe"

    def __init__(self, *, depth: int, sum_bits: int, latches: bool = False) -> None:
        check_positive(depth=depth, sum_bits=sum_bits)
        self.depth, self.latches = depth, latches
        self.clocked = not gated()
        super().__init__(
            {
                **write_ports(depth),
                "write_data": In(8),
                "read_address": In(address_bits(depth)),
                "activation": In(8),
                "psum_in": In(sum_bits),
                "psum_out": Out(sum_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wrf = place(m, "wrf", Wrf(depth=self.depth, word_bits=8, latches=self.latches))
        weight = Signal(8)
        m.d.comb += [
            *(getattr(wrf, name).eq(getattr(self, name)) for name in write_ports(self.depth)),
            wrf.write_data.eq(self.write_data),
            wrf.read_address.eq(self.read_address),
            weight.eq(isolate(wrf.read_data, self.activation.any())),
            self.psum_out.eq(self.psum_in.as_signed() + self.activation.as_signed() * weight.as_signed()),
        ]
        return m
