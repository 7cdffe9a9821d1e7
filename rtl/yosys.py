"""Yosys and its ABC, from the pyosys package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterable
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


def abc(commands: Iterable[str], directory: Path) -> str:
    """Runs ABC commands in `directory` and returns what they print."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None and spec.submodule_search_locations
    tool = Path(spec.submodule_search_locations[0]) / "yosys-abc"
    done = subprocess.run([tool, "-q", "; ".join(commands)], cwd=directory, text=True, capture_output=True,
                          check=False)
    return done.stdout + done.stderr
