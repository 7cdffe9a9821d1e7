"""Product steering of a sparse tile."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive


class Demux(Block):
    """One product to one of d psum lanes (MVQ sec. 5.3).

    Function: lane `position` carries the product, the others 0.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "demux"
    clocked = False

    def __init__(self, *, lanes: int, width: int = 16) -> None:
        check_positive(lanes=lanes, width=width)
        self.count, self.width = lanes, width
        super().__init__(
            {"product": In(width), "position": In(address_bits(lanes)), "lanes": Out(lanes * width)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for n in range(self.count):
            lane = self.lanes.word_select(n, self.width)
            m.d.comb += lane.eq(Mux(self.position == n, self.product, 0))
        return m
