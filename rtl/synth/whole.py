"""Buffers and sizes across components: the mapped netlist without hierarchy, ready for timing.

ABC buffers what lies inside a component. A net that leaves one, or only passes through it, has nothing: here it gets a
tree of buffers where it drives much, and every cell the size that its load asks for. Early and simple: loads are those
of pins, no net has a length, and the sinks with most logic behind them stay next to the driver.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from rtl.synth import yosys
from rtl.synth.kinds import Mapped
from rtl.synth.liberty import Cell, Library
from rtl.yosys import run

LIMIT = 24
"""Inputs of the smallest buffer, by capacitance, on a net or behind a buffer."""
WEAKEST = 0.25
"""Of it on a net whose driver is weak in every size."""
NEAR = 2
"""A sink stays at the driver if at most so many levels less of logic follow it than the deepest one."""
WORTH_NS = 0.005
"""What a larger cell must win."""
_TEMPLATE = re.compile(r'lu_table_template\s*\(\s*"?(\w+)"?\s*\)\s*\{[^}]*?index_2\s*\(\s*"([^"]*)"')
"""Name and loads of tables that do not say their own."""
_UNIT = {"ps": 1e-3, "ns": 1.0, "ff": 1e-15, "pf": 1e-12}


@dataclass(eq=False)
class Gate:
    """An instance: cell or memory, and the net at each pin."""

    kind: str
    pins: dict[str, str]
    name: str = ""


@dataclass(frozen=True)
class Whole:
    """A netlist without hierarchy.

    Attributes:
        netlist: Verilog.
        buffers: how many are new.
        mapped_area, area: of all cells before and after, in the library's unit.
    """

    netlist: str
    buffers: int
    mapped_area: float
    area: float


class Sizes:
    """Delays and sizes of a library's cells."""

    def __init__(self, library: Library) -> None:
        self.library, self.cells = library, library.cells
        time = re.search(r'time_unit\s*:\s*"?(\d+)\s*([np]s)', library.texts[0])
        load = re.search(r"capacitive_load_unit\s*\(\s*([\d.]+)\s*,\s*\"?([pf]f)", library.texts[0], re.I)
        assert time is not None
        assert load is not None
        self._ns, self._farad = float(time[1]) * _UNIT[time[2]], float(load[1]) * _UNIT[load[2].lower()]
        self._tables: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._reaches: dict[str, float] = {}
        self._axes = dict(one for text in library.texts for one in _TEMPLATE.findall(text))

    @cached_property
    def family(self) -> dict[str, list[str]]:
        """Cells that do the same with pins of the same names, the smallest first, by each of them."""
        found: dict[object, list[Cell]] = defaultdict(list)
        for cell in self.cells.values():
            if (
                cell.has_timing
                and cell.outputs
                and (cell.usable or cell.clock_gate is None)
                and not cell.latch
            ):
                functions = tuple((pin, str(cell.pins[pin].function)) for pin in cell.outputs)
                found[(cell.inputs, functions, str(cell.flip_flop), cell.usable)].append(cell)
        return {
            cell.name: [one.name for one in sorted(cells, key=lambda one: (one.area, one.name))]
            for cells in found.values()
            for cell in cells
        }

    def load(self, kind: str, pin: str) -> float:
        """Capacitance of a pin, F; a memory's is that of a small buffer."""
        cell = self.cells.get(kind)
        return cell.pins[pin].capacitance if cell else self.unit

    @cached_property
    def unit(self) -> float:
        driver = self.library.driver
        return driver.pins[driver.inputs[0]].capacitance

    @cached_property
    def slope(self) -> float:
        """ns that a farad more costs whatever drives it: a cell of twice the drive of the smallest buffer."""
        return self._slope(self.library.driver.name) / 2

    def _slope(self, kind: str) -> float:
        step = 10 * self.unit
        return (self.delay(kind, 2 * step) - self.delay(kind, step)) / step

    def reach(self, kind: str) -> float:
        """What a net may load its driver with, F: less behind a cell that is weak in every size, such as an XOR."""
        if kind not in self._reaches:
            slope = min(self._slope(one) for one in self.family.get(kind, [kind]))
            share = min(1, max(WEAKEST, self.slope / slope)) if slope > 0 else 1
            self._reaches[kind] = LIMIT * self.unit * share
        return self._reaches[kind]

    def delay(self, kind: str, load: float) -> float:
        """ns of the slowest arc, for an ordinary slew."""
        if kind not in self._tables:
            self._tables[kind] = self._table(self.cells[kind])
        loads, delays = self._tables[kind]
        if load > loads[-1]:
            return float(
                delays[-1] + (delays[-1] - delays[-2]) * (load - loads[-1]) / (loads[-1] - loads[-2])
            )
        return float(np.interp(load, loads, delays))

    def _table(self, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        found = []
        for pin in cell.outputs:
            for arc in cell.pins[pin].timing:
                for table in (*arc.all("cell_rise"), *arc.all("cell_fall")):
                    axis = ",".join(table.list("index_2")) or self._axes[table.arguments[0]]
                    loads = [float(one) for one in axis.split(",")]
                    values = [
                        float(one) for one in ",".join(table.list("values")).replace("\\", "").split(",")
                    ]
                    # The third row: a slew that is neither the steepest nor slow.
                    found.append((loads, np.reshape(values, (-1, len(loads)))[2]))
        loads = found[0][0]
        delays = np.max([np.interp(loads, own, values) for own, values in found], 0)
        return np.array(loads) * self._farad, delays * self._ns


@dataclass
class Netlist:
    """Gates and what hangs on each net.

    Attributes:
        ports: "input" or "output" by net.
        level: most gates that follow a net up to a register, memory or port.
        makers: the logic that drives a net.
    """

    gates: list[Gate]
    ports: dict[str, str]
    sizes: Sizes
    level: dict[str, int] = field(default_factory=dict)
    makers: dict[str, Gate] = field(default_factory=dict)

    def drives(self, gate: Gate, pin: str) -> bool:
        cell = self.sizes.cells.get(gate.kind)
        return pin in cell.outputs if cell else gate.pins[pin] not in self.driven

    @cached_property
    def driven(self) -> set[str]:
        """Nets with a cell or an input behind them; what else a memory has is what it gives."""
        cells = self.sizes.cells
        found = {net for net, way in self.ports.items() if way == "input"}
        for gate in self.gates:
            if gate.kind in cells:
                found.update(gate.pins[pin] for pin in cells[gate.kind].outputs if pin in gate.pins)
        return found

    def is_logic(self, gate: Gate) -> bool:
        cell = self.sizes.cells.get(gate.kind)
        return bool(cell and cell.usable and not cell.flip_flop and cell.inputs)

    def is_clock(self, gate: Gate, pin: str) -> bool:
        cell = self.sizes.cells.get(gate.kind)
        if cell is None:
            return pin == "clk"
        if cell.flip_flop:
            return pin in cell.flip_flop.clocked_on.pins
        return bool(cell.pins[pin].clock)

    def sinks(self) -> dict[str, list[tuple[Gate, str]]]:
        """What each net drives; without clocks, and without constants."""
        found: dict[str, list[tuple[Gate, str]]] = defaultdict(list)
        left = {
            net
            for gate in self.gates
            if (cell := self.sizes.cells.get(gate.kind)) and not cell.inputs
            for net in gate.pins.values()
        }
        for gate in self.gates:
            for pin, net in gate.pins.items():
                if not self.drives(gate, pin):
                    if self.is_clock(gate, pin):
                        left.add(net)
                    found[net].append((gate, pin))
        return {net: places for net, places in found.items() if net not in left}

    def find_levels(self, sinks: Mapping[str, list[tuple[Gate, str]]]) -> list[Gate]:
        """Sets `level`; returns the logic from the registers' inputs backwards."""
        waits = {net: sum(self.is_logic(gate) for gate, _ in places) for net, places in sinks.items()}
        makers = self.makers
        for gate in self.gates:
            if self.is_logic(gate):
                makers.update({net: gate for pin, net in gate.pins.items() if self.drives(gate, pin)})
        pending = [net for net in makers if not waits.get(net)]
        order = []
        while pending:
            net = pending.pop()
            if net not in makers:
                continue
            gate = makers[net]
            order.append(gate)
            level = self.level.get(net, 0) + 1
            for pin, source in gate.pins.items():
                if not self.drives(gate, pin) and source in waits:
                    self.level[source] = max(self.level.get(source, 0), level)
                    waits[source] -= 1
                    if not waits[source]:
                        pending.append(source)
        return order

    def level_of(self, gate: Gate) -> int:
        if not self.is_logic(gate):
            return 0
        return 1 + max(self.level.get(net, 0) for pin, net in gate.pins.items() if self.drives(gate, pin))

    def load(self, places: Iterable[tuple[Gate, str]]) -> float:
        return sum(self.sizes.load(gate.kind, pin) for gate, pin in places)

    def buffer(self, net: str, places: list[tuple[Gate, str]]) -> list[Gate]:
        """A tree of buffers on a net that drives too much; returns them."""
        limit, driver = LIMIT * self.sizes.unit, self.sizes.library.driver
        reach = self.sizes.reach(self.makers[net].kind) if net in self.makers else limit
        made: list[Gate] = []
        if not driver.computes((0, 1)):  # an inverter: the library has no buffer
            return []
        while self.load(places) > reach and len(places) > 1:
            places = sorted(places, key=lambda place: self.level_of(place[0]))
            deepest = self.level_of(places[-1][0])
            near: list[tuple[Gate, str]] = []
            while len(places) > 1 and self.level_of(places[-1][0]) >= deepest - NEAR:
                if self.load([*near, places[-1]]) > reach / 3:
                    break
                near.append(places.pop())
            groups: list[list[tuple[Gate, str]]] = [[]]
            for place in places:
                if groups[-1] and self.load([*groups[-1], place]) > limit:
                    groups.append([])
                groups[-1].append(place)
            for group in groups:
                behind = f"{net}~{len(made)}"
                gate = Gate(driver.name, {driver.inputs[0]: net, driver.outputs[0]: behind})
                self.level[behind] = max(self.level_of(sink) for sink, _ in group)
                for sink, pin in group:
                    sink.pins[pin] = behind
                made.append(gate)
                near.append((gate, driver.inputs[0]))
            if len(near) >= len(places) + len(groups) or len(groups) == 1:
                break
            places = near
        return made

    def size(self, order: Iterable[Gate]) -> None:
        """The cell of each gate's family that loses least between its input and what it drives."""
        sinks, sizes = self.sinks(), self.sizes
        loads = {net: self.load(places) for net, places in sinks.items()}
        for net, way in self.ports.items():
            if way == "output":
                loads[net] = loads.get(net, 0) + 4 * sizes.unit
        for gate in order:
            family = sizes.family.get(gate.kind, ())
            if len(family) < 2:
                continue
            cell = sizes.cells[gate.kind]
            load = max(loads.get(gate.pins[pin], 0) for pin in cell.outputs if pin in gate.pins)
            best, least = gate.kind, self._cost(gate.kind, load) - WORTH_NS
            for kind in family:
                cost = self._cost(kind, load)
                if cost < least:
                    best, least = kind, cost - WORTH_NS
            if best == gate.kind:
                continue
            for pin in cell.inputs:
                if gate.pins.get(pin) in loads:
                    loads[gate.pins[pin]] += sizes.load(best, pin) - sizes.load(gate.kind, pin)
            gate.kind = best

    def _cost(self, kind: str, load: float) -> float:
        sizes = self.sizes
        cell = sizes.cells[kind]
        entering = max(pin.capacitance for pin in cell.pins.values() if pin.direction == "input")
        return sizes.delay(kind, load) + sizes.slope * (0 if cell.flip_flop else entering)


def optimize(found: Mapping[str, Mapped], top: str, library: Library, directory: Path) -> Whole:
    """The modules under `top` as one, with buffers and sizes; memories stay outside. It works in `directory`."""
    files = yosys.write_library(library, directory)
    (directory / "mapped.v").write_text("\n".join(kind.netlist for kind in found.values()))
    run(
        [
            *(f"read_liberty -lib {name}" for name in files),
            "read_verilog mapped.v",
            f"hierarchy -top {top}",
            "flatten",
            "opt_clean -purge",
            "write_blif -gates flat.blif",
        ],
        directory,
    )
    ports, gates = _read((directory / "flat.blif").read_text(), library)
    before = _area(gates, library)
    netlist = Netlist(gates, ports, Sizes(library))
    sinks = netlist.sinks()
    netlist.find_levels(sinks)
    made = [gate for net, places in sinks.items() for gate in netlist.buffer(net, places)]
    gates += made
    order = netlist.find_levels(netlist.sinks())
    order += [gate for gate in gates if not netlist.is_logic(gate)]
    netlist.size(order)
    return Whole(_verilog(top, ports, gates), len(made), before, _area(gates, library))


def _area(gates: Iterable[Gate], library: Library) -> float:
    return sum(library.cells[gate.kind].area for gate in gates if gate.kind in library.cells)


def _read(text: str, library: Library) -> tuple[dict[str, str], list[Gate]]:
    """Ports by net, and instances; nets that are one have one name."""
    same: dict[str, str] = {}
    ports: dict[str, str] = {}
    gates: list[Gate] = []
    lines = text.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines):
        word, _, rest = line.partition(" ")
        if word in (".inputs", ".outputs"):
            ports |= dict.fromkeys(rest.split(), word[1:-1])
        elif word == ".gate":
            kind, *pins = rest.split()
            gates.append(Gate(kind, dict(pin.split("=", 1) for pin in pins)))
        elif word == ".names" and len(nets := rest.split()) == 2 and lines[number + 1] == "1 1":
            same[nets[1]] = nets[0]

    def one(net: str) -> str:
        while net in same:
            net = same[net]
        return net

    # A port keeps its name, and the net inside takes it; of two on one net the second gets a buffer.
    for port in [port for port, way in ports.items() if way == "output" and port in same]:
        inside = one(port)
        del same[port]
        if inside in ports:
            driver = library.driver
            gates.append(Gate(driver.name, {driver.inputs[0]: inside, driver.outputs[0]: port}))
        else:
            same[inside] = port
    for number, gate in enumerate(gates):
        gate.pins = {pin: one(net) for pin, net in gate.pins.items()}
        cell = library.cells.get(gate.kind)
        gate.name = gate.pins[cell.outputs[0]] if cell and cell.flip_flop else f"{gate.kind}~{number}"
    return ports, gates


def _verilog(top: str, ports: Mapping[str, str], gates: Iterable[Gate]) -> str:
    """Every bit is a net of its own; a register has the name of what it holds."""
    lines = [f"module {top} (", ",\n".join(f"  \\{port} " for port in ports), ");"]
    lines += [f"  {way} \\{port} ;" for port, way in ports.items()]
    for number, gate in enumerate(gates):
        connected = ", ".join(f".\\{pin} (\\{net} )" for pin, net in gate.pins.items())
        lines.append(f"  {gate.kind} \\{gate.name or f'buffer~{number}'}~ ({connected});")
    return "\n".join([*lines, "endmodule", ""])
