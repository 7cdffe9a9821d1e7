"""Power and transition tables of Liberty files: units, look-up, arcs of a cell."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtl.synth.function import Expression
from rtl.synth.liberty import Cell, Group, Library, tree
from sim.errors import InputError

_CELL = re.compile(r"^\s*cell\s*\(", re.M)
_UNIT = re.compile(r"([\d.]+)\s*([munpf]?)([a-zA-Z]+)")
_SCALE = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_SLEW = {"input_transition_time", "input_net_transition", "related_pin_transition"}
_LOAD = {"total_output_net_capacitance"}
_THROUGH = {"", "combinational", "combinational_rise", "combinational_fall", "rising_edge", "falling_edge"}


@dataclass(frozen=True, eq=False)
class Table:
    """Values over input slew and output load, either, or neither; units of the library.

    Attributes:
        slews, loads: of rows and columns; empty where the value does not depend on it.
    """

    slews: list[float]
    loads: list[float]
    values: list[list[float]]

    def at(self, slew: float, load: float) -> float:
        """Bilinear; beyond the table the line goes on."""
        row, down = _place(self.slews, slew)
        column, right = _place(self.loads, load)
        across = [
            line[column] + (line[column + 1] - line[column]) * right if right else line[column]
            for line in (self.values[row : row + 2] if down else self.values[row : row + 1])
        ]
        return across[0] + (across[1] - across[0]) * down if down else across[0]


def _place(axis: list[float], value: float) -> tuple[int, float]:
    """Index before a value, and how far it lies between that and the next."""
    if len(axis) < 2:
        return 0, 0.0
    n = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return n, (value - axis[n]) / (axis[n + 1] - axis[n])


@dataclass(frozen=True, eq=False)
class Arc:
    """A group of `internal_power` or `timing`.

    Attributes:
        related: input pins; of an input's own power none.
        when: state for which it holds, None: any.
        sense: of timing.
        rise, fall: energy or transition at the pin's own edges.
    """

    related: tuple[str, ...]
    when: Expression | None
    sense: str
    rise: Table | None
    fall: Table | None

    def edge(self, rising: bool) -> Table | None:
        return self.rise if rising else self.fall


@dataclass(frozen=True)
class Leakage:
    """Watts in a state; `when` None: in those that no other covers."""

    when: Expression | None
    watts: float


class Tables:
    """What a library says of energy.

    Raises:
        InputError: units that are missing or differ between its files, or no power tables at all.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.files = ", ".join(str(file) for file in library.files)
        heads = [
            tree(text[: _end(text)] + "}", file)
            for text, file in zip(library.texts, library.files, strict=True)
        ]
        self._templates = {
            group.arguments[0]: group
            for head in heads
            for kind in ("lu_table_template", "power_lut_template")
            for group in head.all(kind)
        }
        self.volts = self._same(
            heads, "nom_voltage", lambda head: head.number("nom_voltage") * _unit(head.get("voltage_unit"))
        )
        self.farads = self._same(heads, "capacitive_load_unit", _farads)
        self._leak_watts = self._same(
            heads, "leakage_power_unit", lambda head: _unit(head.get("leakage_power_unit", "1nW"))
        )
        self.seconds = self._same(heads, "time_unit", lambda head: _unit(head.get("time_unit", "1ns")))
        self.revision = " ".join(heads[0].get(name) for name in ("revision", "date") if heads[0].get(name))
        if not any(cell.has_power for cell in library.cells.values()):
            raise self._lacks("power tables (internal_power)")
        self._power: dict[tuple[str, str], tuple[Arc, ...]] = {}
        self._timing: dict[tuple[str, str], tuple[Arc, ...]] = {}
        self._leakage: dict[str, tuple[Leakage, ...]] = {}

    @property
    def joules(self) -> float:
        """Unit of energy tables: capacitance times square volts."""
        return self.farads

    def power(self, cell: Cell, pin: str) -> tuple[Arc, ...]:
        """Supply energy at edges of a pin."""
        key = cell.name, pin
        if key not in self._power:
            if not cell.has_power and cell.inputs:
                raise self._lacks(f"power tables (internal_power) of cell {cell.name}")
            self._power[key] = tuple(self._arcs(cell, cell.pins[pin].power, "_power", "power"))
        return self._power[key]

    def transitions(self, cell: Cell, pin: str) -> tuple[Arc, ...]:
        """Output slew at edges of a pin."""
        key = cell.name, pin
        if key not in self._timing:
            arcs = [group for group in cell.pins[pin].timing if group.get("timing_type") in _THROUGH]
            self._timing[key] = tuple(self._arcs(cell, arcs, "_transition", ""))
            if cell.inputs and not any(arc.rise or arc.fall for arc in self._timing[key]):
                raise self._lacks(f"transition tables of cell {cell.name}, pin {pin}")
        return self._timing[key]

    def leakage(self, cell: Cell) -> tuple[Leakage, ...]:
        if cell.name not in self._leakage:
            groups = [group for group in cell.group.all("leakage_power") if not self._ground(cell, group)]
            found = [
                Leakage(group.expression("when"), group.number("value") * self._leak_watts)
                for group in groups
            ]
            if not any(leakage.when is None for leakage in found):
                watts = cell.group.number("cell_leakage_power") * self._leak_watts or float(
                    np.mean([leakage.watts for leakage in found] or [0.0])
                )
                found.append(Leakage(None, watts))
            self._leakage[cell.name] = tuple(found)
        return self._leakage[cell.name]

    def _ground(self, cell: Cell, group: Group) -> bool:
        """Of the ground: its charge is that of the supply once more."""
        pin = group.get("related_pg_pin")
        return bool(pin) and any(
            "ground" in found.get("pg_type") for found in cell.group.all("pg_pin") if pin in found.arguments
        )

    def _arcs(self, cell: Cell, groups: Iterable[Group], suffix: str, both: str) -> Iterator[Arc]:
        for group in groups:
            if self._ground(cell, group):
                continue
            edges = []
            for edge in ("rise", "fall"):
                found = next(group.all(edge + suffix), None) or next(group.all(both or edge + suffix), None)
                edges.append(self._table(cell, found) if found else None)
            yield Arc(
                tuple(group.get("related_pin").split()),
                group.expression("when"),
                group.get("timing_sense"),
                *edges,
            )

    def _table(self, cell: Cell, group: Group) -> Table:
        template = self._templates.get(group.arguments[0] if group.arguments else "", Group("", ()))
        axes: dict[str, np.ndarray] = {"slew": np.zeros(0), "load": np.zeros(0)}
        order = []
        for n in (1, 2, 3):
            variable = template.get(f"variable_{n}")
            if variable:
                index = _numbers(group.list(f"index_{n}") or template.list(f"index_{n}"))
                name = "slew" if variable in _SLEW else "load" if variable in _LOAD else ""
                if not name or name in order:
                    raise InputError(
                        "liberty",
                        self.files,
                        f"cell {cell.name}: a table over {variable} cannot be looked up",
                        "give tables over input slew and output load",
                    )
                axes[name] = np.array(index)
                order.append(name)
        shape = [max(1, len(axes[name])) for name in order or ("slew",)]
        found = np.array(_numbers(group.list("values")))
        if found.size != np.prod(shape):
            raise InputError(
                "liberty",
                self.files,
                f"cell {cell.name}: a table has {found.size} values, its indices say {int(np.prod(shape))}",
                "correct it, or fetch the file again",
            )
        found = found.reshape(shape)
        if order == ["load", "slew"]:
            found = found.T
        if order == ["load"]:
            found = found[None]
        return Table(
            axes["slew"].tolist(),
            axes["load"].tolist(),
            found.reshape(max(1, len(axes["slew"])), -1).tolist(),
        )

    def _same(self, heads, name, read):  # type: ignore[no-untyped-def]
        found = {read(head) for head in heads}
        if len(found) > 1:
            raise InputError(
                "liberty", self.files, f"its files differ in {name}", "give files of one library"
            )
        value = found.pop()
        if not value:
            raise self._lacks(name)
        return value

    def _lacks(self, what: str) -> InputError:
        return InputError(
            "liberty",
            self.files,
            f"lacks {what}, without which energy is not known",
            "give a library characterized for power",
        )

    @cached_property
    def input_slew(self) -> float:
        """Deep in a chain of the library's driver, each with four of them as its load."""
        cell = self.library.driver
        arcs = self.transitions(cell, cell.outputs[0])
        load = 4 * sum(cell.pins[pin].capacitance for pin in cell.inputs) / self.farads
        slew = 0.0
        for _ in range(30):
            found = [table.at(slew, load) for arc in arcs for table in (arc.rise, arc.fall) if table]
            slew = sum(found) / len(found)
        return slew


def _end(text: str) -> int:
    """Where the library's own attributes end and its cells begin."""
    match = _CELL.search(text)
    assert match is not None  # a library without cells was refused
    return match.start()


def _numbers(texts: Iterable[str]) -> list[float]:
    return [float(value) for text in texts for value in text.replace(",", " ").split()]


def _unit(text: str) -> float:
    match = _UNIT.fullmatch(text.strip())
    return float(match[1]) * _SCALE[match[2]] if match else 0.0


def _farads(head: Group) -> float:
    amount, name = head.list("capacitive_load_unit") or ("1", "pf")
    return float(amount) * _SCALE[name[0].lower()]
