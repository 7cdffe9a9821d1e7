"""What computes in the digit-serial machine."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, place
from rtl.clocking import hold
from rtl.digit_serial.array import TernaryArray
from rtl.digit_serial.neuron import Neuron
from rtl.digit_serial.sequencer import OPERATIONS, Sequencer
from rtl.l1.sram import Sram
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.header import STREAM_BITS

PIPELINE = 4
"""Cycles from an operation of the sequencer to what it does to the neurons."""
STORED_BITS = 32
"""Of a current in the store."""
EVENTS = ("compute", "currents", "neurons", "load", "input")
"""Causes of a cycle that the core knows of."""


class DigitCore(Block):
    """Sequencer, array, neurons, L1 and store: packets in, digits and charges out.

    Function: runs the packets of docs/spikes.md. Digits of maps lie in L1; each word that neurons write there is shown
        by `said`, with its address; charges of the last layer come with `given`, one for each column, and the number
        of their row. `closes`: the last operation of a layer. `events` in the order of EVENTS.
    Throughput: an operation a cycle.
    Handshake: the stream moves with `valid` and `ready`. `said` and `given` are there for one cycle and do not wait;
        while `hold`, a packet stops at its weights, so that it gives no charges. `resting`: the next word is the first
        of a packet. `idle`: no packet has begun, and nothing of the last one is on its way.
    """

    kind = "digit_core"

    def __init__(self, *, accelerator: DigitSerial) -> None:
        self.acc = acc = accelerator
        self._sequencer = Sequencer(accelerator=acc)
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "resting": Out(1),
                "data": In(STREAM_BITS),
                "hold": In(1),
                "said": Out(1),
                "said_address": Out(24),
                "said_digits": Out(2 * acc.lanes),
                "given": Out(1),
                "given_row": Out(24),
                "charges": Out(acc.charge_bits * acc.lanes),
                "closes": Out(1),
                "idle": Out(1),
                "events": Out(len(EVENTS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, acc = Module(), self.acc
        self._seq = place(m, "sequencer", self._sequencer)
        word = 2 * acc.lanes
        self._l1 = place(m, "l1", Sram(depth=acc.l1_words, width=word, granularity=word))
        row = STORED_BITS * acc.lanes
        self._store = place(m, "store", Sram(depth=acc.store_words, width=row, granularity=row))
        self._array = place(m, "array", TernaryArray(lanes=acc.lanes, depth=acc.wrf_depth))
        self._neurons = [
            place(m, f"neuron_{n}", Neuron(charge_bits=acc.charge_bits)) for n in range(acc.lanes)
        ]
        m.d.comb += [
            self._seq.valid.eq(self.valid),
            self._seq.data.eq(self.data),
            self.ready.eq(self._seq.ready),
            self.resting.eq(self._seq.resting),
            self._seq.hold.eq(self.hold),
            self.closes.eq(self._seq.closes),
        ]
        self._delayed(m)
        self._feed_array(m)
        self._feed_neurons(m)
        self._memories(m)
        seq = self._seq
        events = (seq.tap, seq.recall | seq.store, seq.fire | seq.give, seq.loads, seq.inputs)
        m.d.comb += self.events.eq(Cat(events))
        return m

    def _delayed(self, m: Module) -> None:
        """Signals of the sequencer, by name, 0 to PIPELINE cycles later."""
        names = (*OPERATIONS, "start", "biased", "signed", "double", "entry", "high", "row", "target")
        self._at = {name: [getattr(self._seq, name)] for name in names}
        for name, stages in self._at.items():
            for stage in range(1, PIPELINE + 1):
                stages.append(Signal.like(stages[0], name=f"{name}_{stage}"))
                m.d.sync += stages[stage].eq(stages[stage - 1])
        running = Cat(self._at[name][stage] for name in OPERATIONS for stage in range(PIPELINE + 1))
        m.d.comb += self.idle.eq(self._seq.resting & ~running.any())

    def _feed_array(self, m: Module) -> None:
        seq, array, read = self._seq, self._array, Signal(name="read")
        digits, entry = (
            Signal(2 * self.acc.lanes, reset_less=True, name="digits"),
            Signal.like(array.address, reset_less=True, name="entry"),
        )
        m.d.comb += [self._l1.read_enable.eq(seq.tap & seq.inside), self._l1.read_address.eq(seq.address)]
        m.d.sync += read.eq(self._l1.read_enable)
        spikes, valid = Signal(name="spikes"), Signal(name="valid")
        m.d.comb += spikes.eq(read & self._l1.read_data.any())
        m.d.sync += valid.eq(spikes)
        hold(m, "word", spikes, [digits.eq(self._l1.read_data), entry.eq(self._at["entry"][1])])
        m.d.comb += [
            array.valid.eq(valid),
            array.digits.eq(digits),
            array.address.eq(entry),
            array.write.eq(seq.weight_write),
            array.write_row.eq(seq.weight_row),
            array.write_word.eq(seq.weight_word),
            array.write_address.eq(seq.weight_entry),
            array.write_data.eq(self.data),
        ]

    def _feed_neurons(self, m: Module) -> None:
        now = {name: stages[PIPELINE] for name, stages in self._at.items()}
        array = self._array
        for n, neuron in enumerate(self._neurons):
            sums = array.sums.word_select(n, array.sum_bits).as_signed()
            stored = self._store.read_data.word_select(n, STORED_BITS).as_signed()
            wide = Signal(array.sum_bits + 7)
            operand = Signal(self.acc.charge_bits)
            m.d.comb += wide.eq(Mux(now["high"], sums << 7, sums))
            with m.If(now["recall"]):
                m.d.comb += operand.eq(stored)
            with m.Elif(array.live):
                m.d.comb += operand.eq(wide.as_signed())
            acts = now["start"] | now["double"] | now["fire"] | now["recall"] | array.live
            m.d.comb += [
                neuron.enable.eq(acts),
                neuron.start.eq(now["start"]),
                neuron.biased.eq(now["biased"]),
                neuron.signed.eq(now["signed"]),
                neuron.double.eq(now["double"]),
                neuron.fire.eq(now["fire"]),
                neuron.operand.eq(operand),
                neuron.load.eq(self._seq.parameter_write & (self._seq.parameter_index == n)),
                neuron.parameters.eq(self.data),
            ]

    def _memories(self, m: Module) -> None:
        now = {name: stages[PIPELINE] for name, stages in self._at.items()}
        rows = self._at["row"]
        charges = Cat(neuron.charge for neuron in self._neurons)
        kept = [Signal(STORED_BITS, name=f"kept_{n}") for n in range(self.acc.lanes)]
        m.d.comb += [
            word.eq(neuron.charge.as_signed()) for word, neuron in zip(kept, self._neurons, strict=True)
        ]
        m.d.comb += [
            self._store.read_enable.eq(self._at["recall"][PIPELINE - 1]),
            self._store.read_address.eq(rows[PIPELINE - 1]),
            self._store.write_enable.eq(now["store"]),
            self._store.write_address.eq(rows[PIPELINE]),
            self._store.write_data.eq(Cat(kept)),
            self.said.eq(now["fire"]),
            self.said_address.eq(now["target"]),
            self.said_digits.eq(Cat(neuron.digit for neuron in self._neurons)),
            self.given.eq(now["give"]),
            self.given_row.eq(now["target"]),
            self.charges.eq(charges),
            self._l1.write_enable.eq(self.said | self._seq.digits_write),
            self._l1.write_address.eq(Mux(self.said, self.said_address, self._seq.target)),
            self._l1.write_data.eq(Mux(self.said, self.said_digits, self._seq.digits_data)),
        ]
