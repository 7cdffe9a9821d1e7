"""Mask look-up table."""

from __future__ import annotations

from amaranth.hdl import Module, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_pattern
from sim.formats import encoding


class MaskDecoder(Block):
    """Code of a legal N:M mask to the mask itself (MVQ sec. 5.2, LUT).

    Function: bit j of `mask` = element j is kept; codes as in `sim.encoding.mask_table`. An
        illegal code gives an empty mask.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "mask_decoder"
    clocked = False

    def __init__(self, *, keep: int, group: int) -> None:
        check_pattern(keep, group)
        self.keep, self.group = keep, group
        self.code_bits = encoding.mask_bits(keep, group)
        super().__init__({"code": In(self.code_bits), "mask": Out(group)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        table = encoding.mask_table(self.keep, self.group).tolist()
        m.submodules.masks = masks = Memory(shape=unsigned(self.group), depth=1 << self.code_bits, init=table)
        read = masks.read_port(domain="comb")
        m.d.comb += [read.addr.eq(self.code), self.mask.eq(read.data)]
        return m
