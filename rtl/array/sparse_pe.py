"""Processing element of a sparse tile."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.array.demux import Demux
from rtl.array.wrf import Wrf, write_ports
from rtl.block import Block, address_bits, check_positive, place
from rtl.clocking import hold, isolate


class SparsePe(Block):
    """WRF, MRF, INT8 multiplier and DEMUX: one of the Q kept weights of a codeword.

    Function: the lane of a weight's position is held * weight, the other lanes 0; held is what the tile holds of its
        activations.
    Throughput: one multiplication a cycle.
    Handshake: none. Weight and position at `read_address` are taken in a cycle with `valid`; in the next one, with
        `multiplies`, their activation is `held`, and the lane is there from the one after that on. A write is visible
        one cycle later.
    """

    kind = "sparse_pe"

    def __init__(self, *, depth: int, lanes: int, latches: bool = False) -> None:
        check_positive(depth=depth, lanes=lanes)
        self.depth, self.count, self.latches = depth, lanes, latches
        self.word_bits = 8 + address_bits(lanes)
        super().__init__(
            {
                **write_ports(depth),
                "write_data": In(self.word_bits),
                "read_address": In(address_bits(depth)),
                "valid": In(1),
                "activation": In(8),
                "multiplies": In(1),
                "held": In(8),
                "lanes": Out(16 * lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wrf = place(m, "wrf", Wrf(depth=self.depth, word_bits=self.word_bits, latches=self.latches))
        demux = place(m, "demux", Demux(lanes=self.count))
        weight = Signal(8, reset_less=True)
        product = Signal(16, reset_less=True)
        read, position = (
            Signal(self.word_bits - 8, name=name, reset_less=True) for name in ("read", "position")
        )
        hold(
            m,
            "weight",
            self.valid,
            [weight.eq(isolate(wrf.read_data[:8], self.activation.any())), read.eq(wrf.read_data[8:])],
        )
        hold(
            m,
            "product",
            self.multiplies,
            [product.eq(self.held.as_signed() * weight.as_signed()), position.eq(read)],
        )
        m.d.comb += [
            *(getattr(wrf, name).eq(getattr(self, name)) for name in write_ports(self.depth)),
            wrf.write_data.eq(self.write_data),
            wrf.read_address.eq(self.read_address),
            demux.product.eq(product),
            demux.position.eq(position),
            self.lanes.eq(demux.lanes),
        ]
        return m
