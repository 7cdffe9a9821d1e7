"""The positions that a pass reads."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block
from rtl.geometry import COUNT_BITS, Geometry
from sim.accelerator import Accelerator


class PassWalk(Block):
    """Walks over output pixels, runs of `requant_lanes` channels and window positions, the last ones fastest.

    Function: the vector at hand begins with the first or second `half` of word `word`; it is `inside` the map
        or padding. `first`, `last`: of a window; `complete`: the last one of the pass.
    Throughput: one vector a cycle.
    Handshake: `start` goes to the first vector, `step` to the next one. `unit` stays from the
        cycle before `start` to the last vector.
    """

    kind = "pass_walk"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.layout = packets.unit(Geometry(accelerator))
        super().__init__(
            {
                "unit": In(self.layout.size),
                "start": In(1),
                "step": In(1),
                "word": Out(packets.WORD_ADDRESS_BITS),
                "half": Out(1),
                "inside": Out(1),
                "first": Out(1),
                "last": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        unit = View(self.layout, self.unit)

        def word(name: str) -> Signal:
            return Signal(packets.WORD_ADDRESS_BITS, name=name)

        # Words that a step to the next line, output line and output column skips.
        line_words, row_step, column_step = word("line_words"), word("row_step"), word("column_step")
        m.d.sync += line_words.eq(unit.line_pixels * unit.from_pitch)
        m.d.comb += [row_step.eq(unit.stride_y * line_words), column_step.eq(unit.stride_x * unit.from_pitch)]

        # First word of the output line's windows, of the window, of its line; of the position.
        row_word, window_word, line_word = word("row_word"), word("window_word"), word("line_word")
        place, window_next = word("place"), word("window_next")
        bits = len(unit.lines) + 2
        top, left = Signal(signed(bits)), Signal(signed(bits))
        y, x = Signal(signed(bits)), Signal(signed(bits))
        line, position = Signal.like(unit.window_y), Signal.like(unit.window_x)
        group, column = Signal.like(unit.groups), Signal.like(unit.width)
        pixel = Signal(COUNT_BITS)
        byte = Signal(len(unit.channel))
        line_end, group_end, column_end = Signal(), Signal(), Signal()
        m.d.comb += [
            y.eq(top + line),
            x.eq(left + position),
            self.inside.eq((y >= 0) & (y < unit.lines) & (x >= 0) & (x < unit.line_pixels)),
            self.word.eq(place + (byte >> 3)),
            self.half.eq(byte[2]),
            line_end.eq(position + 1 == unit.window_x),
            group_end.eq(group + 1 == unit.groups),
            column_end.eq(column + 1 == unit.width),
            self.first.eq((line == 0) & (position == 0)),
            self.last.eq(line_end & (line + 1 == unit.window_y)),
            self.complete.eq(self.last & group_end & (pixel + 1 == unit.pixels)),
            window_next.eq(
                Mux(~group_end, window_word, Mux(column_end, row_word + row_step, window_word + column_step))
            ),
        ]
        with m.If(self.step):
            m.d.sync += [position.eq(position + 1), place.eq(place + unit.from_pitch)]
            with m.If(line_end):
                m.d.sync += [
                    position.eq(0),
                    line.eq(line + 1),
                    line_word.eq(line_word + line_words),
                    place.eq(line_word + line_words),
                ]
            with m.If(self.last):
                m.d.sync += [
                    line.eq(0),
                    group.eq(group + 1),
                    byte.eq(byte + self.accelerator.requant_lanes),
                    line_word.eq(window_next),
                    place.eq(window_next),
                    window_word.eq(window_next),
                ]
                with m.If(group_end):
                    m.d.sync += [
                        group.eq(0),
                        byte.eq(0),
                        column.eq(column + 1),
                        pixel.eq(pixel + 1),
                        left.eq(left + unit.stride_x),
                    ]
                    with m.If(column_end):
                        m.d.sync += [
                            column.eq(0),
                            left.eq(-unit.pad_x),
                            top.eq(top + unit.stride_y),
                            row_word.eq(window_next),
                        ]
        with m.If(self.start):
            origin = unit["from"] - unit.pad_y * line_words - unit.pad_x * unit.from_pitch
            m.d.sync += [
                top.eq(-unit.pad_y),
                left.eq(-unit.pad_x),
                line.eq(0),
                position.eq(0),
                group.eq(0),
                column.eq(0),
                pixel.eq(0),
                byte.eq(0),
                *(register.eq(origin) for register in (row_word, window_word, line_word, place)),
            ]
        return m
