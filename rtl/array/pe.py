"""Processing element of a dense tile."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.array.wrf import Wrf, write_ports
from rtl.block import Block, address_bits, check_positive, place
from rtl.clocking import hold, isolate


class Pe(Block):
    """WRF, INT8 multiplier and adder of one array position.

    Function: psum_out = psum_in + product, two's complement; product is held * the weight that was read, held what the
        tile holds of its activations.
    Throughput: one multiply-accumulate a cycle.
    Handshake: none. WRF[read_address] is taken in a cycle with `valid`; in the next one, with `multiplies`, its
        activation is `held`, and product is there from the one after that on. A write is visible one cycle later.
    """

    kind = "pe"

    def __init__(self, *, depth: int, sum_bits: int, latches: bool = False) -> None:
        check_positive(depth=depth, sum_bits=sum_bits)
        self.depth, self.latches = depth, latches
        super().__init__(
            {
                **write_ports(depth),
                "write_data": In(8),
                "read_address": In(address_bits(depth)),
                "valid": In(1),
                "activation": In(8),
                "multiplies": In(1),
                "held": In(8),
                "psum_in": In(sum_bits),
                "psum_out": Out(sum_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wrf = place(m, "wrf", Wrf(depth=self.depth, word_bits=8, latches=self.latches))
        weight = Signal(8, reset_less=True)
        product = Signal(16, reset_less=True)
        hold(m, "weight", self.valid, [weight.eq(isolate(wrf.read_data, self.activation.any()))])
        hold(m, "product", self.multiplies, [product.eq(self.held.as_signed() * weight.as_signed())])
        m.d.comb += [
            *(getattr(wrf, name).eq(getattr(self, name)) for name in write_ports(self.depth)),
            wrf.write_data.eq(self.write_data),
            wrf.read_address.eq(self.read_address),
            self.psum_out.eq(self.psum_in.as_signed() + product.as_signed()),
        ]
        return m
