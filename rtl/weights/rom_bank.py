"""One bank of the codebook ROM."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive, module_name


class RomBank(Block):
    """Codewords of d bytes, with clocked read ports.

    Function: `read_data` of a port (lowest first) holds the codeword at its `read_address`. In
        Verilog the words come from the file that the parameter FILE names.
    Throughput: one codeword a port and cycle.
    Handshake: with `read_enable` in cycle t the codeword is there in t+1 and stays.
    """

    kind = "rom_bank"

    def __init__(self, *, depth: int, length: int, ports: int, file: str, words: Sequence[int]) -> None:
        check_positive(depth=depth, length=length, ports=ports)
        self.depth, self.length, self.count, self.words = depth, length, ports, words
        self.address_bits = address_bits(depth)
        self.verilog_parameters = {"FILE": file}
        super().__init__(
            {
                "read_enable": In(ports),
                "read_address": In(ports * self.address_bits),
                "read_data": Out(ports * 8 * length),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = 8 * self.length
        m.submodules.words = words = Memory(shape=unsigned(width), depth=self.depth, init=self.words)
        for n in range(self.count):
            read = words.read_port()
            m.d.comb += [
                read.en.eq(self.read_enable[n]),
                read.addr.eq(self.read_address.word_select(n, self.address_bits)),
                self.read_data.word_select(n, width).eq(read.data),
            ]
        return m

    def verilog(self) -> str | None:
        width = 8 * self.length
        reads = "".join(
            f"    if (read_enable[{n}])\n"
            f"      read_data[{n * width} +: {width}] <= "
            f"words[read_address[{n * self.address_bits} +: {self.address_bits}]];\n"
            for n in range(self.count)
        )
        return f"""\
module {module_name(self.kind)} #(
  parameter FILE = ""
) (
  input wire clk,
  input wire rst,
  input wire [{self.count - 1}:0] read_enable,
  input wire [{self.count * self.address_bits - 1}:0] read_address,
  output reg [{self.count * width - 1}:0] read_data
);
  reg [{width - 1}:0] words [0:{self.depth - 1}];
  initial if (FILE != "") $readmemh(FILE, words);
  always @(posedge clk) begin
{reads}  end
endmodule
"""
