"""Yosys and its ABC, from the pyosys package."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

_RUN = "from pyosys import libyosys; libyosys.Design().run_pass('tee -q -o yosys.log script script.ys')"


def run(commands: Iterable[str], directory: Path) -> str:
    """Runs commands in `directory` and returns the log.

    It is a process of its own: Yosys orders what it writes by what it has seen before.
    """
    (directory / "script.ys").write_text("\n".join(commands) + "\n")
    done = subprocess.run([sys.executable, "-c", _RUN], cwd=directory, text=True, capture_output=True,
                          check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {done.stderr[-2000:]}")
    return (directory / "yosys.log").read_text()


def prove(sources: Iterable[str], top: str, directory: Path, seconds: int,
          defines: Mapping[str, int] | None = None, prepare: Iterable[str] = ()) -> str:
    """Proves the assertions of SystemVerilog files in `directory`, for all time, by ABC.

    Power-up values are those of the registers; `assume` binds in the cycle and all before it. `prepare`:
    Yosys commands between reading the first source and the others.

    Returns:
        "proven", "refuted" or "undecided".
    """
    macros = "".join(f" -D{name}={value}" for name, value in (defines or {}).items())
    first, *others = (f"read_verilog -sv -formal{macros} {source}" for source in sources)
    run([
        first, *prepare, *others,
        f"hierarchy -check -top {top}", "proc", "flatten", "opt_expr", "opt_clean", "memory -nomap",
        "memory_map -formal", "opt -full", "chformal -lower", "async2sync",
        "formalff -clk2ff -ff2anyinit", "techmap", "opt -fast", "setundef -undriven -anyseq",
        "aigmap", "opt_clean", "write_aiger -zinit property.aig",
    ], directory)
    # Each engine works only where those before it found nothing: counterexamples (whose absence in the first
    # cycles is also the base of the induction), induction over two cycles, ABC's mix, reachability.
    text = _abc(["read_aiger property.aig", "fold", "strash", "orpos", "bmc3 -F 3", "ind -F 2 -C 100000",
                 f"dprove -T {seconds}", f"pdr -T {seconds}", "print_status"], directory)
    found = re.search(r"Status = (-?\d)", text)
    return {"1": "proven", "0": "refuted"}.get(found[1] if found else "", "undecided")


def _abc(commands: Iterable[str], directory: Path) -> str:
    """Runs ABC commands in `directory` and returns what they print."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None
    assert spec.submodule_search_locations
    tool = Path(spec.submodule_search_locations[0]) / "yosys-abc"
    done = subprocess.run([tool, "-q", "; ".join(commands)], cwd=directory, text=True, capture_output=True,
                          check=False)
    return done.stdout + done.stderr
