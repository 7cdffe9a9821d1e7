"""Synthesis of one kind of component; what is in it stays a black box. Results are kept by content."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rtl.synth import clock_gates, yosys
from rtl.synth.liberty import Library
from sim import caches

_DELAY = re.compile(r"Delay =\s*([\d.]+) ps")
SHARE = 0.6
"""Of the period: what a component may take between its ports before it is mapped for speed; its paths go on outside."""
SCRIPTS = {
    # Yosys's own script saves area first, and turns every fast carry chain into a ripple on the way.
    "small": "",
    "fast": "&get -n; &st; &dch; &nf; &put; buffer -c; topo; upsize {D}; dnsize {D}; stime -p",
    "fastest": "strash; &get -n; &fraig -x; &put; scorr; dch -f; map -B 0.9 {D}; topo; buffer -c; upsize {D}; "
    "dnsize {D}; stime -p",
}
"""Ways of ABC to map, tried in this order until one is fast enough; else the fastest result counts."""


@dataclass(frozen=True)
class Mapped:
    """One module on cells.

    Attributes:
        netlist: Verilog.
        cells: of the library and black boxes, by type.
        path_ns: abc's longest path between its ports and those of what is in it; None where it has none.
    """

    netlist: str
    cells: dict[str, int]
    path_ns: float | None


def map_kind(
    texts: Mapping[str, str],
    name: str,
    library: Library,
    period_ns: float,
    limits: str,
    *,
    gated: bool = False,
) -> Mapped:
    """Maps the module `name`; the other texts are of the modules in it.

    Args:
        limits: abc's driving cell and load.
        gated: registers with a common enable get a clock gate.
    """
    if name == clock_gates.NAME:
        gate = library.clock_gate
        assert gate is not None
        return Mapped(clock_gates.wrapper(gate), {gate.name: 1}, None)
    if name.startswith(clock_gates.LATCHES):
        assert library.latch is not None
        netlist, width = clock_gates.latches(library.latch, texts[name])
        return Mapped(netlist, {library.latch.name: width}, None)
    scripts = _scripts(texts, name, library, period_ns, gated=gated)
    given = (
        scripts,
        SCRIPTS,
        sorted(texts.items()),
        library.texts,
        limits,
        clock_gates.resets_as_data(),
        _tool(),
    )
    key = hashlib.sha256(repr(given).encode())
    kept = caches.user("synth") / f"{key.hexdigest()[:32]}.json"
    if kept.exists():
        return Mapped(**json.loads(kept.read_text()))
    mapped = _run(texts, name, library, scripts, SHARE * period_ns, limits)
    with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False) as staging:
        json.dump(asdict(mapped), staging)
    os.replace(staging.name, kept)
    return mapped


def _run(
    texts: Mapping[str, str],
    name: str,
    library: Library,
    scripts: tuple[list[str], list[list[str]]],
    enough_ns: float,
    limits: str,
) -> Mapped:
    """Runs the first script, and those behind it in turn until one is fast enough."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        yosys.write(texts, directory)
        yosys.write_library(library, directory)
        (directory / "limits.txt").write_text(limits)
        (directory / clock_gates.RULES).write_text(clock_gates.resets_as_data())
        for file, commands in _abc_files(enough_ns / SHARE).items():
            (directory / file).write_text(commands)
        first, ways = scripts
        yosys.run(first, directory)
        results = []
        for way in ways:
            yosys.run(way, directory)
            results.append(_result(directory, name))
            if (results[-1].path_ns or 0) <= enough_ns:
                break
        return min(results, key=lambda mapped: mapped.path_ns or 0)


def _result(directory: Path, name: str) -> Mapped:
    found = json.loads((directory / "cells.json").read_text())["modules"]
    delays = _DELAY.findall((directory / "abc.log").read_text())
    return Mapped(
        (directory / "netlist.v").read_text(),
        found.get(f"\\{name}", {}).get("num_cells_by_type", {}),
        float(delays[-1]) / 1000 if delays else None,
    )


def _abc_files(period_ns: float) -> dict[str, str]:
    """The scripts for ABC by file name."""
    target = f"-D {round(period_ns * 1000)}"
    return {
        f"{way}.abc": commands.replace("{D}", target).replace("; ", "\n") + "\n"
        for way, commands in SCRIPTS.items()
    }


def _scripts(
    texts: Mapping[str, str], name: str, library: Library, period_ns: float, *, gated: bool
) -> tuple[list[str], list[list[str]]]:
    """Commands for Yosys: up to the mapping of logic, and from there on in each way."""
    given = " ".join(f"-liberty library_{number}.lib" for number in range(len(library.texts)))
    unused = "".join(f" -dont_use {cell.name}" for cell in library.cells.values() if not cell.usable)
    ties = []
    if library.ties:
        (low, low_pin), (high, high_pin) = library.ties
        ties = [f"hilomap -singleton -locell {low.name} {low_pin} -hicell {high.name} {high_pin}"]
    first = [
        f"read_verilog {name}.v",
        *(f"read_verilog -lib {part}.v" for part in texts if part != name),
        # The mapper's own abc run follows; the generic one would only cost time and area.
        f"synth -noabc -booth -top {name}",
        *(clock_gates.insertion(library.clock_gate) if gated and library.clock_gate else []),
        f"dfflibmap {given}{unused}",
        "write_rtlil unmapped.il",
    ]
    behind = [
        "setundef -zero",
        *ties,
        "opt_clean -purge",
        # Private names stay private, so that none meets a name of the RTL by accident. OpenSTA of 2019 knows no
        # concatenation to the left of an assignment.
        "write_verilog -noattr -norename -simple-lhs netlist.v",
        "tee -q -o cells.json stat -json",
    ]
    ways = []
    for way, commands in SCRIPTS.items():
        chosen = f" -script {way}.abc" if commands else ""
        limits = f"-D {round(period_ns * 1000)} -constr limits.txt{chosen} {name}"
        ways.append(["read_rtlil unmapped.il", f"tee -q -o abc.log abc {given}{unused} {limits}", *behind])
    return first, ways


def _tool() -> int:
    return yosys.installed().stat().st_mtime_ns
