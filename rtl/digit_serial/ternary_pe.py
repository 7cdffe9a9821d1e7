"""Processing element of the array of ternary adders."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.array.wrf import Wrf, write_ports
from rtl.block import Block, address_bits, check_positive, gated, place


class TernaryPe(Block):
    """WRF and adder of one array position; no multiplier.

    Function: psum_out = psum_in + digit * WRF[read_address], two's complement; digit is 0, 1 or -1 (bits 00, 01, 11).
    Throughput: one addition a cycle.
    Handshake: none. Combinational from the read side; a write is visible one cycle later.
    """

    kind = "ternary_pe"

    def __init__(self, *, depth: int, sum_bits: int) -> None:
        check_positive(depth=depth, sum_bits=sum_bits)
        self.depth = depth
        self.clocked = not gated()
        super().__init__(
            {
                **write_ports(depth),
                "write_data": In(8),
                "read_address": In(address_bits(depth)),
                "digit": In(2),
                "psum_in": In(sum_bits),
                "psum_out": Out(sum_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wrf = place(m, "wrf", Wrf(depth=self.depth, word_bits=8))
        spikes, negative = self.digit
        taken = Signal(8)
        m.d.comb += [
            *(getattr(wrf, name).eq(getattr(self, name)) for name in write_ports(self.depth)),
            wrf.write_data.eq(self.write_data),
            wrf.read_address.eq(self.read_address),
            taken.eq((wrf.read_data ^ negative.replicate(8)) & spikes.replicate(8)),
            self.psum_out.eq(self.psum_in.as_signed() + taken.as_signed() + Cat(negative)),
        ]
        return m
