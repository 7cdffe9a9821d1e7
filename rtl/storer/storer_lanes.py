"""The storer's arithmetic."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, place
from rtl.geometry import PSUM_BITS, Geometry
from rtl.storer.pass_operand import PassOperand
from rtl.storer.requantizer import Requantizer
from rtl.storer.residual_lane import ResidualLane
from sim.accelerator import Accelerator

WIDE_STAGES, PLAIN_STAGES, RESIDUAL_STAGES = 2, 5, 10
"""Cycles from the operands to the data."""


class StorerLanes(Block):
    """`requant_lanes` lanes: requantization, residual addition, accumulation and maximum.

    Function: of a row, `operand` and `parameters` of its L columns, it takes part `index`: `requant_lanes`
        columns, or in a wide unit `wide_lanes` 32-bit values. In a pass it takes a `value` a
        lane, if `inside` the map, and starts anew with `first`.
    Throughput: one part, one vector a cycle.
    Handshake: none. Operands, and `unit`, the packet of their unit, in cycle t, but those of a pass in t-1; `issued`,
        the same packet, from t+1 on; `other`, the residual operand, in t+4; `data`, bytes in order, in
        t + PLAIN_STAGES, with a residual operand in t + RESIDUAL_STAGES, 32-bit values in t + WIDE_STAGES.
    """

    kind = "storer_lanes"

    def __init__(self, *, accelerator: Accelerator) -> None:
        geometry = Geometry(accelerator)
        self.lanes, self.columns = accelerator.requant_lanes, accelerator.columns
        self.wide = accelerator.wide_lanes
        self.layout = packets.stripe(geometry)
        super().__init__(
            {
                "unit": In(self.layout.size),
                "issued": In(self.layout.size),
                "operand": In(PSUM_BITS * self.columns),
                "parameters": In(packets.PARAMETER.size * self.columns),
                "index": In(range(max(2, self.columns // self.wide))),
                "value": In(8 * self.lanes),
                "inside": In(1),
                "first": In(1),
                "other": In(8 * self.lanes),
                "data": Out(packets.WORD_BITS * accelerator.map_banks),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stripe, issued = View(self.layout, self.unit), View(self.layout, self.issued)
        is_pass, largest = Signal(name="is_pass"), Signal(name="largest")
        m.d.comb += [
            is_pass.eq(stripe["pass"] != packets.PASS_KINDS["rows"]),
            largest.eq(stripe["pass"] == packets.PASS_KINDS["max"]),
        ]
        operand = Signal(PSUM_BITS * self.lanes)
        parameters = Signal(packets.PARAMETER.size * self.lanes)
        m.d.comb += [
            operand.eq(self._part(self.operand, PSUM_BITS, stripe.wide)),
            parameters.eq(self._part(self.parameters, packets.PARAMETER.size, stripe.wide)),
        ]
        other = Signal.like(self.other, name="other_held", reset_less=True)
        m.d.sync += other.eq(self.other)
        finished, added, totals = [], [], []
        for n in range(self.lanes):
            lane = place(m, f"requantizer_{n}", Requantizer())
            turn = place(m, f"pass_operand_{n}", PassOperand())
            residual = place(m, f"residual_{n}", ResidualLane())
            parameter = View(packets.PARAMETER, parameters.word_select(n, packets.PARAMETER.size))
            m.d.comb += [
                turn.total.eq(lane.total),
                turn.value.eq(self.value.word_select(n, 8)),
                turn.zero.eq(stripe.own_zero),
                turn.inside.eq(self.inside),
                turn.first.eq(self.first),
                turn.largest.eq(largest),
                lane.acc.eq(Mux(is_pass, turn.acc, operand.word_select(n, PSUM_BITS))),
                lane.bias.eq(Mux(is_pass, turn.bias, parameter.bias)),
                # A maximum passes through as (2x + 1) >> 1.
                lane.multiplier.eq(
                    Mux(largest, 2, Mux(is_pass, stripe.own_multiplier, parameter.multiplier))
                ),
                lane.shift.eq(Mux(largest, 1, Mux(is_pass, stripe.shift, parameter.shift))),
                lane.zero.eq(Mux(issued["pass"] == packets.PASS_KINDS["max"], 0, issued.zero)),
                lane.low.eq(issued.low),
                lane.high.eq(issued.high),
                residual.own.eq(lane.y),
                residual.other.eq(other.word_select(n, 8)),
                *(
                    getattr(residual, name).eq(issued[name])
                    for name in ("own_zero", "own_multiplier", "other_zero", "other_multiplier", "shift")
                ),
                residual.zero.eq(issued.add_zero),
                residual.low.eq(issued.add_low),
                residual.high.eq(issued.add_high),
            ]
            finished.append(lane.y)
            added.append(residual.y)
            totals.append(lane.total)
        wide = Signal(PSUM_BITS * self.wide, reset_less=True)
        m.d.sync += wide.eq(Cat(totals[: self.wide]))
        m.d.comb += self.data.eq(Mux(issued.wide, wide, Mux(issued.residual, Cat(added), Cat(finished))))
        return m

    def _part(self, row: Signal, width: int, wide: Value) -> Value:
        """Part `index` of a row of L elements of `width` bits, for each lane."""
        narrow = row.word_select(self.index, self.lanes * width) if self.lanes < self.columns else row
        first = self.wide * width
        return Cat(Mux(wide, row.word_select(self.index, first), narrow[:first]), narrow[first:])
