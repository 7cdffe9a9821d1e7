"""From a weight row to d-vectors: codebook lookup, mask decoding, AND."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, place
from rtl.codebook import Codebook
from rtl.geometry import Geometry
from rtl.mask_decoder import MaskDecoder
from sim.accelerator import Accelerator
from sim.errors import InputError


class RowDecoder(Block):
    """The look-up of one weight row in a codebook machine (MVQ sec. 5.2).

    Function: the row holds L/d records, each mask codes in the low bits and a codeword index of
        `index_bits` bits above them. `values` (L bytes) are the codewords with pruned elements
        ANDed to 0, `masks` (L bits, masked machines only) the masks. With `raw` the row's own
        bytes pass. `write_*` fill the codebook.
    Throughput: one row a cycle.
    Handshake: none. Combinational; a codeword written in cycle t is visible in t+1.
    """

    kind = "row_decoder"

    def __init__(self, *, accelerator: Accelerator) -> None:
        if accelerator.loader == "dense":
            raise InputError("loader", "dense", "has nothing to decode", "pass the row through")
        self.geometry = geometry = Geometry(accelerator)
        self.masked = accelerator.loader == "masked"
        columns = accelerator.columns
        index = geometry.index_bits
        super().__init__({
            "row": In(geometry.row_bits), "index_bits": In(range(index + 1)), "raw": In(1),
            "write_enable": In(1), "write_address": In(index),
            "write_data": In(8 * accelerator.codeword_length),
            "values": Out(8 * columns), **({"masks": Out(columns)} if self.masked else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, records = self.geometry.accelerator, self.geometry.records
        codebook = place(m, "codebook", Codebook(
            entries=acc.codebook_entries, length=acc.codeword_length, ports=records))
        code_bits = acc.record_bits(2) - 1
        indices = Signal(records * self.geometry.index_bits)
        codes = Signal(max(1, records * code_bits))
        with m.Switch(self.index_bits):
            for width in range(1, self.geometry.index_bits + 1):
                fields = [self.row[n * (code_bits + width) : (n + 1) * (code_bits + width)]
                          for n in range(records)]
                with m.Case(width):
                    m.d.comb += [
                        indices.eq(Cat(Cat(field[code_bits:], Const(0, self.geometry.index_bits - width))
                                       for field in fields)),
                        codes.eq(Cat(field[:code_bits] for field in fields)),
                    ]
        m.d.comb += [
            codebook.write_enable.eq(self.write_enable),
            codebook.write_address.eq(self.write_address),
            codebook.write_data.eq(self.write_data),
            codebook.read_address.eq(indices),
        ]
        vectors = codebook.read_data
        if self.masked:
            for n in range(acc.columns // acc.group):
                decoder = place(m, f"mask_decoder_{n}", MaskDecoder(keep=acc.keep, group=acc.group))
                m.d.comb += [decoder.code.eq(codes.word_select(n, decoder.code_bits)),
                             self.masks.word_select(n, acc.group).eq(decoder.mask)]
            vectors = vectors & Cat(bit.replicate(8) for bit in self.masks)
        m.d.comb += self.values.eq(Mux(self.raw, self.row, vectors))
        return m
