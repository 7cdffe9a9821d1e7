"""Libraries and netlists for the tests of synthesis."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

import rtl.synth
from rtl import verilog
from rtl.synth import Library, Synthesis
from sim.accelerator import Accelerator, load

MINI = Path(rtl.synth.__file__).parent / "libraries" / "mini.lib"
_ROOT = Path(__file__).parents[3]
_OPEN = Path(os.environ.get("CODEWORD_LIBERTY", _ROOT.parent / "shared" / "liberty"))

# The open libraries are not part of the project; where there are some, they are tried too.
LIBRARIES = [
    MINI,
    *(
        pytest.param(folder, marks=pytest.mark.slow, id=folder.name)
        for folder in (sorted(_OPEN.iterdir()) if _OPEN.is_dir() else [])
        if folder.is_dir()
    ),
]


@cache
def library(path: Path) -> Library:
    return rtl.synth.read(path)


@cache
def accelerator(name: str, **overrides: object) -> Accelerator:
    """With enables: the mini library has no clock gates, and evidence/formal/gates.py proves both equal."""
    return load(name, {"clock_gating": False} | overrides)


@cache
def synthesis(machine: Accelerator, kind: str, path: Path) -> Synthesis:
    return rtl.synth.synthesize(machine, library(path), component=kind)


def broken(netlist: str, module: str) -> str:
    """One NAND of a module of a netlist of the mini library has become a NOR."""
    head, found, rest = netlist.partition(f"\nmodule {module}(")
    wrong = rest.replace("  NAND2 ", "  NOR2 ", 1)
    assert wrong != rest
    return head + found + wrong


__all__ = ["LIBRARIES", "MINI", "accelerator", "broken", "library", "synthesis", "verilog"]
