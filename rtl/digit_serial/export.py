"""Verilog of a digit-serial machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rtl import owned, verilog
from rtl.block import module_name
from rtl.digit_serial.top import DigitTop
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


def export(accelerator: DigitSerial, directory: Path, *, force: bool = False) -> list[Path]:
    """Writes Verilog and waivers of lint.

    Returns:
        The Verilog files, top module first.

    Raises:
        InputError: a file of the user is in the way.
    """
    texts = {f"{name}.v": text for name, text in modules(accelerator).items()}
    machine = accelerator.model_dump(mode="json")
    owned.write(directory, texts | {"lint.vlt": waivers(texts)}, machine=machine, force=force)
    return [directory / name for name in texts]
