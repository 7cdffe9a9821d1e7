"""Looking into a run of the RTL: probes of what its units do, and waves of its signals."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sim.errors import InputError

FORMS = (".fst", ".vcd")
"""Endings of wave files."""
WAVES = "waves"
"""Of the file that a simulation leaves in its folder, before the ending."""
HALF, FIRST = 2, 5
"""Units of time of a cycle in the shells of `rtl.verify.shells`, and when the bench's cycle 0 is visible."""


def time_of(cycle: int) -> int:
    """When the bench's cycle `now` is visible, in units of time."""
    return FIRST + HALF * cycle


@dataclass(frozen=True)
class Look:
    """What of a run is recorded.

    Attributes:
        probes: the bench prints when units are at work (`rtl.verify.probe`).
        rows: it prints every psum row and every word that goes to memory.
        waves: file that receives every signal below the bench, .fst or .vcd; None for none.
        cycles: of the bench (`now`), which the waves show.
    """

    probes: bool = False
    rows: bool = False
    waves: Path | None = None
    cycles: range = range(0)

    @property
    def form(self) -> str:
        """Ending of the wave file, or ""."""
        return "" if self.waves is None else self.waves.suffix

    def arguments(self, simulator: str) -> list[str]:
        """Of the simulation."""
        if self.waves is None:
            return []
        first, end = time_of(self.cycles.start), time_of(self.cycles.stop)
        fst = ["-fst"] if simulator == "icarus" and self.form == ".fst" else []
        return [*fst, f"+first={first}", f"+end={end}"]

    def collect(self, directory: Path) -> None:
        """Takes the wave file out of the folder of a simulation that is over."""
        if self.waves is not None:
            shutil.move(directory / f"{WAVES}{self.form}", self.waves)


NOTHING = Look()


MOST_CYCLES = 100_000
"""In waves of the engine, which keeps every register of them."""


def require_form(path: str | Path, simulator: str, window: range) -> None:
    """Raises InputError where a simulator writes no such waves, or they would show too much."""
    if len(window) > MOST_CYCLES:
        problem, fix = f"has over {MOST_CYCLES:,} cycles", "look at fewer"
        raise InputError("--window", f"{window.start}:{window.stop}", problem, fix)
    form = Path(path).suffix
    if form not in FORMS:
        raise InputError("--waves", str(path), "is no wave file", f"end its name in {' or '.join(FORMS)}")
    if simulator == "cxxrtl":
        raise InputError("--waves", str(path), "cxxrtl writes none here", "use icarus or verilator")
    if simulator == "verilator" and form == ".fst" and not _compresses():
        problem = "Verilator writes .fst with LZ4, whose header lz4.h is missing"
        raise InputError("--waves", str(path), problem, "apt-get install liblz4-dev, or name a .vcd file")


def _compresses() -> bool:
    command = ["g++", "-E", "-x", "c++", "-"]
    return (
        subprocess.run(command, input=b"#include <lz4.h>", capture_output=True, check=False).returncode == 0
    )


ICARUS = """\
  reg [63:0] first, last;
  initial if ($value$plusargs("first=%d", first) && $value$plusargs("end=%d", last)) begin
    $dumpfile("waves@form@");
    #first $dumpvars(0, bench.bench);
    #(last - first) $dumpoff;
  end
"""
"""Of the clock around the bench."""

VERILATOR_OPTIONS = {".fst": ["--trace-fst"], ".vcd": ["--trace-vcd"]}
VERILATOR = {".fst": ("verilated_fst_c.h", "VerilatedFstC"), ".vcd": ("verilated_vcd_c.h", "VerilatedVcdC")}
"""Header and class of a sink of waves."""
