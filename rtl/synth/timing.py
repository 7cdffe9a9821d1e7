"""Longest paths of a netlist by OpenSTA, where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtl.synth import yosys
from rtl.synth.liberty import Library

_SLACK = re.compile(r"^path (\S+)\n(?:.*\n)*?worst slack (\S+)", re.M)

SDC = """\
create_clock -name boundary -period {period_ns}
create_clock -name clk -period {period_ns} [get_ports clk]
set_input_delay 0 -clock boundary [get_ports {{{inputs}}}]
set_output_delay 0 -clock boundary [all_outputs]
"""
"""Constraints of the whole accelerator: inputs come, and outputs are taken, at the clock edge."""

_CONSTRAINTS = """\
create_clock -name boundary -period {period_ns}
if {{[llength [get_ports -quiet clk]]}} {{ create_clock -name clk -period {period_ns} [get_ports clk] }}
set inputs {{}}
foreach port [all_inputs] {{ if {{[get_name $port] ne "clk"}} {{ lappend inputs $port }} }}
set_input_delay 0 -clock boundary $inputs
set_output_delay 0 -clock boundary [all_outputs]
set_driving_cell -lib_cell {driver} $inputs
set_load {load_ff} [all_outputs]
"""


_PROBE = "probe"


def constraints(period_ns: float, driver: str, load_ff: float) -> str:
    """Clock, and what drives and loads the ports, in the Synopsys Design Constraints (Tcl) that OpenSTA reads."""
    return _CONSTRAINTS.format(period_ns=period_ns, driver=driver, load_ff=load_ff)


def plain(netlist: str) -> str:
    """Without signed wires and ports, which OpenSTA of 2019 does not know."""
    return re.sub(r"\b(wire|input|output) signed \[", r"\1 [", netlist)


class TimingError(RuntimeError):
    """OpenSTA did not give every path."""


def problem(library: Library) -> str:
    """Why OpenSTA cannot be used with a library, "" if it can; asked of a netlist of one cell.

    An old OpenSTA does not know every command of the script, and mapping takes minutes before it would say so.
    """
    if shutil.which("sta") is None:
        return "OpenSTA is not installed"
    driver = library.driver
    pins = ", ".join([*(f".{pin}(a)" for pin in driver.inputs), f".{driver.outputs[0]}(y)"])
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "probe.v").write_text(
            f"module {_PROBE}(input a, output y);\n  {driver.name} cell_ ({pins});\nendmodule\n"
        )
        try:
            longest_paths(
                directory,
                yosys.write_library(library, directory),
                {_PROBE: ["probe.v"]},
                period_ns=1,
                driver=driver.name,
                load_ff=1,
            )
        except TimingError as error:
            return f"{error}; it may be too old"
    return ""


def longest_paths(
    directory: Path,
    libraries: Sequence[str],
    tops: Mapping[str, Sequence[str]],
    *,
    period_ns: float,
    driver: str,
    load_ff: float,
) -> dict[str, float]:
    """Nanoseconds of the longest path of each module with all that is in it, setup times included.

    Paths run between registers, inputs (at time 0) and outputs; clocks are ideal, wires weigh nothing.

    Args:
        tops: for each module to look at, the Verilog files that hold it and all that is in it.

    Raises:
        TimingError: OpenSTA failed; the message ends with the last line that it said.
    """
    script = [*(f"read_liberty {name}" for name in libraries), "set_cmd_units -time ns -capacitance fF"]
    limits = constraints(period_ns, driver, load_ff)
    for top, files in tops.items():
        # Linking forgets what was read before.
        script += [f"read_verilog {file}" for file in files]
        script += [f"link_design {top}", limits, f'puts "path {top}"', "report_worst_slack -digits 4"]
    found = dict(_SLACK.findall(said := run(directory, script)))
    if not set(tops) <= set(found):
        raise _failed(said)
    return {top: period_ns - float(slack) for top, slack in found.items() if slack != "INF"}


def run(directory: Path, script: Sequence[str]) -> str:
    """What OpenSTA prints; it runs in `directory`.

    Raises:
        TimingError: it failed.
    """
    (directory / "timing.tcl").write_text("\n".join(script) + "\n")
    done = subprocess.run(
        ["sta", "-no_splash", "-exit", "timing.tcl"],
        cwd=directory,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode or "Error:" in done.stderr:
        raise _failed(done.stdout + done.stderr)
    return done.stdout


def _failed(said: str) -> TimingError:
    lines = said.strip().splitlines() or ["nothing"]
    return TimingError(f"OpenSTA failed and said: {lines[-1].strip()[:200]}")
