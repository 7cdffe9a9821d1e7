"""Verilog of a digit-serial machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rtl import owned, verilog
from rtl.block import module_name
from rtl.bus import register_text
from rtl.bus.register_map import register_map
from rtl.digit_serial.top import COUNTERS, FACE, DigitTop
from rtl.waivers import waivers
from sim.digit_serial.accelerator import DigitSerial

TOP = module_name(DigitTop.kind)


@cache
def modules(accelerator: DigitSerial) -> dict[str, str]:
    """Verilog text by module name, top module first.

    Raises:
        InputError: the accelerator's name cannot stand in Verilog.
    """
    acc = accelerator
    words = (
        f"{acc.name}, {acc.lanes} x {acc.lanes}, WRF {acc.wrf_depth}, {acc.tap_depth} taps, charges of "
        f"{acc.charge_bits} bits"
    )
    return verilog.texts(DigitTop(accelerator=acc), acc.name, words, gated=acc.clock_gating)


def ports(accelerator: DigitSerial) -> dict[str, int]:
    """Width of every port of the top module by name, clock, reset and scan aside."""
    members = DigitTop(accelerator=accelerator).signature.members
    return {name: member.shape for name, member in members.items()}


def export(accelerator: DigitSerial, directory: Path, *, force: bool = False) -> list[Path]:
    """Writes Verilog, waivers of lint, and the registers as a page and a C header.

    Returns:
        The Verilog files, top module first.

    Raises:
        InputError: a file of the user is in the way.
    """
    texts = {f"{name}.v": text for name, text in modules(accelerator).items()}
    registers = register_map(accelerator, COUNTERS, FACE)
    beside = {
        "lint.vlt": waivers(texts),
        "registers.md": register_text.markdown(registers),
        "codeword_registers.h": register_text.header(registers, FACE),
    }
    owned.write(directory, texts | beside, machine=accelerator.model_dump(mode="json"), force=force)
    return [directory / name for name in texts]
