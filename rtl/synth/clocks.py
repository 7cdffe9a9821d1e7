"""`python -m rtl.synth.clocks --liberty FILE... --preset NAME...`: the clock that accelerators reach, and what decides.

Static timing by OpenSTA over the whole hierarchy of the mapped netlist: slews and loads of the Liberty tables, ideal
clock, no wires; memories stay outside. Inputs come, and outputs are taken, at the clock edge.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rtl import verilog
from rtl.synth import flow, timing, yosys
from rtl.synth.kinds import Mapped
from rtl.synth.liberty import Library, read
from sim import accelerator
from sim.accelerator import Accelerator
from sim.errors import InputError

SLOWEST = {"sg13g2_stdcell": 1.6}
"""Delay of the slow corner over the typical one, by a part of the library's name, where only the typical file is there
(assumed). SG13G2: arcs of sg13g2_a21o_2 in slow_1p08V_125C and typ_1p20V_25C of IHP-Open-PDK differ by 1.40 to 1.56 at
the same slew and load, the slews that they hand on by 1.52 to 1.65.
"""
_WORST = "report_checks -path_delay max -group_count {count} -endpoint_count 1 -format full -digits 4"
_CLOCKED = re.compile(r"^  \S+ +(\S+) +\(\n((?:    \.\w+\(.*\),?\n)+)  \);", re.M)


class TimedPath(NamedTuple):
    """From a register or port to a register or port, by the hierarchy of instances; setup time included."""

    ns: float
    start: str
    end: str


def slowest_paths(acc: Accelerator, library: Library, period_ns: float, count: int = 300) -> list[TimedPath]:
    """The longest path between each pair of components, the longest first, of as many endpoints as `count` says.

    Raises:
        TimingError: OpenSTA cannot be used.
    """
    if problem := timing.problem(library):
        raise timing.TimingError(problem)
    texts = flow.reached(verilog.modules(acc), verilog.TOP)
    found = flow.map_modules(texts, library, period_ns, gated=acc.clock_gating)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "netlist.v").write_text("\n".join(timing.plain(kind.netlist) for kind in found.values()))
        said = timing.run(
            directory,
            [
                *(f"read_liberty {name}" for name in yosys.write_library(library, directory)),
                "set_cmd_units -time ns -capacitance fF",
                "read_verilog netlist.v",
                f"link_design {verilog.TOP}",
                timing.constraints(period_ns, library.driver.name, flow.output_load(library)),
                _WORST.format(count=count),
            ],
        )
    return _paths(said, period_ns, found)


def _paths(said: str, period_ns: float, found: dict[str, Mapped]) -> list[TimedPath]:
    longest: dict[tuple[str, str], TimedPath] = {}
    for report in said.split("Startpoint: ")[1:]:
        start = report.split()[0]
        end = re.findall(r"Endpoint: (\S+)", report)[0]
        slack = float(re.findall(r"(-?[\d.]+) +slack", report)[0])
        path = TimedPath(period_ns - slack, _register(start, found), _register(end, found))
        units = tuple(place.rpartition("/")[0] for place in path[1:])
        longest.setdefault(units, path)  # type: ignore[arg-type]
    return sorted(longest.values(), reverse=True)


def _register(instance: str, found: dict[str, Mapped]) -> str:
    """The instance, by the name of what its register holds."""
    parents, _, cell = instance.rpartition("/")
    if not cell.startswith("$"):
        return instance
    kind = verilog.TOP
    for name in parents.split("/") if parents else []:
        kind = re.findall(rf"^  (\w+) \\?{re.escape(name)} +\(", found[kind].netlist, re.M)[0]
    for name, pins in _CLOCKED.findall(found[kind].netlist):
        if name == f"\\{cell}":
            held = re.findall(r"\.Q\w*\((.*?)\s*\)", pins)
            return "/".join(filter(None, (parents, held[0] if held else cell)))
    return instance


def corners(library: Library) -> Iterable[tuple[str, float]]:
    """Names of corners, and their delays over those of the library."""
    yield "as characterized", 1.0
    yield from (
        (f"slow, {factor} times (assumed)", factor)
        for part, factor in SLOWEST.items()
        if part in library.name
    )


def main(arguments: list[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m rtl.synth.clocks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--liberty", nargs="+", required=True, metavar="FILE", help="files of one library, or a folder"
    )
    parser.add_argument("--preset", nargs="+", required=True)
    parser.add_argument(
        "--period", type=float, help="ns that the mapper aims at; default that of the preset's clock"
    )
    parser.add_argument("--paths", type=int, default=1, help="paths to list, between different components")
    given = parser.parse_args(arguments)
    try:
        library = read(*given.liberty)
        print("| accelerator | library | corner | MHz | ns | from | to |\n|---|---|---|---|---|---|---|")
        for name in given.preset:
            acc = accelerator.preset(name)
            for path in slowest_paths(acc, library, given.period or 1e9 / acc.clock_hz)[: given.paths]:
                for corner, factor in corners(library):
                    ns = path.ns * factor
                    row = (name, library.name, corner, f"{1000 / ns:.0f}", f"{ns:.2f}", path.start, path.end)
                    print("| " + " | ".join(row) + " |", flush=True)
    except (InputError, timing.TimingError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
