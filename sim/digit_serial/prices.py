"""What the events and parts of a digit-serial machine take: measured on sg13g2 alone, by coefficients.toml."""

from __future__ import annotations

from sim.cost import Prices
from sim.digit_serial.accelerator import DigitSerial
from sim.technology import Figure
from sim.technology.provenance import missing


def of(acc: DigitSerial) -> Prices:
    none = missing("not measured yet")
    names = ("mac", "token", "l1", "store", "wrf", "l2", "dram")
    return Prices(
        acc, dict.fromkeys(names, none), {}, {}, {"array": none}, Figure(None, "assumed", "no limit")
    )
