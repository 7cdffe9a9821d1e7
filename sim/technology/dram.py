"""Off-chip memory by type: energy, and the times that the cycles of a machine follow from."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, model_validator

from sim.errors import InputError, nearest
from sim.technology.provenance import Figure, Label, Strict, missing

_FILE = Path(__file__).with_name("dram.toml")
_CONTROLLER_NS = 20.0
"""Of controller and PHY, there and back (gem5, `MemCtrl`: 10 ns each)."""


class Cycles(NamedTuple):
    """Off-chip memory as a machine sees it (docs/timing.md section 7), in cycles of the machine.

    Attributes:
        bits: that it brings in a cycle.
        latency: from a request to its first beat.
        row_bytes: of the rows that lie open at once.
        row_cycles: to open them.
    """

    bits: int
    latency: int
    row_bytes: int
    row_cycles: int


NAMELESS = Cycles(bits=64, latency=100, row_bytes=2048, row_cycles=9)
"""Of no type: 2.4 GB/s and 30 ns a row at 300 MHz; assumed."""


class Timing(Strict):
    """Of one device, module or stack. Channels are read side by side, and its banks one behind the other: while
    the rows of one bank come, those of the next one open, so that only the first of them is waited for.
    """

    width_bits: int = Field(gt=0)
    gbit_per_pin: float = Field(gt=0)
    cas_ns: float = Field(gt=0)
    activate_ns: float = Field(gt=0)
    precharge_ns: float = Field(gt=0)
    page_bytes: int = Field(gt=0)
    channels: int = Field(gt=0)
    banks: int = Field(gt=0)
    source: str = Field(min_length=1)

    @property
    def gb_per_s(self) -> float:
        """Peak, in 10^9 bytes a second."""
        return self.width_bits * self.gbit_per_pin / 8

    @property
    def latency_ns(self) -> float:
        """From a request to its first beat, where the row is open."""
        return self.cas_ns + _CONTROLLER_NS

    @property
    def row_bytes(self) -> int:
        """Of the rows of all channels and banks."""
        return self.page_bytes * self.channels * self.banks

    @property
    def row_ns(self) -> float:
        """To close a row and to open another."""
        return self.precharge_ns + self.activate_ns

    def cycles(self, clock_hz: float) -> Cycles:
        """Counted against a clock: whole bits, so that it is never faster than it is; whole cycles, so too.

        Raises:
            InputError: the clock is so fast that not a bit comes in a cycle.
        """
        bits = int(self.gb_per_s * 8e9 / clock_hz)
        if not bits:
            raise InputError(
                "clock_hz", clock_hz, f"{self.gb_per_s:g} GB/s bring no bit in a cycle", "lower it"
            )
        period = 1e9 / clock_hz
        return Cycles(bits, ceil(self.latency_ns / period), self.row_bytes, ceil(self.row_ns / period))


class Dram(Strict):
    """One type. `activation_pj`: of opening a row; `background_mw`: of a chip that does nothing."""

    pj_per_bit: float | None = Field(None, gt=0)
    activation_pj: float | None = Field(None, gt=0)
    background_mw: float | None = Field(None, gt=0)
    label: Label = "missing"
    source: str = ""
    missing: str = ""
    timing: Timing

    @model_validator(mode="after")
    def _explained(self) -> Dram:
        if (self.pj_per_bit is None) != bool(self.missing) or bool(self.missing) == bool(self.source):
            raise ValueError("give pj_per_bit with its source, or the reason in missing")
        return self


@lru_cache
def types() -> dict[str, Dram]:
    """All types by name."""
    return {name: Dram.model_validate(fields) for name, fields in tomllib.loads(_FILE.read_text()).items()}


def named(kind: str) -> Dram:
    """A type by name.

    Raises:
        InputError: unknown (with the nearest).
    """
    known = types()
    if kind not in known:
        raise InputError("dram", kind, "unknown", nearest(kind, known))
    return known[kind]


def energy(kind: str) -> Figure:
    """pJ of a byte.

    Raises:
        InputError: unknown type (with the nearest).
    """
    found = named(kind)
    if found.pj_per_bit is None:
        return missing(found.missing)
    return Figure(
        8 * found.pj_per_bit,
        found.label,
        f"{found.source}: {kind.upper()} {found.pj_per_bit} pJ/bit",
        "activation and background not known on their own",
    )
