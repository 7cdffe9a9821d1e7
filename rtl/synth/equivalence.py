"""Proof by Yosys that a netlist does what the RTL says."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl.synth import yosys
from rtl.synth.flow import reached
from rtl.synth.liberty import Library

_COUNT = re.compile(r"Of those cells (\d+) are proven and (\d+) are unproven\.")


@dataclass(frozen=True)
class Proof:
    """Bits of registers and outputs, by whether netlist and RTL were shown equal."""

    proven: int
    unproven: int

    @property
    def holds(self) -> bool:
        return self.proven > 0 and not self.unproven


def prove(texts: Mapping[str, str], top: str, netlist: str, library: Library) -> Proof:
    """Compares the RTL module `top` with its netlist.

    Registers pair by name. Each output and next state is proven equal for all inputs and all states
    in which the pairs agree; what a register without reset holds at power-up is no part of it.
    The cells' functions are those that Yosys itself reads from the Liberty file.

    Returns:
        Not `holds` if a difference was found, or neither proof nor difference.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        files = yosys.write(reached(texts, top), directory)
        libraries = yosys.write_library(library, directory)
        (directory / "netlist.v").write_text(netlist)
        log = yosys.run(
            [
                *(f"read_verilog {file}" for file in files),
                f"hierarchy -check -top {top}",
                "proc",
                "flatten",
                "memory -nomap",
                "opt_clean",
                "memory_map",
                "opt_clean",
                "design -stash gold",
                *(f"read_liberty -ignore_miss_func {name}" for name in libraries),
                "read_verilog netlist.v",
                f"hierarchy -check -top {top}",
                "flatten",
                "opt_clean",
                "design -stash gate",
                f"design -copy-from gold -as gold {top}",
                f"design -copy-from gate -as gate {top}",
                "equiv_make gold gate equiv",
                "hierarchy -top equiv",
                "async2sync",
                "opt_clean",
                "equiv_simple",
                "equiv_induct -seq 2",
                "equiv_status",
            ],
            directory,
        )
    counts = _COUNT.findall(log)
    if not counts:
        raise RuntimeError(f"Yosys compared nothing:\n{log[-2000:]}")
    proven, unproven = counts[-1]
    return Proof(int(proven), int(unproven))
