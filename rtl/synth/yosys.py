"""What synthesis hands to Yosys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtl.synth.liberty import Library
from rtl.yosys import installed, run

__all__ = ["installed", "run", "write", "write_library"]


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
