"""Yosys and its ABC, from the pyosys package."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

_RUN = "from pyosys import libyosys; libyosys.Design().run_pass('tee -q -o yosys.log script script.ys')"


def run(commands: Iterable[str], directory: Path) -> str:
    """Runs commands in `directory` and returns the log.

    It is a process of its own: Yosys orders what it writes by what it has seen before.

    Raises:
        RuntimeError: Yosys stopped; the message holds the end of the log.
    """
    (directory / "script.ys").write_text("\n".join(commands) + "\n")
    # ABC keeps a copy of every library it has read in the temporary directory; this one goes away.
    done = subprocess.run(
        [sys.executable, "-c", _RUN],
        cwd=directory,
        text=True,
        capture_output=True,
        check=False,
        env=os.environ | {"TMPDIR": str(directory)},
    )
    log = directory / "yosys.log"
    text = log.read_text() if log.exists() else ""
    if done.returncode:
        raise RuntimeError(f"Yosys failed:\n{(text + done.stderr)[-2000:]}")
    return text


def installed() -> Path:
    """Directory of the package."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def engines(name: str, seconds: int, cycles: int) -> list[list[str]]:
    """ABC commands of a way to prove: attempts, each from the start, until one decides."""
    return {
        # Reachability soon has what it can have; then ABC's mix, then reachability with patience.
        "mixed": [["pdr -T 10"], [f"dprove -T {seconds}"], [f"pdr -T {seconds}"]],
        # Equal nodes merged; for wide arithmetic.
        "sweeping": [[f"dprove -T {seconds}"]],
        "reachability": [[f"pdr -T {seconds}"]],
        # Equal registers first; nothing else may be left.
        "correspondence": [["orpos", "scorr", f"{way} -T {seconds}"] for way in ("pdr", "dprove")],
        # Four cycles without a counterexample are the base of the step over three.
        "induction": [["orpos", "bmc3 -F 4"], ["orpos", "ind -F 3 -C 0"]],
        "bounded": [[f"bmc3 -F {cycles} -T {seconds}"]],
    }[name]


def connected(
    sources: Iterable[str], top: str, defines: Mapping[str, int] | None = None, prepare: Iterable[str] = ()
) -> list[str]:
    """Commands that read SystemVerilog files and connect what is below `top`: a port that is not there is an error.

    `prepare`: commands between reading the first source and the others.
    """
    macros = "".join(f" -D{name}={value}" for name, value in (defines or {}).items())
    first, *others = (f"read_verilog -sv -formal{macros} {source}" for source in sources)
    return [first, *prepare, *others, f"hierarchy -check -top {top}"]


def prove(
    sources: Iterable[str],
    top: str,
    directory: Path,
    seconds: int,
    defines: Mapping[str, int] | None = None,
    prepare: Iterable[str] = (),
    engine: str = "mixed",
    cycles: int = 0,
    *,
    gated: bool = False,
) -> str:
    """Proves the assertions of SystemVerilog files in `directory` by ABC.

    Power-up values are those of the registers; `assume` binds in the cycle and all before it. `defines`, `prepare`:
    see `connected`; `engine`: see `engines`; `cycles`: of the bounded one.

    Returns:
        "proven" for all time, "refuted", "undecided", or "bounded": no counterexample in the first `cycles`
        cycles.
    """
    one_clock = ["chformal -lower", "async2sync", "formalff -clk2ff -ff2anyinit"]
    run(
        [
            *connected(sources, top, defines, prepare),
            "proc",
            "flatten",
            "opt_expr",
            "opt_clean",
            "memory -nomap",
            "memory_map" if gated else "memory_map -formal",
            "opt -full",
            *(["chformal -lower", "clk2fflogic"] if gated else one_clock),
            "techmap",
            "opt -fast",
            "setundef -undriven -anyseq",
            "aigmap",
            "opt_clean",
            "write_aiger -zinit property.aig",
        ],
        directory,
    )
    text = ""
    for attempt in engines(engine, seconds, cycles):
        text = _abc(["read_aiger property.aig", "fold", "strash", *attempt, "print_status"], directory)
        found = re.findall(r"Status = (-?\d)", text)
        if "0" in found:
            return "refuted"
        if "1" in found:
            return "proven"
    return "bounded" if f"No output asserted in {cycles} frames" in text else "undecided"


def _abc(commands: Iterable[str], directory: Path) -> str:
    """Runs ABC commands in `directory` and returns what they print."""
    tool = installed() / "yosys-abc"
    done = subprocess.run(
        [tool, "-q", "; ".join(commands)], cwd=directory, text=True, capture_output=True, check=False
    )
    return done.stdout + done.stderr
