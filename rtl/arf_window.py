"""Where activation vectors lie in the ARF."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive
from rtl.segments import KINDS


class ArfWindow(Block):
    """ARF addresses of the window that is read and of the next one, which is stored meanwhile.

    Function: the ARF has two planes of `words` columns. A window has a column for each vector, those of a
        segment (`rtl.segments`) are a ring that begins at a head. The vectors of the next window go into
        the columns of those that leave, the oldest ones, but into the other plane, where nothing is read any
        more; then the head moves on. So windows may overlap, and any window may follow any other. With
        `full` all vectors are new and heads return to 0.
        In each segment the vectors are stored, and read, in window order.
    Throughput: one vector stored and one read a cycle.
    Handshake: in a cycle with `starts` the window stored so far becomes the one that is read, already in
        this cycle. `store` or `read` takes the address at its side; `store_end` marks the last new vector
        of a segment, `read_end` tells that the vector read is the last one of its segment.
        `*_segment`, `*_origin` and `*_words` describe the segment (`rtl.segments`).
    """

    kind = "arf_window"

    def __init__(self, *, words: int) -> None:
        check_positive(words=words)
        self.columns = words
        column = address_bits(words)
        side = {"segment": In(range(KINDS)), "origin": In(column), "words": In(range(words + 1))}
        super().__init__({
            "starts": In(1), "full": In(1),
            "store": In(1), "store_end": In(1), "store_address": Out(address_bits(2 * words)),
            **{f"store_{name}": port for name, port in side.items()},
            "read": In(1), "read_end": Out(1), "read_address": Out(address_bits(2 * words)),
            **{f"read_{name}": port for name, port in side.items()},
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Plane of each column and head of each kind of segment, in the next window and in that which is read.
        next_planes, planes, planes_now = (Signal(self.columns) for _ in range(3))
        next_heads, heads, heads_now = (
            [Signal(address_bits(self.columns)) for _ in range(KINDS)] for _ in range(3))
        for following, held, now in zip([next_planes, *next_heads], [planes, *heads],
                                        [planes_now, *heads_now], strict=True):
            m.d.comb += now.eq(Mux(self.starts, following, held))
            m.d.sync += held.eq(now)

        head = Array(heads_now)
        stored, stored_next = self._ring(m, "store", Mux(self.full, 0, head[self.store_segment]))
        read, _ = self._ring(m, "read", head[self.read_segment])
        plane = ~next_planes.bit_select(stored, 1)
        m.d.comb += [
            self.store_address.eq(stored + Mux(plane, self.columns, 0)),
            self.read_address.eq(read + Mux(planes_now.bit_select(read, 1), self.columns, 0)),
        ]
        with m.If(self.store):
            m.d.sync += next_planes.eq(next_planes ^ (1 << stored))
        with m.If(self.store & self.store_end):
            m.d.sync += Array(next_heads)[self.store_segment].eq(stored_next)
        return m

    def _ring(self, m: Module, side: str, head: Value) -> tuple[Signal, Signal]:
        """The column at hand on one side, and the one behind it in the ring, relative to the origin."""
        moves, origin, words = (getattr(self, name) for name in (side, f"{side}_origin", f"{side}_words"))
        done = Signal.like(words, name=f"{side}_done")
        reach = Signal(len(words) + 1, name=f"{side}_reach")
        offset = Signal.like(origin, name=f"{side}_offset")
        column = Signal.like(origin, name=f"{side}_column")
        following = Signal.like(origin, name=f"{side}_following")
        end = self.store_end if side == "store" else self.read_end
        m.d.comb += [
            reach.eq(head + done), offset.eq(Mux(reach >= words, reach - words, reach)),
            column.eq(origin + offset), following.eq(Mux(offset + 1 == words, 0, offset + 1)),
        ]
        if side == "read":
            m.d.comb += end.eq(done + 1 == words)
        with m.If(moves):
            m.d.sync += done.eq(Mux(end, 0, done + 1))
        return column, following
