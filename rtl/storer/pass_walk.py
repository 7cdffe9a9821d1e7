"""The positions that a pass reads."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block
from rtl.geometry import COUNT_BITS, Geometry
from sim.accelerator import Accelerator


class _Place:
    """Where a walk is; signals are called like the attributes.

    `line_words`, `row_step`, `column_step`: words that a step to the next line, output line and output column
    skips. `row_word`, `window_word`, `line_word`, `place`: first word of the output line's windows, of the
    window, of its line; of the position. `top`, `left`: the window's first line and column; `y`, `x`: those
    of the position, which is `position` in line `line` of the window.
    """

    def __init__(self, stripe: View) -> None:
        self.line_words = Signal(packets.WORD_ADDRESS_BITS)
        self.row_step = Signal(packets.WORD_ADDRESS_BITS)
        self.column_step = Signal(packets.WORD_ADDRESS_BITS)
        self.row_word = Signal(packets.WORD_ADDRESS_BITS)
        self.window_word = Signal(packets.WORD_ADDRESS_BITS)
        self.line_word = Signal(packets.WORD_ADDRESS_BITS)
        self.place = Signal(packets.WORD_ADDRESS_BITS)
        self.window_next = Signal(packets.WORD_ADDRESS_BITS)
        coordinate = signed(len(stripe.lines) + 2)
        self.top, self.y = Signal(coordinate, name="top"), Signal(coordinate, name="y")
        self.line, self.group = (
            Signal.like(stripe.window_y, name="line"),
            Signal.like(stripe.groups, name="group"),
        )
        self.line_end, self.group_end = Signal(name="line_end"), Signal(name="group_end")
        self.left = Signal(coordinate)
        self.x = Signal(coordinate)
        self.position = Signal.like(stripe.window_x)
        self.column = Signal.like(stripe.width)
        self.column_end = Signal()
        self.pixel = Signal(COUNT_BITS)
        self.byte = Signal(len(stripe.channel))


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
        self.layout = packets.stripe(Geometry(accelerator))
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
        stripe = View(self.layout, self.unit)
        at = _Place(stripe)
        self._position(m, stripe, at)
        with m.If(self.step):
            self._step(m, stripe, at)
        with m.If(self.start):
            origin = stripe["from"] - stripe.pad_y * at.line_words - stripe.pad_x * stripe.from_pitch
            m.d.sync += [
                at.top.eq(-stripe.pad_y),
                at.left.eq(-stripe.pad_x),
                at.line.eq(0),
                at.position.eq(0),
                at.group.eq(0),
                at.column.eq(0),
                at.pixel.eq(0),
                at.byte.eq(0),
                *(word.eq(origin) for word in (at.row_word, at.window_word, at.line_word, at.place)),
            ]
        return m

    def _position(self, m: Module, stripe: View, at: _Place) -> None:
        """Outputs of the vector at hand, and what ends with it."""
        m.d.sync += at.line_words.eq(stripe.line_pixels * stripe.from_pitch)
        m.d.comb += [
            at.row_step.eq(stripe.stride_y * at.line_words),
            at.column_step.eq(stripe.stride_x * stripe.from_pitch),
        ]
        next_column = at.window_word + at.column_step
        m.d.comb += [
            at.y.eq(at.top + at.line),
            at.x.eq(at.left + at.position),
            self.inside.eq((at.y >= 0) & (at.y < stripe.lines) & (at.x >= 0) & (at.x < stripe.line_pixels)),
            self.word.eq(at.place + (at.byte >> 3)),
            self.half.eq(at.byte[2]),
            at.line_end.eq(at.position + 1 == stripe.window_x),
            at.group_end.eq(at.group + 1 == stripe.groups),
            at.column_end.eq(at.column + 1 == stripe.width),
            self.first.eq((at.line == 0) & (at.position == 0)),
            self.last.eq(at.line_end & (at.line + 1 == stripe.window_y)),
            self.complete.eq(self.last & at.group_end & (at.pixel + 1 == stripe.pixels)),
            at.window_next.eq(
                Mux(~at.group_end, at.window_word, Mux(at.column_end, at.row_word + at.row_step, next_column))
            ),
        ]

    def _step(self, m: Module, stripe: View, at: _Place) -> None:
        """To the next position, line of the window, group of channels, output column, output line."""
        m.d.sync += [at.position.eq(at.position + 1), at.place.eq(at.place + stripe.from_pitch)]
        with m.If(at.line_end):
            m.d.sync += [
                at.position.eq(0),
                at.line.eq(at.line + 1),
                at.line_word.eq(at.line_word + at.line_words),
                at.place.eq(at.line_word + at.line_words),
            ]
        with m.If(self.last):
            m.d.sync += [
                at.line.eq(0),
                at.group.eq(at.group + 1),
                at.byte.eq(at.byte + self.accelerator.requant_lanes),
                at.line_word.eq(at.window_next),
                at.place.eq(at.window_next),
                at.window_word.eq(at.window_next),
            ]
            with m.If(at.group_end):
                m.d.sync += [
                    at.group.eq(0),
                    at.byte.eq(0),
                    at.column.eq(at.column + 1),
                    at.pixel.eq(at.pixel + 1),
                    at.left.eq(at.left + stripe.stride_x),
                ]
                with m.If(at.column_end):
                    m.d.sync += [
                        at.column.eq(0),
                        at.left.eq(-stripe.pad_x),
                        at.top.eq(at.top + stripe.stride_y),
                        at.row_word.eq(at.window_next),
                    ]
