"""Synthesis of an accelerator onto a cell library: netlist, area and longest path by component."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rtl import verilog
from rtl.block import module_name
from rtl.synth import clock_gates, kinds, timing, yosys
from rtl.synth.liberty import Library
from sim.accelerator import Accelerator
from sim.errors import InputError, nearest
from sim.saved import Result
from sim.steps import steps

_PREFIX = module_name("")
_BLACK_BOX = module_name("sram")
_FANOUT = 4  # an output drives as many inputs of the driving cell
# A name that is no Verilog identifier, or is a word of the language, is escaped and ends with a space.
_INSTANCE = re.compile(r"^[ \t]+(\w+)\s+(?:#\s*\([^;]*?\)\s*)?(?:\\\S+\s+|[\w$]+\s*)\(", re.M)


@dataclass(frozen=True)
class Component:
    """One kind of component; figures of one instance, without the components in it.

    Attributes:
        instances: in the whole design.
        cells: by type.
        parts: components directly in it, by kind.
        area: in the library's unit, um2 in all that we know.
        flip_flops, flip_flop_area: of them registers.
        clock_sinks: registers and clock gates that the clock reaches in every cycle.
        path_ns: its longest path; None for a black box or where it has none.
        black_box: a memory that stays outside; it has no cells here.
    """

    kind: str
    instances: int
    cells: dict[str, int]
    parts: dict[str, int]
    area: float
    flip_flops: int
    flip_flop_area: float
    clock_sinks: int
    path_ns: float | None
    black_box: bool

    @property
    def total_area(self) -> float:
        """Of all instances."""
        return self.instances * self.area


@dataclass(frozen=True)
class Synthesis(Result):
    """A netlist and its figures; before placement, without wires and clock tree.

    Attributes:
        top: kind of the top component.
        library: name in its file.
        period_ns: for which the mapper chose cells.
        components: top first.
        timing: "opensta": `path_ns` covers a component with all that is in it; nets between
            components have no buffers, so that one signal to every PE of an array counts as a very
            slow one. "abc": only the component's own logic, between its ports and those of the
            components in it.
        netlist: Verilog, one module a component.
        no_opensta: why OpenSTA was not used, "" where it was.
    """

    top: str
    library: str
    period_ns: float
    components: tuple[Component, ...]
    timing: str
    netlist: str
    no_opensta: str = ""

    @property
    def verb(self) -> str:
        return "synth"

    @property
    def area(self) -> float:
        """Of the design without black boxes."""
        return sum(component.total_area for component in self.components)

    @property
    def flip_flop_area(self) -> float:
        return sum(component.instances * component.flip_flop_area for component in self.components)

    @property
    def flip_flops(self) -> int:
        return sum(component.instances * component.flip_flops for component in self.components)

    @property
    def clock_sinks(self) -> int:
        return sum(component.instances * component.clock_sinks for component in self.components)

    @property
    def cells(self) -> int:
        return sum(component.instances * sum(component.cells.values()) for component in self.components)

    @property
    def cell_names(self) -> set[str]:
        """Library cells of the netlist."""
        return {cell for component in self.components for cell in component.cells}

    @cached_property
    def by_kind(self) -> dict[str, Component]:
        return {component.kind: component for component in self.components}

    @property
    def path_ns(self) -> float | None:
        """Longest path; by abc the longest that lies within one component."""
        if self.timing == "opensta":
            return self.by_kind[self.top].path_ns
        return max((c.path_ns for c in self.components if c.path_ns is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        return {
            "top": self.top,
            "library": self.library,
            "period_ns": self.period_ns,
            "timing": self.timing,
            "no_opensta": self.no_opensta,
            "path_ns": self.path_ns,
            "cells": self.cells,
            "area_mm2": {component.kind: component.total_area * 1e-6 for component in self.components}
            | {"total": self.area * 1e-6},
            "flip_flop_area_mm2": self.flip_flop_area * 1e-6,
            "components": [
                {
                    "kind": c.kind,
                    "instances": c.instances,
                    "cells": sum(c.cells.values()),
                    "area_um2": c.area,
                    "flip_flops": c.flip_flops,
                    "flip_flop_area_um2": c.flip_flop_area,
                    "clock_sinks": c.clock_sinks,
                    "path_ns": c.path_ns,
                    "black_box": c.black_box,
                }
                for c in self.components
            ],
        }


def synthesize(accelerator: Accelerator, library: Library, *, component: str | None = None) -> Synthesis:
    """Synthesizes an accelerator, or one kind of its components with all that is in it, for its clock.

    Args:
        component: its kind, such as "sparse_pe"; None for the whole accelerator.

    Raises:
        InputError: unknown component.
    """
    return synthesize_part(verilog.modules(accelerator), accelerator, library, component)


def synthesize_part(
    texts: Mapping[str, str], accelerator: Any, library: Library, component: str | None
) -> Synthesis:
    """Of a machine of any kind whose Verilog is `texts`, the top module first: the whole, or a kind of component.

    Raises:
        InputError: unknown component.
    """
    kinds = [name.removeprefix(_PREFIX) for name in texts]
    if component is not None and component not in kinds:
        raise InputError(
            "component", component, f"{accelerator.name} has no such component", nearest(component, kinds)
        )
    top = next(iter(texts)) if component is None else module_name(component)
    return synthesize_modules(texts, top, library, 1e9 / accelerator.clock_hz, gated=accelerator.clock_gating)


def synthesize_modules(
    texts: Mapping[str, str], top: str, library: Library, period_ns: float, *, gated: bool = False
) -> Synthesis:
    """Synthesizes the module `top` of Verilog texts, each module once.

    Memories become flip-flops; modules whose names begin with `codeword_sram` stay black boxes.

    Args:
        gated: registers with a common enable get a clock gate of the library, too.

    Raises:
        InputError: the texts have clock gates, and the library none.
    """
    texts = reached(texts, top)
    if library.clock_gate is None and (gated or clock_gates.NAME in texts):
        raise InputError(
            "liberty",
            library.name,
            "lacks a clock-gating cell (latch_posedge) with its pins marked",
            "add the library's other files, or set clock_gating = false",
        )
    if library.latch is None and any(name.startswith(clock_gates.LATCHES) for name in texts):
        raise InputError(
            "liberty",
            library.name,
            "lacks a latch that is open while its enable is 1",
            "add the library's other files, or set wrf_latches = false",
        )
    no_opensta = timing.problem(library)
    found = map_modules(texts, library, period_ns, gated=gated)
    cells = {name: found[name].cells if name in found else {} for name in texts}
    paths = {name: kind.path_ns for name, kind in found.items() if kind.path_ns is not None}
    if not no_opensta:
        try:
            with tempfile.TemporaryDirectory() as scratch:
                paths = _paths(Path(scratch), found, cells, period_ns, library, output_load(library))
        except timing.TimingError as error:
            no_opensta = str(error)
    clocked = clock_gates.always_clocked({name: kind.netlist for name, kind in found.items()}, top)
    netlist = "\n".join(kind.netlist for kind in found.values())
    instances = _instances(cells, top)
    return Synthesis(
        top.removeprefix(_PREFIX),
        library.name,
        period_ns,
        tuple(
            _component(
                name, instances[name], cells[name], library, paths.get(name), found.get(name), name in clocked
            )
            for name in texts
        ),
        "abc" if no_opensta else "opensta",
        netlist,
        no_opensta,
    )


def output_load(library: Library) -> float:
    """What an output drives, fF."""
    driver = library.driver
    return _FANOUT * 1e15 * sum(driver.pins[pin].capacitance for pin in driver.inputs)


def map_modules(
    texts: Mapping[str, str], library: Library, period_ns: float, *, gated: bool = False
) -> dict[str, kinds.Mapped]:
    """Every module but black boxes on cells, by name; `gated`: registers with a common enable get a clock gate."""
    mapped = [name for name in texts if not name.startswith(_BLACK_BOX)]
    limits = f"set_driving_cell {library.driver.name}\nset_load {output_load(library)}\n"

    def one(name: str) -> kinds.Mapped:
        bodies = {part: _body(texts[part]) for part in (name, *_parts(texts, name))}
        return kinds.map_kind(bodies, name, library, period_ns, limits, gated=gated)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = steps(pool.map(one, mapped), "mapping onto cells", len(mapped))
        return dict(zip(mapped, told, strict=True))


def reached(texts: Mapping[str, str], top: str) -> dict[str, str]:
    """The modules at and under `top`, it first."""
    found: dict[str, str] = {}
    pending = [top]
    while pending:
        name = pending.pop(0)
        if name not in found:
            found[name] = texts[name]
            pending += _parts(texts, name)
    return found


def _parts(texts: Mapping[str, str], name: str) -> list[str]:
    """Modules of which `name` has instances."""
    return [part for part in dict.fromkeys(_INSTANCE.findall(texts[name])) if part in texts]


def _body(text: str) -> str:
    """Without the comment in front, which names the accelerator."""
    return text[re.search(r"^module ", text, re.M).start() :]  # type: ignore[union-attr]


def _paths(
    directory: Path,
    found: Mapping[str, kinds.Mapped],
    cells: Mapping[str, Mapping[str, int]],
    period_ns: float,
    library: Library,
    load_ff: float,
) -> dict[str, float]:
    """OpenSTA's longest path of each module; it reads only what is in it."""
    for name, kind in found.items():
        (directory / f"{name}.mapped.v").write_text(timing.plain(kind.netlist))
    tops = {name: [f"{part}.mapped.v" for part in _instances(cells, name) if part in found] for name in found}
    return timing.longest_paths(
        directory,
        yosys.write_library(library, directory),
        tops,
        period_ns=period_ns,
        driver=library.driver.name,
        load_ff=load_ff,
    )


def _instances(cells: Mapping[str, Mapping[str, int]], top: str) -> Counter[str]:
    found: Counter[str] = Counter()

    def visit(name: str, count: int) -> None:
        found[name] += count
        for part, times in cells[name].items():
            if part in cells:
                visit(part, count * times)

    visit(top, 1)
    return found


def _component(
    name: str,
    instances: int,
    found: Mapping[str, int],
    library: Library,
    path_ns: float | None,
    mapped: kinds.Mapped | None,
    clocked: bool,
) -> Component:
    cells = {cell: count for cell, count in found.items() if cell in library.cells}
    parts = {part.removeprefix(_PREFIX): count for part, count in found.items() if part not in cells}
    registers = {cell: count for cell, count in cells.items() if library.cells[cell].flip_flop}

    def area(counts: Mapping[str, int]) -> float:
        return sum(count * library.cells[cell].area for cell, count in counts.items())

    return Component(
        name.removeprefix(_PREFIX),
        instances,
        cells,
        parts,
        area(cells),
        sum(registers.values()),
        area(registers),
        clock_gates.sinks(mapped.netlist, library) if mapped and clocked and name != clock_gates.NAME else 0,
        path_ns,
        mapped is None,
    )
