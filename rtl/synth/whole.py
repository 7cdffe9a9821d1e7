"""Buffers and sizes across components: the mapped netlist as one, through ABC, between its registers and memories.

Components are mapped one by one, and a net that leaves one has no buffers. Here the hierarchy is dissolved and every
net gets a tree of buffers where it needs one, every cell a size for what it drives; with `restructure` the logic
between registers is also mapped once more, across the borders of components.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from rtl import yosys as tool
from rtl.synth import yosys
from rtl.synth.kinds import Mapped
from rtl.synth.liberty import Library

OVERHEAD_NS = 0.3
"""Of a period, share for a register's delay and setup time, which ABC does not see (SG13G2: 0.16 and 0.1 ns)."""
FANOUT = 12
"""Inputs on a net, at most, before it gets buffers."""
LEAF = 8
"""Registers behind one of these."""
SIZING = "buffer -c -p -N {n}; topo; upsize -D {d}; dnsize -D {d}"
MAPPING = "strash; &get -n; &dch -f; &nf; &put"


class Gate(NamedTuple):
    """An instance: cell or memory, and the net at each pin."""

    kind: str
    pins: dict[str, str]


class Whole(NamedTuple):
    """A netlist without hierarchy: Verilog, and its cells by type."""

    netlist: str
    cells: Counter[str]


def optimize(
    found: Mapping[str, Mapped],
    top: str,
    library: Library,
    period_ns: float,
    directory: Path,
    *,
    restructure: bool = False,
) -> Whole:
    """The modules under `top` as one, with buffers and sizes; memories stay outside. It works in `directory`."""
    files = yosys.write_library(library, directory)
    (directory / "mapped.v").write_text("\n".join(kind.netlist for kind in found.values()))
    tool.run(
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
    ports, gates = _read((directory / "flat.blif").read_text())
    sides = _sides(gates, library)
    fixed = [gate for gate in gates if gate.kind in sides]
    logic = [gate for gate in gates if gate.kind not in sides]
    logic += _leaves(fixed, sides, library)
    entering, leaving = _borders(ports, fixed, logic, sides, library)
    numbers = {
        net: f"n{number}"
        for number, net in enumerate(sorted({net for gate in logic for net in gate.pins.values()}))
    }
    (directory / "logic.blif").write_text(_blif(logic, entering, leaving, numbers))
    _size(library, period_ns, directory, restructure=restructure)
    names = {number: net for net, number in numbers.items()}
    _, sized = _read((directory / "sized.blif").read_text())
    fixed += [
        Gate(kind, {pin: names.get(net, f"~{net}") for pin, net in pins.items()}) for kind, pins in sized
    ]
    return Whole(_verilog(top, ports, fixed), Counter(gate.kind for gate in fixed))


def _size(library: Library, period_ns: float, directory: Path, *, restructure: bool) -> None:
    unused = " ".join(f"-X {cell.name}" for cell in library.cells.values() if not cell.usable)
    target = round(1000 * (period_ns - OVERHEAD_NS * period_ns / 3.333))
    driver = library.driver
    load = 1e15 * max(driver.pins[pin].capacitance for pin in driver.inputs)
    (directory / "limits.txt").write_text(f"set_driving_cell {driver.name}\nset_load {load}\n")
    reads = [f"read_lib {unused} {'-m ' if n else ''}library_{n}.lib" for n in range(len(library.texts))]
    said = tool.abc(
        [
            *reads,
            "read_blif logic.blif",
            "read_constr limits.txt",
            *([MAPPING] if restructure else []),
            "topo",
            "stime",
            *SIZING.format(n=FANOUT, d=target).split("; "),
            "stime",
            "write_blif sized.blif",
        ],
        directory,
    )
    (directory / "sizing.log").write_text(said)


def _sides(gates: Iterable[Gate], library: Library) -> dict[str, tuple[set[str], set[str]]]:
    """What ABC leaves alone, registers, clock gates, ties and memories: pins that its logic drives, and that drive it."""
    kinds = {gate.kind: gate for gate in gates}
    driven = {net for gate in gates for pin, net in gate.pins.items() if _drives(gate.kind, pin, library)}
    found = {}
    for kind, gate in kinds.items():
        cell = library.cells.get(kind)
        if cell is None:
            # A memory is read at the pins that nothing else drives.
            taken = {pin for pin, net in gate.pins.items() if net in driven and pin != "clk"}
            found[kind] = (taken, set(gate.pins) - taken - {"clk"})
        elif cell.clock_gate:
            found[kind] = ({cell.clock_gate.enable}, set())
        elif cell.flip_flop:
            clock = cell.flip_flop.clocked_on.pin
            found[kind] = ({pin for pin in cell.inputs if pin != clock}, set(cell.outputs))
        elif not cell.inputs:
            found[kind] = (set(), set())
    return found


def _drives(kind: str, pin: str, library: Library) -> bool:
    return kind in library.cells and pin in library.cells[kind].outputs


def _leaves(
    fixed: list[Gate], sides: Mapping[str, tuple[set[str], set[str]]], library: Library
) -> list[Gate]:
    """Buffers in front of registers where many hang on a net: ABC counts an output of its logic once."""
    sinks: dict[str, list[tuple[Gate, str]]] = defaultdict(list)
    for gate in fixed:
        for pin in sides[gate.kind][0] & set(gate.pins):
            sinks[gate.pins[pin]].append((gate, pin))
    tied = {
        net
        for gate in fixed
        if not sides[gate.kind][0] and not sides[gate.kind][1]
        for net in gate.pins.values()
    }
    buffer, made = library.driver, []
    for net, places in sinks.items():
        if len(places) <= LEAF or net in tied:
            continue
        for number in range(0, len(places), LEAF):
            leaf = f"{net}~{number}"
            made.append(Gate(buffer.name, {buffer.inputs[0]: net, buffer.outputs[0]: leaf}))
            for gate, pin in places[number : number + LEAF]:
                gate.pins[pin] = leaf
    return made


def _borders(
    ports: Mapping[str, str],
    fixed: Iterable[Gate],
    logic: Iterable[Gate],
    sides: Mapping[str, tuple[set[str], set[str]]],
    library: Library,
) -> tuple[list[str], list[str]]:
    """Nets that enter and leave the logic."""
    made, used = set(), set()
    for gate in logic:
        for pin, net in gate.pins.items():
            (made if _drives(gate.kind, pin, library) else used).add(net)
    wanted = {net for net, way in ports.items() if way == "output"}
    wanted |= {gate.pins[pin] for gate in fixed for pin in sides[gate.kind][0] & set(gate.pins)}
    return sorted(used - made), sorted(made & wanted)


def _blif(
    logic: Iterable[Gate], entering: Iterable[str], leaving: Iterable[str], numbers: Mapping[str, str]
) -> str:
    lines = [".model logic"]
    for word, nets in ((".inputs", entering), (".outputs", leaving)):
        lines.append(" ".join([word, *(numbers[net] for net in nets)]))
    for kind, pins in logic:
        lines.append(" ".join([".gate", kind, *(f"{pin}={numbers[net]}" for pin, net in pins.items())]))
    return "\n".join([*lines, ".end", ""])


def _verilog(top: str, ports: Mapping[str, str], gates: Iterable[Gate]) -> str:
    """Every bit is a net of its own; a register has the name of what it holds."""
    lines = [f"module {top} (", ",\n".join(f"  \\{port} " for port in ports), ");"]
    lines += [f"  {way} \\{port} ;" for port, way in ports.items()]
    names: Counter[str] = Counter()
    for number, (kind, pins) in enumerate(gates):
        name = next((net for pin, net in pins.items() if pin.startswith("Q")), f"cell_{number}")
        names[name] += 1
        if names[name] > 1:
            name = f"{name}~cell_{number}"
        connected = ", ".join(f".\\{pin} (\\{net} )" for pin, net in pins.items())
        lines.append(f"  {kind} \\{name}~ ({connected});")
    return "\n".join([*lines, "endmodule", ""])


def _read(text: str) -> tuple[dict[str, str], list[Gate]]:
    """Ports by net, "input" or "output", and instances; nets that are one have one name."""
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

    # A port keeps its name, and the net inside takes it.
    for port in [port for port, way in ports.items() if way == "output" and port in same]:
        inside = one(port)
        del same[port]
        if inside in ports:
            gates.append(Gate("", {"A": inside, "X": port}))
        else:
            same[inside] = port
    return ports, [Gate(kind, {pin: one(net) for pin, net in pins.items()}) for kind, pins in gates]
