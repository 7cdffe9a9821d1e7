"""A synthesized netlist as cells and numbered nets."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rtl.synth import yosys
from rtl.synth.liberty import Cell, Library
from sim.errors import InputError

LOW, HIGH = 0, 1
"""Nets of the constants."""


@dataclass(frozen=True)
class Instance:
    """A cell in its place.

    Attributes:
        name: path in the hierarchy, parts joined by dots.
        pins: net by pin; an open output has a net of its own, an open input is low.
    """

    name: str
    cell: Cell
    pins: dict[str, int]


@dataclass(frozen=True, eq=False)
class Netlist:
    """A flat netlist.

    Attributes:
        instances: combinational ones in topological order, registers first.
        nets: how many; 0 and 1 are the constants.
        inputs, outputs: nets of each port, lowest bit first.
        names: a name of each net, with its bit in brackets.
        clock: net of the clock, None without registers.
        gated: nets of the clocks behind clock gates.
        constants: value of nets that a tie cell, or nothing, drives.
    """

    instances: tuple[Instance, ...]
    nets: int
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    names: tuple[str, ...]
    clock: int | None
    gated: frozenset[int]
    constants: dict[int, int]

    @cached_property
    def registers(self) -> tuple[int, ...]:
        """Numbers of the instances that are flip-flops."""
        return tuple(n for n, instance in enumerate(self.instances) if instance.cell.flip_flop)


def flatten(verilog: str, top: str, library: Library) -> Netlist:
    """Reads a mapped netlist in Verilog whose only leaves are cells of the library.

    Raises:
        InputError: a leaf that is no cell of the library, a cell whose function is not known, a loop,
            or registers that the clock port drives neither directly nor through clock gates, or that have a
            reset of their own in use.
    """
    module = _flat(verilog, top)
    numbers: dict[int | str, int] = {"0": LOW, "1": HIGH, "x": LOW, "z": LOW}

    def nets(bits: list[int | str]) -> tuple[int, ...]:
        return tuple(numbers.setdefault(bit, len(numbers) - 2) for bit in bits)

    ports = {"input": {}, "output": {}}  # type: dict[str, dict[str, tuple[int, ...]]]
    for name, port in module["ports"].items():
        ports[port["direction"]][name] = nets(port["bits"])
    instances = []
    for name, found in module["cells"].items():
        cell = _cell(library, found["type"])
        connections = {pin: bits for pin, bits in found["connections"].items() if bits}
        instances.append(
            Instance(
                name,
                cell,
                {
                    pin: nets(connections.get(pin, ["0"] if pin in cell.inputs else [f"{name}.{pin}"]))[0]
                    for pin in cell.inputs + cell.outputs
                },
            )
        )
    for found in module["netnames"].values():
        nets(found["bits"])
    names = ["" for _ in range(len(numbers) - 2)]
    for name, found in sorted(module["netnames"].items(), key=lambda item: item[1].get("hide_name", 0)):
        for bit, net in enumerate(nets(found["bits"])):
            names[net] = names[net] or (f"{name}[{bit}]" if len(found["bits"]) > 1 else name)
    constants = {LOW: 0, HIGH: 1} | {
        instance.pins[pin]: instance.cell.pins[pin].function.evaluate({})  # type: ignore[union-attr]
        for instance in instances
        if not instance.cell.inputs
        for pin in instance.cell.outputs
    }
    gates = [instance for instance in instances if instance.cell.clock_gate]
    gated = frozenset(instance.pins[instance.cell.clock_gate.output] for instance in gates)  # type: ignore[union-attr]
    clocks = {_clock(instance, constants) for instance in instances if instance.cell.flip_flop}
    clocks |= {instance.pins[instance.cell.clock_gate.clock] for instance in gates}  # type: ignore[union-attr]
    clocks -= gated
    clock = next(iter(clocks), None)
    if len(clocks) > 1 or not clocks <= {net for found in ports["input"].values() for net in found}:
        raise InputError(
            "netlist",
            top,
            "has registers that no common clock port drives, directly or through clock gates",
            "give a netlist with one clock",
        )
    ordered = _ordered(instances, top)
    return Netlist(
        tuple(ordered), len(names), ports["input"], ports["output"], tuple(names), clock, gated, constants
    )


def _flat(verilog: str, top: str) -> dict[str, Any]:
    """The flattened module as Yosys writes it in JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "netlist.v").write_text(verilog)
        yosys.run(
            [
                "read_verilog netlist.v",
                f"hierarchy -top {top}",
                "flatten -noscopeinfo",
                "opt_clean",
                "write_json flat.json",
            ],
            directory,
        )
        return json.loads((directory / "flat.json").read_text())["modules"][top]


def _cell(library: Library, name: str) -> Cell:
    cell = library.cells.get(name)
    if cell is None:
        raise InputError(
            "netlist",
            name,
            f"is no cell of {library.name}",
            "leave memories out, or give the library the netlist was mapped to",
        )
    if not cell.clock_gate and any(cell.pins[pin].function is None for pin in cell.outputs):
        raise InputError("netlist", cell.name, "an output has no function", "map without this cell")
    return cell


def _clock(instance: Instance, constants: dict[int, int]) -> int:
    state = instance.cell.flip_flop
    assert state is not None
    if state.clocked_on.operator != "pin":
        raise InputError(
            "netlist",
            instance.cell.name,
            "is clocked by more than a rising edge of one pin",
            "map to flip-flops with a rising edge",
        )
    for name, expression in (("clear", state.clear), ("preset", state.preset)):
        if expression is not None:
            values = {pin: constants.get(instance.pins[pin]) for pin in expression.pins}
            if None in values.values() or expression.evaluate(values):
                raise InputError(
                    "netlist",
                    instance.name,
                    f"its {name} is in use",
                    "give a netlist with synchronous resets",
                )
    return instance.pins[state.clocked_on.pin]


def _ordered(instances: list[Instance], top: str) -> list[Instance]:
    """Registers, then the others so that each follows those that drive it."""
    registers = [instance for instance in instances if instance.cell.flip_flop]
    others = [instance for instance in instances if not instance.cell.flip_flop]
    readers: dict[int, list[int]] = {}
    driven = {instance.pins[pin] for instance in others for pin in instance.cell.outputs}
    missing = [0] * len(others)
    for n, instance in enumerate(others):
        for pin in instance.cell.inputs:
            net = instance.pins[pin]
            if net in driven:
                missing[n] += 1
                readers.setdefault(net, []).append(n)
    ready = [n for n, count in enumerate(missing) if not count]
    for n in ready:  # grows
        for pin in others[n].cell.outputs:
            for reader in readers.get(others[n].pins[pin], ()):
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)
    if len(ready) < len(others):
        raise InputError("netlist", top, "has a combinational loop", "break it by a register")
    return registers + [others[n] for n in ready]
