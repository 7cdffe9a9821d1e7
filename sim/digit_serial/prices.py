"""What the events and parts of a digit-serial machine take.

Cells were measured on one library, sg13g2.toml beside this file; memories and DRAM are those of the systolic machine's
technology of that name, and so are the price of a clock pulse, of its tree, and leakage.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from sim import technology
from sim.cost import Prices
from sim.digit_serial.accelerator import DigitSerial
from sim.errors import InputError
from sim.technology import Figure, dram, memory
from sim.technology.coefficients import Price
from sim.technology.provenance import Strict, missing, total
from sim.technology.synthesized import Synthesized

LIBRARY = "sg13g2"
ACCESSES = ("mac", "tap", "neuron", "l1", "store", "wrf", "l2", "dram")


class _Cells(Strict):
    """Square micrometres and clock sinks, of the parts that come S^2 times, S times, and once."""

    um2: float
    sinks: float
    label: str
    source: str


class Coefficients(Strict):
    """Of a cell library.

    Attributes:
        lanes: of the machine that was synthesized; others are `derived` from it.
        behind_gates: flip-flops of sequencer and pipeline that are not clocked in every cycle.
    """

    lanes: int
    max_hz: Price
    energy: dict[str, Price]
    cells: dict[str, _Cells]
    behind_gates: float


@cache
def coefficients() -> Coefficients:
    return Coefficients(**tomllib.loads(Path(__file__).with_name(f"{LIBRARY}.toml").read_text()))


def of(acc: Any) -> Prices:
    """Of a `DigitSerial`; the coefficients of a systolic technology that are taken depend on none of its fields.

    Raises:
        InputError: an unknown technology.
    """
    found = technology.load(acc.technology)
    if not isinstance(found, Synthesized) or found.name != LIBRARY:
        none = missing(
            f"ternary adders and neurons were not synthesized on {acc.technology}, only on {LIBRARY}"
        )
        return Prices(acc, dict.fromkeys(ACCESSES, none), {}, {}, {"array": none}, none)
    own, banks = coefficients(), _Banks(acc, found)
    energies = {name: _of_size(price.figure(acc), acc) for name, price in own.energy.items()}
    energies |= {"l1": banks.byte("l1"), "store": banks.byte("store"), "l2": banks.byte("l2")}
    energies["dram"] = dram.energy(acc.dram or found.dram)
    cells = {name: _cells(name, acc) for name in own.cells}
    per_mm2 = found.leakage_mw_per_mm2.figure(acc)
    leakage = {"cells": per_mm2.times(total(cells).value or 0.0)} | {
        name: banks.leakage(name) for name in banks.sizes
    }
    limit = _of_size(own.max_hz.figure(acc), acc)
    return Prices(
        acc,
        {name: energies[name] for name in ACCESSES},
        {"clock": _clock(acc, found)},
        {"leakage": total(leakage)},
        cells | {name: banks.area(name) for name in banks.sizes},
        limit,
    )


def _of_size(figure: Figure, acc: DigitSerial) -> Figure:
    """A figure that was measured at one number of lanes."""
    measured = coefficients().lanes
    if acc.lanes == measured:
        return figure
    return Figure(figure.value, "derived", f"{figure.source}, of {measured} lanes", figure.uncertainty)


def _times(name: str, acc: DigitSerial) -> int:
    return {"array": acc.lanes**2, "neurons": acc.lanes, "control": 1}[name]


def _cells(name: str, acc: DigitSerial) -> Figure:
    """mm2."""
    part = coefficients().cells[name]
    whole = Figure(1e-6 * part.um2 * _times(name, acc), "measured", part.source, "before placement, no wires")
    return _of_size(whole, acc)


def _clock(acc: Any, found: Synthesized) -> Figure:
    """pJ of a cycle at the registers that no gate keeps the clock from, and a share of those in the control."""
    own = coefficients()
    always = sum(part.sinks * _times(name, acc) for name, part in own.cells.items())
    active = found.clock_active.figure(acc).value or 0.0
    tree = found.clock_tree.figure(acc).value or 0.0
    pulse = found.clock_pj_per_flip_flop.figure(acc)
    return pulse.times((always + active * own.behind_gates) * (1 + tree))


class _Banks:
    """Its memories, by name: bytes, bits of a word, ports."""

    def __init__(self, acc: DigitSerial, found: Synthesized) -> None:
        self._found = found
        self.sizes = {
            "l1": (acc.l1_bytes, 2 * acc.lanes, 2),
            "store": (acc.store_bytes, 32 * acc.lanes, 2),
            "l2": (acc.l2_bytes, 64, 1),
        }

    def byte(self, name: str) -> Figure:
        """pJ, mean of a read and a write of a whole word."""
        width = self.sizes[name][1]
        return self._figure(name, "access_pj").times(8 / width)

    def area(self, name: str) -> Figure:
        return self._figure(name, "area_mm2")

    def leakage(self, name: str) -> Figure:
        return self._figure(name, "leakage_mw")

    def _figure(self, name: str, what: str) -> Figure:
        size, width, ports = self.sizes[name]
        assert self._found.memory.table is not None
        try:
            sram = memory.table(self._found.memory.table).memory(self._found.node_nm, size, width, ports)
        except InputError as error:
            return missing(str(error))
        return Figure(getattr(sram, what), sram.label, sram.source, sram.uncertainty)
