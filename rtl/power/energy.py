"""Energy of a netlist from its activity and the library's tables.

For every toggle of a net 0.5 C V^2, C being the input pins on it (and what a wire is said to weigh);
for every edge of a pin the internal energy at the slew of the pin that caused it and the load; leakage
by state. Groups with a `when` count as often as their state was seen at such an edge. A net between
components counts where its receivers are, so that parts add up.

Without delays there are no glitches: energies of deep logic, multipliers above all, are lower bounds.

Where this differs from OpenSTA 2.0.17: that adds up the groups of all states instead of choosing (an
SG13G2 flip-flop's clock three times too much), has no internal energy for sky130, and counts a library
with tables of both supply and ground (ASAP7) twice; here ground tables are left out, since they hold the
same charge. Slews are means over a cell's arcs, not the worst. In sky130 a fall's internal energy is
negative at high load, because the tables attribute all of C V^2 to the rise; sums over whole periods
are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rtl.power.evaluator import Activity, Evaluator, Probe
from rtl.power.netlist import Instance, Netlist
from rtl.power.tables import Tables
from rtl.synth.function import Expression


@dataclass(frozen=True, eq=False)
class Energy:
    """Joules of a run, leakage in watts.

    Attributes:
        cycles: times patterns.
        switching: by net, the clock's in `clock`.
        internal: by instance, clock pins in `clock`.
        clock: by instance: its clock pins, and their share of the clock net that drives them; of a clock
            gate all but its enable.
        leakage: by instance, mean over the run.
        pulses: of clocks at flip-flops, all together.
    """

    netlist: Netlist
    cycles: int
    pulses: int
    switching: np.ndarray
    internal: np.ndarray
    clock: np.ndarray
    leakage: np.ndarray

    @property
    def total(self) -> float:
        """Joules without leakage."""
        return float(self.switching.sum() + self.internal.sum() + self.clock.sum())

    def part(self, text: str) -> float:
        """Joules without leakage and clock: instances with `text` in their path, and the nets they drive."""
        chosen = np.array([text in instance.name for instance in self.netlist.instances], bool)
        nets = [
            instance.pins[pin]
            for instance, here in zip(self.netlist.instances, chosen, strict=True)
            if here
            for pin in instance.cell.outputs
        ]
        return float(self.internal[chosen].sum() + self.switching[nets].sum())


@dataclass
class _Choice:
    """Energies of one kind of event; how often each applies is counted.

    Attributes:
        event: place in `_events`.
        probes, energies: numbers, and joules each.
        default: for events that no probe saw.
        shared: probes may see one event together, or none; they tell the shares.
    """

    event: int
    probes: list[int] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    default: float = 0.0
    shared: bool = False


class _Choices:
    """Choices with the instance that each belongs to, as arrays."""

    def __init__(self, choices: list[list[_Choice]]) -> None:
        flat = [(owner, choice) for owner, found in enumerate(choices) for choice in found]
        self.instances = len(choices)
        self.owners = np.array([owner for owner, _ in flat], np.int64)
        self.events = np.array([choice.event for _, choice in flat], np.int64)
        self.defaults = np.array([choice.default for _, choice in flat])
        self.shared = np.array([choice.shared for _, choice in flat], bool)
        self.probes = np.array([n for _, choice in flat for n in choice.probes], np.int64)
        self.energies = np.array([joules for _, choice in flat for joules in choice.energies])
        self.choice = np.repeat(np.arange(len(flat)), [len(choice.probes) for _, choice in flat])

    def by_instance(self, events: np.ndarray, probes: np.ndarray) -> np.ndarray:
        happened = events[self.events]
        counts = probes[self.probes]
        seen, spent = (
            np.bincount(self.choice, weights, len(self.events))
            for weights in (counts, counts * self.energies)
        )
        joules = np.where(
            self.shared & (seen > 0),
            happened * spent / np.maximum(1, seen),
            spent + np.maximum(0, happened - seen) * self.defaults,
        )
        return np.bincount(self.owners, joules, self.instances)


def _events(activity: Activity, pulses: np.ndarray) -> np.ndarray:
    """Rising, then falling edges of each net; cycles, half cycles; pulses of each gated clock by net."""
    return np.concatenate([activity.rising, activity.falling, [activity.cycles, 2 * activity.cycles], pulses])


class EnergyModel:
    """Prepares a netlist: loads, slews, and what has to be counted.

    Attributes:
        loads: farads by net.
        slews: of rise and fall by net, in the library's time unit.
        evaluator: of the netlist, with the probes that `energy` needs.
    """

    def __init__(
        self, netlist: Netlist, tables: Tables, *, wire_farads: float = 0.0, input_slew: float | None = None
    ) -> None:
        """`wire_farads`: of a net's wire for each input on it, an assumption; 0 leaves wires out.

        `input_slew`: of all inputs and the clock, in the library's unit.

        Raises:
            InputError: a cell of the netlist lacks its tables.
        """
        self.netlist, self.tables, self.wire_farads = netlist, tables, wire_farads
        self.loads = np.zeros(netlist.nets)
        for instance in netlist.instances:
            for pin in instance.cell.inputs:
                self.loads[instance.pins[pin]] += self._pin_load(instance, pin)
        slew = tables.input_slew if input_slew is None else input_slew
        self.slews = [(slew, slew)] * netlist.nets
        self._probes: list[Probe] = []
        internal: list[list[_Choice]] = []
        clock: list[list[_Choice]] = []
        leakage: list[list[_Choice]] = []
        for instance in netlist.instances:
            self._slew(instance)
            output = self._gate if instance.cell.clock_gate else self._output
            outputs = [
                output(instance, pin, rising) for pin in instance.cell.outputs for rising in (True, False)
            ]
            edges, clocks = ([], outputs) if instance.cell.clock_gate else (outputs, [])
            for pin in instance.cell.inputs:
                if tables.power(instance.cell, pin):
                    (clocks if self._is_clock(instance, pin) else edges).extend(
                        self._input(instance, pin, rising) for rising in (True, False)
                    )
            internal.append(edges)
            clock.append(clocks)
            leakage.append([self._leak(instance)])
        # The evaluated value of a gated clock tells of the next edge, the one before of this.
        self._pulses = {net: len(self._probes) + n for n, net in enumerate(sorted(netlist.gated))}
        self._probes += [Probe(_pin("clock"), {"clock": net + netlist.nets}) for net in self._pulses]
        self._internal, self._clock, self._leakage = _Choices(internal), _Choices(clock), _Choices(leakage)
        self.evaluator = Evaluator(netlist, self._probes)

    def energy(self, activity: Activity) -> Energy:
        """Of a run of `evaluator`."""
        volts = self.tables.volts
        pulses = np.zeros(self.netlist.nets, np.int64)
        pulses[list(self._pulses)] = activity.probes[list(self._pulses.values())]
        events = _events(activity, pulses)
        switching = 0.5 * self.loads * volts**2 * activity.toggles
        internal, clock, leakage = (
            choices.by_instance(events, activity.probes)
            for choices in (self._internal, self._clock, self._leakage)
        )
        flip_flops = 0
        for n, instance in enumerate(self.netlist.instances):
            for pin in instance.cell.inputs:
                if self._is_clock(instance, pin):
                    edges = events[self._clock_event(instance.pins[pin])]
                    clock[n] += self._pin_load(instance, pin) * volts**2 * edges
                    flip_flops += int(edges) if instance.cell.flip_flop else 0
        if self.netlist.clock is not None:
            switching[self.netlist.clock] = 0
        switching[list(self._pulses)] = 0
        return Energy(
            self.netlist,
            activity.cycles,
            flip_flops,
            switching,
            internal,
            clock,
            leakage / max(1, activity.cycles),
        )

    def _pin_load(self, instance: Instance, pin: str) -> float:
        return instance.cell.pins[pin].capacitance + self.wire_farads

    def _is_clock(self, instance: Instance, pin: str) -> bool:
        cell = instance.cell
        if cell.clock_gate:
            return pin == cell.clock_gate.clock
        return bool(cell.flip_flop) and pin in cell.flip_flop.clocked_on.pins  # type: ignore[union-attr]

    def _clock_event(self, net: int) -> int:
        """Pulses of a clock."""
        return 2 * self.netlist.nets + (0 if net == self.netlist.clock else 2 + net)

    def _event(self, net: int, rising: bool) -> int:
        return net if rising else self.netlist.nets + net

    def _slew(self, instance: Instance) -> None:
        for pin in instance.cell.outputs:
            net = instance.pins[pin]
            load = self.loads[net] / self.tables.farads
            arcs = self.tables.transitions(instance.cell, pin)
            if arcs:
                rise, fall = (
                    _mean(
                        [
                            table.at(self._cause(instance, arc.related, arc.sense, rising), load)
                            for arc in arcs
                            if (table := arc.edge(rising))
                        ]
                    )
                    for rising in (True, False)
                )
                self.slews[net] = rise, fall

    def _cause(self, instance: Instance, related: tuple[str, ...], sense: str, rising: bool) -> float:
        """Slew of the input edge that causes an output edge."""
        found = [self.slews[instance.pins[pin]] for pin in related]
        if sense == "positive_unate":
            return _mean([slews[0 if rising else 1] for slews in found])
        if sense == "negative_unate":
            return _mean([slews[1 if rising else 0] for slews in found])
        return _mean([sum(slews) / 2 for slews in found])

    def _output(self, instance: Instance, pin: str, rising: bool) -> _Choice:
        net = instance.pins[pin]
        arcs = [(arc, table) for arc in self.tables.power(instance.cell, pin) if (table := arc.edge(rising))]
        senses = {timing.related: timing.sense for timing in self.tables.transitions(instance.cell, pin)}
        energies = []
        for arc, table in arcs:
            related = arc.related or instance.cell.inputs
            slew = self._cause(instance, related, senses.get(arc.related, ""), rising)
            energies.append(table.at(slew, self.loads[net] / self.tables.farads) * self.tables.joules)
        if len(arcs) < 2:
            return _Choice(self._event(net, rising), default=energies[0] if energies else 0.0)
        choice = _Choice(self._event(net, rising), default=_mean(energies), shared=True)
        for (arc, _), energy in zip(arcs, energies, strict=True):
            causes = (
                []
                if any(self._is_clock(instance, p) for p in arc.related)
                else [_joined("|", [_changed(p) for p in arc.related or instance.cell.inputs])]
            )
            self._ask(choice, energy, instance, [_edge(pin, rising), *causes], arc.when)
        return choice

    def _gate(self, instance: Instance, pin: str, rising: bool) -> _Choice:
        """Edges of a clock behind a gate; its tables are alike in all states."""
        net = instance.pins[pin]
        tables = [table for arc in self.tables.power(instance.cell, pin) if (table := arc.edge(rising))]
        slew = self.slews[instance.pins[instance.cell.clock_gate.clock]][0 if rising else 1]  # type: ignore[union-attr]
        load = self.loads[net] / self.tables.farads
        energies = [table.at(slew, load) * self.tables.joules for table in tables]
        return _Choice(self._clock_event(net), default=_mean(energies) if energies else 0.0)

    def _input(self, instance: Instance, pin: str, rising: bool) -> _Choice:
        net, clock = instance.pins[pin], self._is_clock(instance, pin)
        choice = _Choice(self._clock_event(net) if clock else self._event(net, rising))
        for arc in self.tables.power(instance.cell, pin):
            table = arc.edge(rising)
            if table is None:
                continue
            slew = self.slews[net][0 if rising else 1]
            energy = table.at(slew, 0.0) * self.tables.joules
            if arc.when is None:
                choice.default += energy
                continue
            pulse = [_pin(f"{pin} before")] if net in self.netlist.gated else []
            edges = pulse if clock else [_edge(pin, rising)]
            # The rising clock edge finds what the registers held before it.
            self._ask(
                choice,
                energy,
                instance,
                edges,
                arc.when,
                before=clock and rising,
                clock=not (clock and rising),
            )
        return choice

    def _leak(self, instance: Instance) -> _Choice:
        leakages = self.tables.leakage(instance.cell)
        if instance.cell.clock_gate:
            return _Choice(2 * self.netlist.nets, default=_mean([leakage.watts for leakage in leakages]))
        clocks = {pin for pin in instance.cell.inputs if self._is_clock(instance, pin)}
        # Half of each cycle under each level of the clock, where that matters.
        asked = {pin for each in leakages if each.when for pin in each.when.pins}
        # A gated clock is taken to be low: it seldom has a pulse.
        idle = bool(clocks) and all(instance.pins[pin] in self.netlist.gated for pin in clocks)
        levels = (False,) if idle else (True, False) if clocks & asked else (True,)
        choice = _Choice(2 * self.netlist.nets + len(levels) - 1)
        for leakage in leakages:
            watts = leakage.watts / len(levels)
            if leakage.when is None:
                choice.default = watts
                continue
            for clock in levels:
                self._ask(choice, watts, instance, [], leakage.when, clock=clock)
        return choice

    def _ask(
        self,
        choice: _Choice,
        energy: float,
        instance: Instance,
        conditions: list[Expression],
        when: Expression | None,
        *,
        before: bool = False,
        clock: bool = True,
    ) -> None:
        """Counts how often an energy applies; a state that never comes is left out.

        `before`: `when` asks for the state before the cycle; `clock`: the clock's level there.
        """
        offset = self.netlist.nets if before else 0
        nets, known = {}, {}
        for pin, net in instance.pins.items():
            nets[pin], nets[f"{pin} now"], nets[f"{pin} before"] = net + offset, net, net + self.netlist.nets
            if pin in instance.cell.inputs and self._is_clock(instance, pin):
                known[pin] = int(clock)
            elif net in self.netlist.constants:
                known |= dict.fromkeys((pin, f"{pin} now", f"{pin} before"), self.netlist.constants[net])
        if gate := instance.cell.clock_gate:
            known[gate.output] = 0  # before a pulse; its own edges are priced at the output
        condition = _joined("&", [*conditions, *([when] if when else [])])
        if known:
            condition = _folded(condition, known)
        if condition.operator != "0":
            choice.probes.append(len(self._probes))
            choice.energies.append(energy)
            self._probes.append(Probe(condition, nets))


def _pin(name: str) -> Expression:
    return Expression("pin", pin=name)


def _edge(pin: str, rising: bool) -> Expression:
    before, now = _pin(f"{pin} before"), _pin(f"{pin} now")
    first, second = (before, now) if rising else (now, before)
    return Expression("&", operands=(Expression("!", operands=(first,)), second))


def _changed(pin: str) -> Expression:
    return Expression("^", operands=(_pin(f"{pin} before"), _pin(f"{pin} now")))


def _joined(operator: str, conditions: list[Expression]) -> Expression:
    found = conditions[0] if conditions else Expression("1")
    for condition in conditions[1:]:
        found = Expression(operator, operands=(found, condition))
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _folded(expression: Expression, known: Mapping[str, int]) -> Expression:
    """The expression for known values of some pins."""
    if expression.operator == "pin":
        return Expression(str(known[expression.pin])) if expression.pin in known else expression
    operands = tuple(_folded(operand, known) for operand in expression.operands)
    constants = [operand for operand in operands if operand.operator in "01"]
    if not operands or not constants:
        return Expression(expression.operator, operands=operands) if operands else expression
    if len(constants) == len(operands):
        return Expression(str(Expression(expression.operator, operands=operands).evaluate({})))
    value = constants[0].operator
    other = next(operand for operand in operands if operand is not constants[0])
    if expression.operator == "^":
        return other if value == "0" else Expression("!", operands=(other,))
    absorbing = "0" if expression.operator == "&" else "1"
    return constants[0] if value == absorbing else other
