"""Where activation vectors lie in the ARF."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.array.array import delays
from rtl.block import Block, address_bits, check_positive
from rtl.ifmap.segments import KINDS


class ArfWindow(Block):
    """ARF addresses of the window that is read and of the next one, which is stored meanwhile.

    Function: the ARF has two planes of `words` columns. A window has a column for each vector, those of a
        segment (`rtl.segments`) are a ring that begins at a head. The vectors of the next window go into
        the columns of those that leave, the oldest ones, but into the other plane, where nothing is read any
        more; then the head moves on. So windows may overlap, and any window may follow any other. With
        `full` all vectors are new and heads return to 0.
        In each segment the vectors are stored, and read, in window order.
    Throughput: one vector stored and one read a cycle.
    Handshake: in a cycle with `starts` the window stored so far becomes the one that is read, `lag` cycles
        later. `store` or `read` takes the address at its side; `store_end` marks the last new vector
        of a segment, `read_end` tells that the vector read is the last one of its segment.
        `*_segment`, `*_origin` and `*_words` describe the segment (`rtl.segments`).
    """

    kind = "arf_window"

    def __init__(self, *, words: int, lag: int) -> None:
        check_positive(words=words)
        self.columns, self.lag = words, lag
        column = address_bits(words)
        side = {"segment": In(range(KINDS)), "origin": In(column), "words": In(range(words + 1))}
        super().__init__(
            {
                "starts": In(1),
                "full": In(1),
                "store": In(1),
                "store_end": In(1),
                "store_address": Out(address_bits(2 * words)),
                **{f"store_{name}": port for name, port in side.items()},
                "read": In(1),
                "read_end": Out(1),
                "read_address": Out(address_bits(2 * words)),
                **{f"read_{name}": port for name, port in side.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Plane of each column and head of each kind of segment: of the next window, of the one that is read.
        next_planes, planes = self._window(m, "planes", self.columns)
        next_heads, heads = zip(
            *(self._window(m, f"head_{kind}", bits_for(self.columns)) for kind in range(KINDS)), strict=True
        )
        stored, new_head = self._ring(m, "store", Mux(self.full, 0, Array(heads)[self.store_segment]))
        planes = delays(m, planes, self.lag, "read_planes", reset_less=True)[-1]
        given = Array(
            delays(m, head, self.lag, f"read_head_{kind}", reset_less=True)[-1]
            for kind, head in enumerate(heads)
        )
        read, _ = self._ring(m, "read", given[self.read_segment])
        plane = ~next_planes.bit_select(stored, 1)
        m.d.comb += [
            self.store_address.eq(stored + Mux(plane, self.columns, 0)),
            self.read_address.eq(read + Mux(planes.bit_select(read, 1), self.columns, 0)),
        ]
        with m.If(self.store):
            m.d.sync += next_planes.eq(next_planes ^ (1 << stored))
        with m.If(self.store & self.store_end):
            m.d.sync += Array(next_heads)[self.store_segment].eq(new_head)
        return m

    def _window(self, m: Module, name: str, width: int) -> tuple[Signal, Signal]:
        """A register that describes the next window, and what describes the one that is read."""
        following = Signal(width, name=f"next_{name}")
        held = Signal(width, name=f"held_{name}")
        now = Signal(width, name=name)
        m.d.comb += now.eq(Mux(self.starts, following, held))
        m.d.sync += held.eq(now)
        return following, now

    def _ring(self, m: Module, side: str, head: Value) -> tuple[Signal, Value]:
        """The column at hand on one side, and the place behind it in the ring (`words` is 0 again)."""
        moves, origin, words = (getattr(self, name) for name in (side, f"{side}_origin", f"{side}_words"))
        done = Signal.like(words, name=f"{side}_done")
        reach = Signal(len(words) + 1, name=f"{side}_reach")
        offset = Signal.like(origin, name=f"{side}_offset")
        column = Signal.like(origin, name=f"{side}_column")
        end = self.store_end if side == "store" else self.read_end
        m.d.comb += [
            reach.eq(head + done),
            offset.eq(Mux(reach >= words, reach - words, reach)),
            column.eq(origin + offset),
        ]
        if side == "read":
            m.d.comb += end.eq(done + 1 == words)
        with m.If(moves):
            m.d.sync += done.eq(Mux(end, 0, done + 1))
        return column, offset + 1
