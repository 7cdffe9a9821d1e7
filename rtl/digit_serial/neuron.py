"""The ternary self-amplifying neuron."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_positive
from rtl.clocking import hold


class Neuron(Block):
    """Charge, flag and threshold of one column.

    Function: an operation changes the charge V by first choosing what it starts from: 0 with `start`, the bias with
        `start` and `biased`, 2 V with `double`, else V. Without `fire` it adds `operand`. With `fire` it says a digit:
        1 where twice the charge is v or more, -1 where it is -v or less and a 1 was said since `start`, or that had
        `signed`; else 0; and takes the digit times v away. `digit` (bits 00, 01, 11) is that of this cycle.
    Throughput: an operation a cycle.
    Handshake: `enable` for an operation; `load` takes bias (low half) and v from `parameters`
        while no operation runs.
    """

    kind = "neuron"

    def __init__(self, *, charge_bits: int, parameter_bits: int = 32) -> None:
        check_positive(charge_bits=charge_bits, parameter_bits=parameter_bits)
        self.charge_bits, self.parameter_bits = charge_bits, parameter_bits
        super().__init__(
            {
                "enable": In(1),
                "start": In(1),
                "biased": In(1),
                "signed": In(1),
                "double": In(1),
                "fire": In(1),
                "operand": In(charge_bits),
                "load": In(1),
                "parameters": In(2 * parameter_bits),
                "digit": Out(2),
                "charge": Out(charge_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        charge = Signal(self.charge_bits, reset_less=True)
        spoke = Signal(reset_less=True)
        bias = Signal(self.parameter_bits, reset_less=True)
        full = Signal(self.parameter_bits, reset_less=True)
        base = Signal(self.charge_bits)
        m.d.comb += [base.eq(Mux(self.double, charge << 1, charge)), self.charge.eq(charge)]
        with m.If(self.start):
            m.d.comb += base.eq(Mux(self.biased, bias.as_signed(), 0))
        # The sign chooses the only comparison that can hold; twice the charge has a bit more.
        negative = base[-1]
        distance = Signal(self.charge_bits + 2)
        m.d.comb += distance.eq(
            (base.as_signed() << 1) + Mux(negative, full.as_signed(), -full.as_signed()).as_signed()
        )
        up, down = Signal(name="up"), Signal(name="down")
        m.d.comb += [
            up.eq(~negative & ~distance[-1]),
            down.eq(negative & spoke & (distance[-1] | ~distance.any())),
        ]
        m.d.comb += self.digit.eq(Cat(self.fire & (up | down), self.fire & down))
        added = Signal(self.charge_bits)
        with m.If(~self.fire):
            m.d.comb += added.eq(self.operand)
        with m.Elif(up):
            m.d.comb += added.eq(-full.as_signed())
        with m.Elif(down):
            m.d.comb += added.eq(full.as_signed())
        hold(
            m,
            "operation",
            self.enable,
            [charge.eq(base + added), spoke.eq(Mux(self.start, self.signed, spoke) | (self.fire & up))],
        )
        hold(m, "load", self.load, [Cat(bias, full).eq(self.parameters)])
        return m
