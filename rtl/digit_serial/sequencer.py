"""From packets to operations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, address_bits, place
from rtl.digit_serial.ternary_tile import COLUMNS
from rtl.l1.sram import Sram
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.header import FIELDS, STREAM_BITS, TAP, WORDS

OPERATIONS = ("tap", "recall", "store", "fire", "give")


class Sequencer(Block):
    """Takes packets and walks their positions, steps and taps.

    Function: a packet of a map is written to L1. Another one fills the table of taps, the neurons' parameters and the
        WRF; then for each position and step its operations follow, one a cycle: `recall` of a row of currents, `tap`
        for each tap, `store` of the row, or `fire`, or `give` at the end of a layer whose charges are read.
    Throughput: a word of the stream, or an operation, a cycle.
    Handshake: the stream moves with `valid` and `ready`; it is not ready while operations run, and with `hold` not
        for weights. The other outputs describe the operation of the same cycle; `closes`: it is the last of a layer.
    """

    kind = "digit_sequencer"

    def __init__(self, *, accelerator: DigitSerial) -> None:
        self.acc = acc = accelerator
        self.copies = -(-2 * acc.lanes // STREAM_BITS)
        # No more than L1, table and WRF give values to.
        self._bits = {
            **dict.fromkeys(("count", "columns", "column"), bits_for(acc.l1_words)),
            "taps": bits_for(acc.tap_depth),
            "entries": bits_for(acc.wrf_depth),
        }
        self._tap_bits = TAP | {
            "offset": min(TAP["offset"], address_bits(acc.l1_words)),
            "entry": address_bits(acc.wrf_depth),
        }
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "data": In(STREAM_BITS),
                "hold": In(1),
                "digits_write": Out(1),
                "digits_data": Out(2 * acc.lanes),
                "parameter_write": Out(1),
                "parameter_index": Out(address_bits(acc.lanes)),
                "weight_write": Out(1),
                "weight_entry": Out(address_bits(acc.wrf_depth)),
                "weight_row": Out(address_bits(acc.lanes)),
                "weight_word": Out(address_bits(acc.lanes // COLUMNS)),
                **{name: Out(1) for name in OPERATIONS},
                "start": Out(1),
                "biased": Out(1),
                "signed": Out(1),
                "double": Out(1),
                "inside": Out(1),
                "address": Out(address_bits(acc.l1_words)),
                "entry": Out(address_bits(acc.wrf_depth)),
                "high": Out(1),
                "row": Out(address_bits(acc.store_words)),
                "target": Out(address_bits(acc.l1_words)),
                "loads": Out(1),
                "inputs": Out(1),
                "resting": Out(1),
                "closes": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._header = Array(Signal(STREAM_BITS, reset_less=True, name=f"header_{n}") for n in range(WORDS))
        width = sum(self._tap_bits.values())
        self._taps = place(m, "taps", Sram(depth=self.acc.tap_depth, width=width, granularity=width))
        self._registers()
        moved = Signal()
        m.d.comb += moved.eq(self.valid & self.ready)
        with m.FSM(init="header"):
            self._take_header(m, moved)
            self._take_map(m, moved)
            self._take_taps(m, moved)
            self._take_parameters(m, moved)
            self._take_weights(m, moved)
            self._run(m)
        self._values(m)
        map_now = Mux(self._word == 0, self.data[0], self._field("map"))
        m.d.comb += [
            self.loads.eq(moved & ~self.inputs),
            self.inputs.eq(moved & (self._mapping | (self._heading & map_now))),
        ]
        return m

    def _field(self, name: str, source: int | None = None) -> Value:
        field = FIELDS[name if source is None else f"{name}_{source}"]
        bits = min(field.bits, self._bits.get(name, field.bits))
        return self._header[field.word][field.bit : field.bit + bits]

    def _registers(self) -> None:
        """A reset is for the state and the place in the header: all else is written before it is read."""
        acc = self.acc
        kept = partial(Signal, reset_less=True)
        place_bits, size = address_bits(acc.l1_words), 16
        self._word, self._heading, self._mapping = (
            Signal(range(WORDS), name="_word"),
            Signal(name="_heading"),
            Signal(name="_mapping"),
        )
        self._index = kept(address_bits(max(acc.l1_words, acc.tap_depth, acc.lanes)), name="_index")
        self._copy = kept(range(max(self.copies, 2)), name="_copy")
        self._half = kept(STREAM_BITS, name="_half")
        self._weight = {
            "entry": kept(address_bits(acc.wrf_depth), name="entry"),
            "row": kept(address_bits(acc.lanes), name="row"),
            "word": kept(address_bits(acc.lanes // COLUMNS), name="word"),
        }
        self._phase = {name: kept(name=f"phase_{name}") for name in ("recall", "tap", "finish")}
        self._tap, self._step, self._first = (
            kept(address_bits(acc.tap_depth), name="_tap"),
            kept(6, name="_step"),
            kept(name="_first"),
        )
        self._left, self._column, self._row = (
            kept(len(self._field("count")), name="_left"),
            kept(len(self._field("column")), name="_column"),
            kept(address_bits(acc.store_words), name="_row"),
        )
        self._target, self._said = kept(place_bits, name="_target"), kept(place_bits, name="_said")
        self._sources = [
            {
                **{name: kept(place_bits, name=f"{name}_{n}") for name in ("line", "pixel", "at")},
                **{name: kept(size, name=f"{name}_{n}") for name in ("y", "x")},
            }
            for n in (0, 1)
        ]

    def _take_header(self, m: Module, moved: Value) -> None:
        with m.State("header"):
            m.d.comb += [self.ready.eq(1), self._heading.eq(1), self.resting.eq(self._word == 0)]
            with m.If(moved):
                m.d.sync += [self._header[self._word].eq(self.data), self._word.eq(self._word + 1)]
                m.d.sync += [self._index.eq(0), self._copy.eq(0)]
                with m.If(self._word == WORDS - 1):
                    m.d.sync += self._word.eq(0)
                    with m.If(self._field("map")):
                        m.next = "map"
                    with m.Else():
                        m.next = "taps"

    def _take_map(self, m: Module, moved: Value) -> None:
        with m.State("map"):
            m.d.comb += [
                self.ready.eq(1),
                self._mapping.eq(1),
                self.digits_write.eq(moved & (self._copy == self.copies - 1)),
            ]
            with m.If(moved):
                m.d.sync += [self._half.eq(self.data), self._copy.eq(self._copy + 1)]
            with m.If(self.digits_write):
                m.d.sync += [self._copy.eq(0), self._index.eq(self._index + 1)]
                with m.If(self._index == self._field("count") - 1):
                    m.next = "header"

    def _take_taps(self, m: Module, moved: Value) -> None:
        with m.State("taps"):
            m.d.comb += [self.ready.eq(1), self._taps.write_enable.eq(moved)]
            m.d.sync += [register.eq(0) for register in self._weight.values()]
            m.d.sync += self._begin()
            with m.If(moved):
                m.d.sync += self._index.eq(self._index + 1)
                with m.If(self._index == self._field("taps") - 1):
                    m.d.sync += self._index.eq(0)
                    m.next = "parameters"

    def _begin(self) -> list[Value]:
        """The first position, as the header has it."""
        found = [
            self._left.eq(self._field("count")),
            self._column.eq(self._field("column")),
            self._row.eq(0),
            self._target.eq(self._field("target")),
            self._said.eq(self._field("target")),
        ]
        for n, source in enumerate(self._sources):
            found += [
                source["line"].eq(self._field("row", n)),
                source["pixel"].eq(self._field("pixel", n)),
                source["at"].eq(self._field("pixel", n)),
                source["y"].eq(self._field("y", n)),
                source["x"].eq(self._field("x", n)),
            ]
        return found

    def _take_parameters(self, m: Module, moved: Value) -> None:
        with m.State("parameters"):
            m.d.comb += [self.ready.eq(1), self.parameter_write.eq(moved)]
            with m.If(moved):
                m.d.sync += self._index.eq(self._index + 1)
                with m.If(self._index == self.acc.lanes - 1):
                    m.next = "weights"

    def _take_weights(self, m: Module, moved: Value) -> None:
        entry, row, word = (self._weight[name] for name in ("entry", "row", "word"))
        with m.State("weights"):
            m.d.comb += [self.ready.eq(~self.hold), self.weight_write.eq(moved)]
            # The table's first tap is read before it is walked.
            m.d.comb += [self._taps.read_enable.eq(1), self._taps.read_address.eq(0)]
            with m.If(moved):
                m.d.sync += word.eq(word + 1)
                with m.If(word == self.acc.lanes // COLUMNS - 1):
                    m.d.sync += [word.eq(0), row.eq(row + 1)]
                    with m.If(row == self.acc.lanes - 1):
                        m.d.sync += [row.eq(0), entry.eq(entry + 1)]
                        with m.If(entry == self._field("entries") - 1):
                            m.d.sync += self._enter_step(0)
                            m.next = "run"

    def _enter_step(self, step: Value | int) -> list[Value]:
        """Its first operation."""
        taps = step < self._field("steps") if isinstance(step, Value) else 1
        return [
            self._step.eq(step),
            self._tap.eq(0),
            self._first.eq(1),
            self._phase["recall"].eq(taps & ~self._field("begins")),
            self._phase["tap"].eq(taps & self._field("begins")),
            self._phase["finish"].eq(~taps if isinstance(taps, Value) else 0),
        ]

    def _run(self, m: Module) -> None:
        steps, silent, ends, speaks = (self._field(name) for name in ("steps", "silent", "ends", "speaks"))
        last_tap, finishes, over, done = (
            Signal(name="last_tap"),
            Signal(name="finishes"),
            Signal(name="over"),
            Signal(name="done"),
        )
        last_step = Signal(6)
        m.d.comb += [
            last_tap.eq(self._tap == self._field("taps") - 1),
            finishes.eq(~ends | Mux(speaks, self._step >= silent, self._step == steps - 1)),
            last_step.eq(steps - 1 + Mux(ends & speaks, silent, 0)),
            over.eq(self._phase["finish"] | (self._phase["tap"] & last_tap & ~finishes)),
            done.eq(over & (self._step == last_step)),
        ]
        with m.State("run"):
            self._strobes(m)
            following = Signal.like(self._tap, name="following")
            m.d.comb += [
                following.eq(Mux(self._phase["tap"] & ~last_tap, self._tap + 1, 0)),
                self._taps.read_enable.eq(1),
                self._taps.read_address.eq(following),
            ]
            m.d.sync += self._first.eq(0)
            with m.If(self._phase["recall"]):
                m.d.sync += [self._phase["recall"].eq(0), self._phase["tap"].eq(1)]
            with m.If(self._phase["tap"]):
                m.d.sync += self._tap.eq(following)
                with m.If(last_tap):
                    m.d.sync += [self._phase["tap"].eq(0), self._phase["finish"].eq(1)]
            with m.If(self.fire):
                m.d.sync += self._said.eq(self._said + self._field("target_plane"))
            with m.If(over):
                m.d.sync += self._enter_step(self._step + 1)
                with m.If(self._step < steps):
                    m.d.sync += self._row.eq(self._row + 1)
                for n, source in enumerate(self._sources):
                    m.d.sync += source["at"].eq(source["at"] + self._field("plane", n))
            with m.If(done):
                m.d.sync += self._enter_step(0)
                self._move(m)
                with m.If(self._left == 1):
                    m.d.comb += self.closes.eq(self._field("closes"))
                    m.next = "header"

    def _move(self, m: Module) -> None:
        """To the next position."""
        turn = Signal()
        target = self._target + self._field("target_step")
        m.d.comb += turn.eq(self._column == self._field("columns") - 1)
        m.d.sync += [
            self._left.eq(self._left - 1),
            self._column.eq(Mux(turn, 0, self._column + 1)),
            self._target.eq(target),
            self._said.eq(target),
        ]
        for n, source in enumerate(self._sources):
            line = source["line"] + self._field("row_step", n)
            pixel = Mux(turn, line, source["pixel"] + self._field("pixel_step", n))
            m.d.sync += [source["pixel"].eq(pixel), source["at"].eq(pixel)]
            m.d.sync += source["x"].eq(Mux(turn, 0, source["x"] + self._field("stride_x", n)))
            with m.If(turn):
                m.d.sync += [
                    source["line"].eq(line),
                    source["y"].eq(source["y"] + self._field("stride_y", n)),
                ]

    def _strobes(self, m: Module) -> None:
        """What the operation of this cycle is."""
        ends, speaks = self._field("ends"), self._field("speaks")
        m.d.comb += [
            self.tap.eq(self._phase["tap"]),
            self.recall.eq(self._phase["recall"]),
            self.store.eq(self._phase["finish"] & ~ends),
            self.fire.eq(self._phase["finish"] & ends & speaks),
            self.give.eq(self._phase["finish"] & ends & ~speaks),
            self.start.eq(self._first & ((self._step == 0) | ~ends)),
            self.double.eq(self._first & ends & (self._step != 0)),
        ]

    def _values(self, m: Module) -> None:
        """What counts with a strobe, and may be anything without."""
        tap = self._tap_fields()
        chosen = {
            name: Mux(tap["source"], self._sources[1][name], self._sources[0][name])
            for name in ("at", "y", "x")
        }
        height, width = (
            Mux(tap["source"], self._field(name, 1), self._field(name, 0)) for name in ("height", "width")
        )
        y, x = Signal(18, name="y"), Signal(18, name="x")
        m.d.comb += [
            self.digits_data.eq(Cat(self._half, self.data) if self.copies > 1 else self.data),
            self._taps.write_address.eq(self._index),
            self._taps.write_data.eq(Cat(_laid(self.data, TAP, self._tap_bits).values())),
            self.parameter_index.eq(self._index),
            *(getattr(self, f"weight_{name}").eq(register) for name, register in self._weight.items()),
            y.eq(chosen["y"] + tap["dy"].as_signed()),
            x.eq(chosen["x"] + tap["dx"].as_signed()),
            self.inside.eq((y < height) & (x < width)),
            self.address.eq(chosen["at"] + tap["offset"].as_signed()),
            self.entry.eq(tap["entry"]),
            self.high.eq(tap["high"]),
            self.biased.eq(self._field("ends")),
            self.signed.eq(self._field("signed")),
            self.row.eq(self._row),
            self.target.eq(Mux(self._mapping, self._field("target") + self._index, self._said)),
        ]

    def _tap_fields(self) -> dict[str, Value]:
        return _laid(self._taps.read_data, self._tap_bits, self._tap_bits)


def _laid(word: Value, fields: Mapping[str, int], kept: Mapping[str, int]) -> dict[str, Value]:
    """Fields that lie side by side in a word, of each the low bits."""
    found, bit = {}, 0
    for name, bits in fields.items():
        found[name] = word[bit : bit + kept[name]]
        bit += bits
    return found
