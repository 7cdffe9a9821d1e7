"""From a weight row to d-vectors: look-up of codewords, masks and signs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, place
from rtl.geometry import Geometry
from rtl.weights.codebook import Codebook
from rtl.weights.mask_decoder import MaskDecoder
from rtl.weights.rom import Rom
from rtl.weights.scaled_weight import PRODUCTS, ScaledWeight
from rtl.weights.ternary_digits import TernaryDigits
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats.ternary import DIGITS


class RowDecoder(Block):
    """The look-up of one weight row in a codebook machine (MVQ sec. 5.2).

    Function: the row holds up to L/d records of `row_width` bits together, each a codeword index of
        `index_bits` bits above its mask codes (masked machines) or d sign bits (signed machines); two indices, of
        codewords that are added, on a machine with additive codebooks; elements where weights have group scales, whose
        row number n a row is with bit n of `scale`; bytes of ternary digits.
        `values` (L bytes) are the codewords, pruned elements ANDed to 0; `masks` (sparse tiles) and
        `signs` (L bits) go with them. With `raw` the row's own bytes pass. `write_*` fill the codebook.
    Throughput: one row a cycle; with a codebook ROM as its banks allow.
    Handshake: `look` with a row until `done`, which is 1 in the row's last cycle; `values`, `masks`
        and `signs` belong to it in the next one, with a codebook memory in the one after that. A codeword written in
        cycle t, in which no codeword is looked up, is found in t+1.
    """

    kind = "row_decoder"

    def __init__(self, *, accelerator: Accelerator, rom: np.ndarray | None = None) -> None:
        """`rom`: contents of the codebook ROM, int8 [k, d]."""
        form = accelerator.weights
        if form.name not in PARTS:
            raise InputError(
                "format", form.name, "the RTL has nothing that decodes it", f"use one of {', '.join(PARTS)}"
            )
        self.geometry = geometry = Geometry(accelerator)
        self.rom = rom
        columns, index = accelerator.columns, geometry.index_bits
        ports = {
            "look": In(1),
            "row": In(geometry.row_bits),
            "index_bits": In(range(index + 1)),
            "raw": In(1),
            "done": Out(1),
            "values": Out(8 * columns),
        }
        self.index_bits_at_most = form.index_bits(accelerator.codebook_entries)
        self.low_bits = accelerator.record_bits(2) - form.books * form.index_bits(
            2
        )  # of a record, below its indices
        if form.universal:
            ports |= {"row_width": In(bits_for(geometry.row_bits))}
        elif form.books:
            ports |= {
                "write_enable": In(1),
                "write_address": In(index),
                "write_data": In(8 * accelerator.codeword_length),
            }
        if scales := form.scale_rows(accelerator):
            ports |= {"scale": In(scales)}
        if form.signs:
            ports |= {"signs": Out(columns)}
        if accelerator.sparse_tile:
            ports |= {"masks": Out(columns)}
        super().__init__(ports)
        self._looked = Signal(name="looked")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        PARTS[self.geometry.accelerator.weights.name](self, m)
        return m

    def _fields(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Indices of the row's records, what lies below them, and which records there are (of a ROM)."""
        acc, geometry = self.geometry.accelerator, self.geometry
        books, most, low_bits = acc.weights.books, self.index_bits_at_most, self.low_bits
        indices = Signal(geometry.records * books * most)
        lows = Signal(max(1, geometry.records * low_bits))
        valid = Signal(geometry.records)
        with m.Switch(self.index_bits):
            for width in range(1, most + 1):
                size = low_bits + books * width
                fields = [self.row[n * size : (n + 1) * size] for n in range(geometry.records)]
                with m.Case(width):
                    m.d.comb += [
                        indices.eq(
                            Cat(
                                Cat(field[low_bits + n * width :][:width], Const(0, most - width))
                                for field in fields
                                for n in range(books)
                            )
                        ),
                        lows.eq(Cat(field[:low_bits] for field in fields)),
                    ]
                    if acc.weights.universal:
                        m.d.comb += valid.eq(
                            Cat(self.row_width >= (n + 1) * size for n in range(geometry.records))
                        )
        return indices, lows, valid

    def _read_codebook(self, m: Module) -> None:
        _, raw, row, codewords = self._look_up(m)
        self._register(m, self.values, Mux(raw, row, codewords))

    def _look_up(self, m: Module) -> tuple[Value, Value, Value, Value]:
        """A cycle after `look`: what lies below the indices; `raw` and the row; its codewords."""
        indices, lows, _ = self._fields(m)
        acc = self.geometry.accelerator
        codebook = place(
            m,
            "codebook",
            Codebook(entries=acc.codebook_entries, length=acc.codeword_length, ports=self.geometry.records),
        )
        m.d.comb += [
            codebook.write_enable.eq(self.write_enable),
            codebook.write_address.eq(self.write_address),
            codebook.write_data.eq(self.write_data),
            codebook.read_enable.eq(self.look & ~self.raw),
            codebook.read_address.eq(indices),
            self.done.eq(1),
        ]
        row = Signal(max(len(self.row), len(lows)), name="row_register", reset_less=True)
        raw = Signal(name="raw_register", reset_less=True)
        m.d.sync += self._looked.eq(self.look)
        with m.If(self.look):
            m.d.sync += [row.eq(Mux(self.raw, self.row, lows)), raw.eq(self.raw)]
        return row[: len(lows)], raw, row, codebook.read_data

    def _read_masked(self, m: Module) -> None:
        acc = self.geometry.accelerator
        codes, raw, row, codewords = self._look_up(m)
        masks = Signal(acc.columns)
        for n in range(acc.columns // acc.group):
            decoder = place(m, f"mask_decoder_{n}", MaskDecoder(keep=acc.keep, group=acc.group))
            m.d.comb += [
                decoder.code.eq(codes.word_select(n, decoder.code_bits)),
                masks.word_select(n, acc.group).eq(decoder.mask),
            ]
        if acc.sparse_tile:
            self._register(m, self.masks, masks)
        vectors = codewords & Cat(bit.replicate(8) for bit in masks)
        self._register(m, self.values, Mux(raw, row, vectors))

    def _read_signed(self, m: Module) -> None:
        """`RowWords` negates: the magnitudes of a row are kept as they are."""
        signs, raw, row, codewords = self._look_up(m)
        self._register(m, self.signs, Mux(raw, 0, signs))
        self._register(m, self.values, Mux(raw, row, codewords))

    def _register(self, m: Module, port: Signal, value: Value) -> None:
        register = Signal.like(port, name=f"{port.name}_register", reset_less=True)
        with m.If(self._looked):
            m.d.sync += register.eq(value)
        m.d.comb += port.eq(register)

    def _read_rom(self, m: Module) -> None:
        """Codewords arrive in the cycle after their read; earlier ones of the row wait in `held`."""
        indices, _, valid = self._fields(m)
        bits = 8 * self.geometry.accelerator.codeword_length
        rom = place(m, "rom", Rom(accelerator=self.geometry.accelerator, contents=self.rom))
        held = Signal.like(self.values, reset_less=True)
        m.d.comb += [
            rom.look.eq(self.look & ~self.raw),
            rom.requests.eq(valid),
            rom.indices.eq(indices),
            self.done.eq(self.raw | rom.done),
        ]
        for n in range(self.geometry.records):
            m.d.comb += self.values.word_select(n, bits).eq(
                Mux(rom.hits[n], rom.codewords.word_select(n, bits), held.word_select(n, bits))
            )
        m.d.sync += held.eq(Mux(self.look & self.raw, self.row, self.values))

    def _read_sums(self, m: Module) -> None:
        """Two codebooks, whose codewords a codebook job brings in turn."""
        acc, records = self.geometry.accelerator, self.geometry.records
        indices, _, _ = self._fields(m)
        raw, row = self._held(m)
        found = []
        for book in range(2):
            codebook = place(
                m,
                f"codebook_{book}",
                Codebook(entries=acc.codebook_entries // 2, length=acc.codeword_length, ports=records),
            )
            m.d.comb += [
                codebook.write_enable.eq(self.write_enable & (self.write_address[0] == book)),
                codebook.write_address.eq(self.write_address[1:]),
                codebook.write_data.eq(self.write_data),
                codebook.read_enable.eq(self.look & ~self.raw),
                codebook.read_address.eq(
                    Cat(
                        indices.word_select(2 * n + book, self.index_bits_at_most)[: codebook.address_bits]
                        for n in range(records)
                    )
                ),
            ]
            found.append(codebook.read_data)
        sums = Cat((found[0].word_select(n, 8) + found[1].word_select(n, 8))[:8] for n in range(acc.columns))
        self._register(m, self.values, Mux(raw, row, sums))

    def _read_scaled(self, m: Module) -> None:
        """Rows of scales fill registers, which multiply the rows of weights behind them."""
        acc, form = self.geometry.accelerator, self.geometry.accelerator.weights
        raw, row = self._held(m)
        bits, parts = form.unit_bits(acc, 0), form.scale_rows(acc)
        part = Signal(parts, name="part_register")
        m.d.sync += part.eq(Mux(self.look, self.scale, 0))
        weights = Signal(8 * acc.columns)
        for n in range(acc.columns):
            scale = Signal(parts * bits, name=f"scale_{n}", reset_less=True)
            element = row.word_select(n, bits)
            for k in range(parts):
                with m.If(part[k]):
                    m.d.sync += scale.word_select(k, bits).eq(element)
            column = ScaledWeight(form=form.name, bits=bits, scale_bits=len(scale))
            place(m, f"column_{n}", column)
            m.d.comb += [
                column.element.eq(element),
                column.scale.eq(scale),
                weights.word_select(n, 8).eq(column.weight),
            ]
        self._register(m, self.values, Mux(raw, row, weights))

    def _read_ternary(self, m: Module) -> None:
        acc = self.geometry.accelerator
        d, size = acc.codeword_length, acc.record_bits(0)
        raw, row = self._held(m)
        weights = Signal(8 * acc.columns)
        for record in range(self.geometry.records):
            for byte in range(-(-d // DIGITS)):
                digits = place(m, f"digits_{record}_{byte}", TernaryDigits())
                end = min(8 * byte + 8, size)
                m.d.comb += digits.number.eq(row[record * size + 8 * byte : record * size + end])
                for n in range(min(DIGITS, d - byte * DIGITS)):
                    digit = digits.weights.word_select(n, 2).as_signed()
                    m.d.comb += weights.word_select(record * d + byte * DIGITS + n, 8).eq(digit)
        self._register(m, self.values, Mux(raw, row, weights))

    def _held(self, m: Module) -> tuple[Value, Value]:
        """A cycle after `look`: `raw` and the row."""
        row = Signal(len(self.row), name="row_register", reset_less=True)
        raw = Signal(name="raw_register", reset_less=True)
        m.d.comb += self.done.eq(1)
        m.d.sync += self._looked.eq(self.look)
        with m.If(self.look):
            m.d.sync += [row.eq(self.row), raw.eq(self.raw)]
        return raw, row


PARTS: dict[str, Callable[[RowDecoder, Module], None]] = {
    "vq": RowDecoder._read_codebook,
    "mvq": RowDecoder._read_masked,
    "ssvq": RowDecoder._read_signed,
    "rom": RowDecoder._read_rom,
    "ternary": RowDecoder._read_ternary,
    "aqlm": RowDecoder._read_sums,
    **dict.fromkeys(PRODUCTS, RowDecoder._read_scaled),
}
"""What makes weights of the records of a row, by the name of the format."""
