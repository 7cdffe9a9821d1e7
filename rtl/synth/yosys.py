"""Runs Yosys in a process of its own, so that its names do not depend on what ran before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtl.synth.liberty import Library

_YOSYS = "from pyosys import libyosys; libyosys.Design().run_pass('tee -q -o yosys.log script script.ys')"
_LOG_TAIL = 2000


def run(script: Sequence[str], directory: Path) -> str:
    """Runs a script in a directory and returns its log.

    Raises:
        RuntimeError: Yosys stopped; the message holds the end of the log.
    """
    (directory / "script.ys").write_text("\n".join(script) + "\n")
    # abc keeps a copy of every library it has read in the temporary directory; this one goes away.
    done = subprocess.run([sys.executable, "-c", _YOSYS], cwd=directory, text=True, capture_output=True,
                          check=False, env=os.environ | {"TMPDIR": str(directory)})
    log = directory / "yosys.log"
    text = log.read_text() if log.exists() else ""
    if done.returncode:
        raise RuntimeError(f"Yosys failed:\n{(text + done.stderr)[-_LOG_TAIL:]}")
    return text


def write(texts: Mapping[str, str], directory: Path) -> list[str]:
    """Writes Verilog texts by module name; returns the file names."""
    for name, text in texts.items():
        (directory / f"{name}.v").write_text(text)
    return [f"{name}.v" for name in texts]


def write_library(library: Library, directory: Path) -> list[str]:
    """Writes the unpacked files of a library; returns the file names."""
    names = [f"library_{number}.lib" for number in range(len(library.texts))]
    for name, text in zip(names, library.texts, strict=True):
        (directory / name).write_text(text)
    return names
