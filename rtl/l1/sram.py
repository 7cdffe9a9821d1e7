"""Synchronous SRAM: the modules that a foundry's macros replace."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Member, Out

from rtl.block import Block, address_bits, check_positive
from sim.errors import InputError


def bist_port(depth: int, width: int) -> dict[str, Member]:
    """The side port by which a memory is tested: all inputs, 0 where nothing is connected, as in an export.

    With `bist_enable` the other inputs do nothing: `bist_write` writes all of `bist_write_data`, `bist_read` reads
    to `read_data` in the next cycle; a memory with one port does one of both. The pins are those of macros with a
    port for self-test, such as A_BIST_EN, _WEN, _REN, _ADDR and _DIN of RM_IHPSG13_1P; a macro without one
    needs the multiplexers in the module around it.
    """
    return {
        "bist_enable": In(1),
        "bist_write": In(1),
        "bist_read": In(1),
        "bist_address": In(address_bits(depth)),
        "bist_write_data": In(width),
    }


class Sram(Block):
    """SRAM with one write port and one read port.

    Function: `write_enable` has a bit for each `granularity` bits of a word, which it writes.
    Throughput: one write and one read a cycle. Whoever reads the word that is written in the same cycle
        gets old or new bits.
    Handshake: none. `read_enable` and `read_address` in cycle t, `read_data` in t+1 and until the next read.
        `bist_*`: the port for self-test, 0 where nothing is connected.
    Replacement: a two-port macro (1R1W) of `depth` words, with a module around it that has this name and
        these ports. Contents need no reset.
    """

    def __init__(self, *, depth: int, width: int, granularity: int) -> None:
        check_positive(depth=depth, width=width, granularity=granularity)
        if width % granularity:
            raise InputError(
                "granularity", granularity, f"does not divide the word of {width} bits", "choose a divisor"
            )
        self.depth, self.width, self.granularity = depth, width, granularity
        self.kind = f"sram_{depth}x{width}_by_{granularity}"
        address = address_bits(depth)
        super().__init__(
            {
                "write_enable": In(width // granularity),
                "write_address": In(address),
                "write_data": In(width),
                "read_enable": In(1),
                "read_address": In(address),
                "read_data": Out(width),
            }
            | bist_port(depth, width)
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = Memory(shape=unsigned(self.width), depth=self.depth, init=[])
        write = words.write_port(granularity=self.granularity)
        read = words.read_port()
        tested = self.bist_enable
        m.d.comb += [
            write.en.eq(Mux(tested, self.bist_write.replicate(len(write.en)), self.write_enable)),
            write.addr.eq(Mux(tested, self.bist_address, self.write_address)),
            write.data.eq(Mux(tested, self.bist_write_data, self.write_data)),
            read.en.eq(Mux(tested, self.bist_read, self.read_enable)),
            read.addr.eq(Mux(tested, self.bist_address, self.read_address)),
            self.read_data.eq(read.data),
        ]
        return m


class SinglePortSram(Block):
    """SRAM with one port.

    Function: with `enable` it writes `write_data` (if `write`) or reads.
    Throughput: one access a cycle.
    Handshake: none. A read in cycle t gives `read_data` in t+1 and until the next access. `bist_*`: the port
        for self-test, 0 where nothing is connected.
    Replacement: a single-port macro (1RW) of `depth` words, with a module around it that has this name and
        these ports. Contents need no reset.
    """

    def __init__(self, *, depth: int, width: int) -> None:
        check_positive(depth=depth, width=width)
        self.depth, self.width = depth, width
        self.kind = f"sram_{depth}x{width}_single"
        super().__init__(
            {
                "enable": In(1),
                "write": In(1),
                "address": In(address_bits(depth)),
                "write_data": In(width),
                "read_data": Out(width),
            }
            | bist_port(depth, width)
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = Memory(shape=unsigned(self.width), depth=self.depth, init=[])
        write = words.write_port()
        read = words.read_port()
        tested = self.bist_enable
        address = Mux(tested, self.bist_address, self.address)
        m.d.comb += [
            write.en.eq(Mux(tested, self.bist_write, self.enable & self.write)),
            write.addr.eq(address),
            write.data.eq(Mux(tested, self.bist_write_data, self.write_data)),
            read.en.eq(Mux(tested, self.bist_read & ~self.bist_write, self.enable & ~self.write)),
            read.addr.eq(address),
            self.read_data.eq(read.data),
        ]
        return m
