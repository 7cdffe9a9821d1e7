"""Verilog that somebody gives to be checked: an export, edited or not."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError

from rtl import owned, tables, verilog, zynq
from sim.accelerator import Accelerator
from sim.errors import InputError

_PLACE = re.compile(r"([^\s:'\"]+\.v):(\d+)(?::\d+)?: *(?:ERROR|error)?:? *(.*)")
"""File, line and complaint, as Icarus, Verilator and Yosys print them."""


def read(directory: Path, accelerator: Accelerator) -> dict[str, str]:
    """Verilog by file name.

    Raises:
        InputError: no Verilog, a file that is no text, or the export of another machine.
    """
    found = texts(directory)
    _require_machine(directory, accelerator)
    return found


def texts(directory: Path) -> dict[str, str]:
    """Verilog by file name, of whatever machine.

    Raises:
        InputError: none, or a file that is no text.
    """
    files = sorted(path for path in directory.glob("*.v") if path.name != zynq.WRAPPER)
    if not files:
        raise InputError("rtl", str(directory), "holds no Verilog", "export the accelerator there")
    return {path.name: tables.together(_text(path), directory) for path in files}


def blame(directory: Path, texts: dict[str, str], said: str) -> InputError:
    """What a simulator that could not build it said first of one of its files, or last of anything."""
    places = [(Path(name).name, line, problem) for name, line, problem in _PLACE.findall(said)]
    for name, line, problem in places:
        if name in texts:
            return InputError(
                "rtl",
                str(directory / name),
                f"line {line}: {problem.strip() or 'error'}",
                "correct it, or export the accelerator again",
            )
    last = places[0][2] if places else (said.strip().splitlines() or ["no reason"])[-1]
    return InputError(
        "rtl", str(directory), f"does not fit the test bench: {last.strip()}", "export the accelerator again"
    )


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            "rtl", str(path), f"no text: byte {error.start} is not UTF-8", "export it again"
        ) from None
    if "\0" in text:
        raise InputError("rtl", str(path), "no text: it holds a byte 0", "export it again")
    return text


def _require_machine(directory: Path, accelerator: Accelerator) -> None:
    """Raises InputError where the manifest says that another machine was exported, with other Verilog."""
    try:
        exported = Accelerator.model_validate(json.loads((directory / owned.MANIFEST).read_text())["machine"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return  # no export's own folder, or that of another version: its ports will tell
    fields = [
        name
        for name in type(accelerator).model_fields
        if name != "name" and getattr(exported, name) != getattr(accelerator, name)
    ]
    if not fields or _bodies(exported) == _bodies(accelerator):
        return
    name = fields[0]
    raise InputError(
        "rtl",
        str(directory),
        f"is the export of {exported.name}, with {name} = {getattr(exported, name)}; "
        f"{accelerator.name} has {name} = {getattr(accelerator, name)}",
        f"give it with -a {exported.name}, or export {accelerator.name}",
    )


def _bodies(accelerator: Accelerator) -> dict[str, str]:
    """Verilog without the comments in front, which name the machine."""
    return {name: text[text.index("\nmodule ") :] for name, text in verilog.modules(accelerator).items()}
