"""Evaluates netlists on 64 independent patterns at once and counts toggles.

Zero delay: in a cycle every net changes at most once. Glitches are not there, so that the activity of
deep logic, multipliers above all, is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from rtl.power.netlist import HIGH, LOW, Netlist
from rtl.synth.function import Expression, parse
from rtl.synth.states import FlipFlop
from sim.kept import kept

LANES = 64
_ALL = (1 << 64) - 1


def _count_ones(context, word):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_ones: Any = intrinsic(_count_ones)
"""Bits of a word that are 1."""


@dataclass(frozen=True)
class Probe:
    """A condition to count: cycles (and patterns) in which it holds.

    Attributes:
        condition: over names.
        nets: net by name. The value that a net had in the cycle before stands at `net + Netlist.nets`.
    """

    condition: Expression
    nets: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Activity:
    """What happened in a run; its first cycle only sets the state from which changes count.

    Attributes:
        cycles: times patterns, that were counted.
        rising, falling: by net. The clock's are those of an ideal one; a gated clock has a pulse wherever the
            evaluated value, which tells whether the next edge comes, was 1 in the cycle before.
        probes: by probe.
        outputs: uint64 [cycles, bits] by output port, one pattern a bit, the first cycle included.
    """

    cycles: int
    rising: np.ndarray
    falling: np.ndarray
    probes: np.ndarray
    outputs: dict[str, np.ndarray]

    @property
    def toggles(self) -> np.ndarray:
        return self.rising + self.falling


class _Program:
    """Straight-line code: word `out` = c0 ^ c1 a ^ c2 b ^ c3 ab, any function of two words."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.code: list[tuple[int, int, int, int]] = []

    def emit(self, coefficients: int, a: int, b: int, out: int | None = None) -> int:
        if out is None:
            out = self.slots
            self.slots += 1
        self.code.append((out, a, b, coefficients))
        return out

    def expression(self, expression: Expression, slots: Mapping[str, int], out: int | None = None) -> int:
        """Emits what computes an expression; returns where it stands."""
        slot, inverted = self._operand(expression, slots)
        if out is None and not inverted:
            return slot
        if self.code and self.code[-1][0] == slot == self.slots - 1:
            # The instruction that computed it can invert it and write it where it belongs.
            _, a, b, coefficients = self.code.pop()
            self.slots -= 1
            return self.emit(coefficients ^ inverted, a, b, out)
        return self.emit(0b0010 | inverted, slot, slot, out)

    def _operand(self, expression: Expression, slots: Mapping[str, int]) -> tuple[int, bool]:
        """Where an operand stands, and whether inverted."""
        match expression.operator:
            case "pin":
                return slots[expression.pin], False
            case "0":
                return LOW, False
            case "1":
                return HIGH, False
            case "!":
                slot, inverted = self._operand(expression.operands[0], slots)
                return slot, not inverted
        (a, na), (b, nb) = (self._operand(operand, slots) for operand in expression.operands)
        if expression.operator == "^":
            return self.emit(0b0110, a, b), na ^ nb
        inverted = expression.operator == "|"
        na, nb = na ^ inverted, nb ^ inverted
        # (a ^ na)(b ^ nb)
        return self.emit((na and nb) | nb << 1 | na << 2 | 0b1000, a, b), inverted

    def array(self) -> np.ndarray:
        return np.array(self.code, np.int32).reshape(-1, 4)


class Evaluator:
    """Compiles a netlist once; runs it on any stimulus."""

    def __init__(self, netlist: Netlist, probes: Sequence[Probe] = ()) -> None:
        self.netlist = netlist
        registers = [netlist.instances[n] for n in netlist.registers]
        first = 2 * netlist.nets
        gates = _Program(first + len(registers))
        inside = []  # names within each register
        for n, instance in enumerate(registers):
            state = instance.cell.flip_flop
            assert state is not None
            slots = instance.pins | {state.state: first + n}
            slots[state.inverse] = gates.expression(parse(f"!{state.state}"), slots)
            inside.append(slots)
        others = (instance.pins for instance in netlist.instances[len(registers) :])
        for instance, slots in zip(netlist.instances, [*inside, *others], strict=True):
            if gate := instance.cell.clock_gate:
                # Whether its clock will have the next edge; the root clock has every one.
                arrives = slots | ({gate.clock: HIGH} if slots[gate.clock] == netlist.clock else {})
                gates.expression(gate.function, arrives, instance.pins[gate.output])
                continue
            for pin in instance.cell.outputs:
                function = instance.cell.pins[pin].function
                assert function is not None  # checked when the netlist was read
                gates.expression(function, slots, instance.pins[pin])
        sampled = [
            gates.expression(self._next(instance.cell.flip_flop, slots), slots)  # type: ignore[arg-type]
            for instance, slots in zip(registers, inside, strict=True)
        ]
        questions = _Program(gates.slots)
        self._asked = np.array(
            [questions.expression(probe.condition, probe.nets) for probe in probes], np.int32
        )
        self._slots = questions.slots
        self._gates, self._questions = gates.array(), questions.array()
        self._sampled = np.array(sampled, np.int32)
        inputs, outputs = (
            [net for nets in ports.values() for net in nets if net != netlist.clock]
            for ports in (netlist.inputs, netlist.outputs)
        )
        self._inputs, self._outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)

    def _next(self, state: FlipFlop, slots: Mapping[str, int]) -> Expression:
        """What a register holds after the edge, which a clock gate may keep from it."""
        clock = state.clocked_on.pin
        if slots[clock] not in self.netlist.gated:
            return state.next_state
        taken, kept = (
            Expression("pin", pin=clock),
            Expression("!", operands=(Expression("pin", pin=clock),)),
        )
        return Expression(
            "|",
            operands=(
                Expression("&", operands=(taken, state.next_state)),
                Expression("&", operands=(kept, Expression("pin", pin=state.state))),
            ),
        )

    def run(self, stimulus: Mapping[str, np.ndarray], lanes: int = LANES) -> Activity:
        """Runs a stimulus from all registers at 0.

        In each cycle all registers sample what the cycle before settled to; then registers and inputs
        change together.

        Args:
            stimulus: uint64 [cycles, bits] by input port, pattern n in bit n (see `words`); ports left out
                stay 0.
            lanes: patterns that count, from the lowest bit.
        """
        return self.runs(stimulus, [len(next(iter(stimulus.values())))], lanes)[0]

    def runs(
        self, stimulus: Mapping[str, np.ndarray], ends: Sequence[int], lanes: int = LANES, first: int = 1
    ) -> list[Activity]:
        """What `run` would give for the stimulus up to each of the cycles `ends`, in rising order.

        Cycles before `first` only set the state: without counts they are several times faster.
        """
        cycles = ends[-1]
        columns = [
            np.broadcast_to(np.asarray(stimulus.get(name, 0), np.uint64), (cycles, len(nets)))
            for name, nets in self.netlist.inputs.items()
            if nets != (self.netlist.clock,)
        ]
        inputs = np.ascontiguousarray(np.concatenate([np.zeros((cycles, 0), np.uint64), *columns], 1))
        values = np.zeros(self._slots, np.uint64)
        values[[HIGH, self.netlist.nets + HIGH]] = _ALL
        rising, falling = (np.zeros(self.netlist.nets, np.int64) for _ in range(2))
        counts = np.zeros(len(self._asked), np.int64)
        outputs = np.zeros((cycles, len(self._outputs)), np.uint64)
        activities, start, first = [], 0, max(1, first)
        for end in ends:
            _run(
                values,
                self.netlist.nets,
                self._gates,
                self._questions,
                self._asked,
                self._sampled,
                self._inputs,
                inputs,
                self._outputs,
                outputs,
                np.uint64(_ALL >> (LANES - lanes)),
                rising,
                falling,
                counts,
                start,
                end,
                first,
            )
            activities.append(
                self._activity(
                    max(0, end - first) * lanes, rising.copy(), falling.copy(), counts.copy(), outputs[:end]
                )
            )
            start = end
        return activities

    def _activity(
        self, counted: int, rising: np.ndarray, falling: np.ndarray, counts: np.ndarray, outputs: np.ndarray
    ) -> Activity:
        if self.netlist.clock is not None:
            rising[self.netlist.clock] = falling[self.netlist.clock] = counted
        found, at = {}, 0
        for name, nets in self.netlist.outputs.items():
            found[name] = outputs[:, at : at + len(nets)]
            at += len(nets)
        return Activity(counted, rising, falling, counts, found)


def words(values: np.ndarray, width: int) -> np.ndarray:
    """Packs integers [cycles, patterns, fields] of `width` bits into words of a port, first field lowest."""
    values = np.asarray(values)
    bits = (values[..., None] >> np.arange(width)) & 1
    cycles, patterns = bits.shape[:2]
    packed = np.packbits(bits.reshape(cycles, patterns, -1).astype(np.uint8), 1, "little")
    whole = np.zeros((cycles, LANES // 8, packed.shape[2]), np.uint8)
    whole[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(whole.transpose(0, 2, 1)).view("<u8")[..., 0]


def fields(port: np.ndarray, width: int, lanes: int = LANES) -> np.ndarray:
    """The reverse of `words`: unsigned integers [cycles, patterns, fields]."""
    port = np.ascontiguousarray(port)
    raw = port.astype("<u8").view(np.uint8).reshape(*port.shape, 8)
    bits = np.unpackbits(raw, axis=2, bitorder="little")[..., :lanes].transpose(0, 2, 1).astype(np.int64)
    bits = bits.reshape(*bits.shape[:2], -1, width)
    return (bits << np.arange(width)).sum(-1)


_COEFFICIENTS = np.array([[_ALL * (n >> bit & 1) for bit in range(4)] for n in range(16)], np.uint64)


@kept(inline="always")
def _execute(values, code):  # type: ignore[no-untyped-def]
    for n in range(len(code)):
        a, b = values[code[n, 1]], values[code[n, 2]]
        c = _COEFFICIENTS[code[n, 3]]
        values[code[n, 0]] = c[0] ^ (c[1] & a) ^ (c[2] & b) ^ (c[3] & a & b)


@kept()
def _run(
    values,
    nets,
    gates,
    questions,
    asked,
    sampled,
    ports,
    inputs,
    watched,
    outputs,  # type: ignore[no-untyped-def]
    lanes,
    rising,
    falling,
    counts,
    start,
    end,
    first,
):
    states = values[2 * nets : 2 * nets + len(sampled)]
    following = np.zeros(len(sampled), np.uint64)
    for cycle in range(start, end):
        values[nets : 2 * nets] = values[:nets]
        if cycle:
            for n in range(len(sampled)):
                following[n] = values[sampled[n]]
            states[:] = following
        for n in range(len(ports)):
            values[ports[n]] = inputs[cycle, n]
        _execute(values, gates)
        for n in range(len(watched)):
            outputs[cycle, n] = values[watched[n]]
        if cycle < first:
            continue
        for n in range(nets):
            changed = (values[n] ^ values[nets + n]) & lanes
            up = _ones(changed & values[n])
            rising[n] += up
            falling[n] += _ones(changed) - up
        if len(asked):
            _execute(values, questions)
            for n in range(len(asked)):
                counts[n] += _ones(values[asked[n]] & lanes)
