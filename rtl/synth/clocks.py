"""`python -m rtl.synth.clocks --liberty FILE... --preset NAME...`: the clock that accelerators reach, and what decides.

Static timing by OpenSTA over the whole mapped netlist, with buffers and sizes: slews and loads of the Liberty tables,
ideal clock, no wires; memories stay outside. Inputs come, and outputs are taken, at the clock edge.
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
from rtl.synth import flow, timing, whole, yosys
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


class TimedPath(NamedTuple):
    """From a register or port to a register or port, by names in the flat netlist; setup time included."""

    ns: float
    start: str
    end: str


class Timed(NamedTuple):
    """A whole netlist with buffers: the longest path between each pair of components, the longest first.

    Attributes:
        mapped_mm2, mm2: area of all cells as they were mapped, and with buffers and sizes; memories not counted.
    """

    paths: list[TimedPath]
    mapped_mm2: float
    mm2: float


def slowest_paths(acc: Accelerator, library: Library, period_ns: float, count: int = 3000) -> Timed:
    """Static timing of the netlist of an accelerator with buffers and sizes (`rtl.synth.whole`).

    Args:
        count: endpoints that are looked at, those of the longest paths.

    Raises:
        TimingError: OpenSTA cannot be used.
    """
    if problem := timing.problem(library):
        raise timing.TimingError(problem)
    texts = flow.reached(verilog.modules(acc), verilog.TOP)
    found = flow.map_modules(texts, library, period_ns, gated=acc.clock_gating)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        made = whole.optimize(found, verilog.TOP, library, directory)
        (directory / "netlist.v").write_text(made.netlist)
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
    return Timed(_paths(said, period_ns), 1e-6 * made.mapped_area, 1e-6 * made.area)


def _paths(said: str, period_ns: float) -> list[TimedPath]:
    longest: dict[tuple[str, str], TimedPath] = {}
    for report in said.split("Startpoint: ")[1:]:
        start = report.split()[0]
        end = re.findall(r"Endpoint: (\S+)", report)[0]
        slack = float(re.findall(r"(-?[\d.]+) +slack", report)[0])
        path = TimedPath(period_ns - slack, _plain(start), _plain(end))
        units = _unit(path.start), _unit(path.end)
        if units not in longest or longest[units].ns < path.ns:
            longest[units] = path
    return sorted(longest.values(), reverse=True)


def _plain(name: str) -> str:
    """Of a register, by what it holds; without its bit."""
    return re.sub(r"\[\d+\]$", "", name.replace("\\", "").rstrip("~"))


def _unit(name: str) -> str:
    """The component; tiles, PEs and lanes are alike."""
    return re.sub(r"(_\d+)+(?=\.|$)", "", name.rpartition(".")[0] or name)


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
        print("| accelerator | library | corner | MHz | ns | from | to | mm2 | as mapped |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name in given.preset:
            acc = accelerator.preset(name)
            timed = slowest_paths(acc, library, given.period or 1e9 / acc.clock_hz)
            areas = f"{timed.mm2:.2f}", f"{timed.mapped_mm2:.2f}"
            for path in timed.paths[: given.paths]:
                for corner, factor in corners(library):
                    ns = path.ns * factor
                    clock = f"{1000 / ns:.0f}", f"{ns:.2f}"
                    row = (name, library.name, corner, *clock, path.start, path.end, *areas)
                    print("| " + " | ".join(row) + " |", flush=True)
    except (InputError, timing.TimingError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
