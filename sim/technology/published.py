"""Technologies as somebody published them: energy of an access, area by size of the array."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sim.accelerator.systolic import Accelerator
from sim.errors import InputError
from sim.technology import dram
from sim.technology.base import Needs, needed
from sim.technology.provenance import Figure, Label, Strict, missing

_MB = 2**20


class Coefficient(Strict):
    value: float = Field(gt=0)
    label: Label
    source: str


class Fit(Strict):
    """constant + slope * units; `deviation` is the largest relative error on the table."""

    constant: float
    slope: float
    unit: Literal["PE", "port"]
    deviation: float


class Part(Strict):
    """An array or codebook RF: printed sizes, a fit elsewhere, the fields that both hold for."""

    table: dict[int, float] = Field({})
    label: Label = "table"
    source: str = ""
    fit: Fit | None = None
    needs: Needs = Field({})
    missing: str = ""

    def area(self, accelerator: Accelerator) -> Figure:
        """Area of this part on an accelerator."""
        if self.fit is None:
            return missing(self.missing)
        for field, value in self.needs.items():
            if (found := needed(accelerator, field)) != value:
                return missing(f"{self.source} holds for {field} = {value}, not {found}")
        size = _square_size(accelerator)
        if size in self.table:
            return Figure(self.table[size], self.label, self.source)
        units = accelerator.rows * accelerator.columns if self.fit.unit == "PE" else accelerator.columns / 16
        return Figure(
            self.fit.constant + self.fit.slope * units,
            "fit",
            f"fit to {self.source}",
            _beyond(accelerator, self.table) or f"within {self.fit.deviation:.0%} of it",
        )


class Memory(Strict):
    mm2_per_mb: float = Field(gt=0)
    table_bytes: list[int]
    source: str

    def area(self, size: int) -> Figure:
        """Area of `size` bytes."""
        label: Label = "table" if size in self.table_bytes else "fit"
        return Figure(self.mm2_per_mb * size / _MB, label, f"{self.source}, {self.mm2_per_mb} mm2/MB")


class Others(Strict):
    table: dict[int, float]
    source: str

    def area(self, accelerator: Accelerator) -> Figure:
        """Area of DMA, interface and interconnect."""
        size = _square_size(accelerator)
        if size in self.table:
            return Figure(self.table[size], "table", self.source)
        place = math.log2(accelerator.rows * accelerator.columns) / 2
        mm2 = float(np.interp(place, np.log2(list(self.table)), list(self.table.values())))
        beyond = _beyond(accelerator, self.table)
        how = "that of the largest" if beyond else "interpolated over log2 of the size"
        return Figure(mm2, "assumed", f"{self.source}, {how}", beyond)


ACCESSES = ("mac", "dram", "l2", "l1", "prf", "arf", "wrf", "crf", "rom")
"""Priced as multiples of a multiply-accumulate."""


class _Energy(Strict):
    mac_pj: Coefficient
    ratio: dict[str, Coefficient]

    @model_validator(mode="after")
    def _complete(self) -> _Energy:
        for name in sorted({*ACCESSES} ^ {*self.ratio}):
            problem, fix = ("unknown", "take it out") if name in self.ratio else ("missing", "add it")
            raise InputError(f"energy.ratio.{name}", None, problem, fix)
        return self


class Factor(Strict):
    """What an energy is at another node, as a multiple of that at this one."""

    energy: float = Field(gt=0)
    label: Label
    source: str
    uncertainty: str


class _Areas(Strict):
    array: dict[str, Part]
    crf: Part
    l1: Memory
    l2: Memory
    others: Others


class Published(Strict):
    """A technology of tables that somebody printed."""

    name: str
    description: str
    kind: Literal["published"]
    node_nm: int = Field(gt=0)
    energy: _Energy
    area: _Areas
    scaling: dict[int, Factor] = Field({})

    @property
    def access_pj(self) -> dict[str, float]:
        """pJ of one access by memory, and of one physical multiplication (`mac`)."""
        scale = self.energy.mac_pj.value
        return {name: scale * ratio.value for name, ratio in self.energy.ratio.items()}

    def energies(self, accelerator: Accelerator) -> dict[str, Figure]:
        """pJ of one access; the absolute scale is that of a MAC."""
        mac = self.energy.mac_pj
        scale = "" if mac.label == "table" else f"in units of a MAC; {mac.value} pJ {mac.label}: {mac.source}"
        found: dict[str, Figure] = {
            name: Figure(self.access_pj[name], ratio.label, ratio.source, scale)
            for name, ratio in self.energy.ratio.items()
        }
        if accelerator.dram:
            found["dram"] = dram.energy(accelerator.dram)
        return found

    def per_cycle(self, accelerator: Accelerator) -> dict[str, Figure]:
        """Nothing: MVQ counts accesses and multiplications only."""
        return {}

    def clock_pulses(self, accelerator: Accelerator) -> dict[str, float]:
        """None: MVQ counts no clock."""
        return {}

    def standing(self, accelerator: Accelerator) -> dict[str, Figure]:
        """Nothing, as above."""
        return {}

    def clock_limit(self, accelerator: Accelerator) -> Figure:
        return missing("the requested clock is the paper's")

    def areas(self, accelerator: Accelerator) -> dict[str, Figure]:
        """Area by component: array, crf (codebook machines), l1, l2, others."""
        kind = accelerator.dataflow + ("-sparse" if accelerator.sparse_tile else "")
        parts = {"array": self.area.array[kind].area(accelerator)}
        if accelerator.weights.books:
            parts["crf"] = self.area.crf.area(accelerator)
        elif accelerator.coded:
            parts["decoder"] = missing(f"nobody published one of {accelerator.format} with this array")
        return parts | {
            "l1": self.area.l1.area(accelerator.l1_bytes),
            "l2": self.area.l2.area(accelerator.l2_bytes),
            "others": self.area.others.area(accelerator),
        }


def _beyond(accelerator: Accelerator, table: dict[int, float]) -> str:
    """Says that an array has more PEs than the largest printed one; "" where it has not."""
    largest = max(table, default=0)
    if accelerator.rows * accelerator.columns <= largest**2:
        return ""
    return f"extrapolated beyond the {largest}x{largest} of the table"


def _square_size(accelerator: Accelerator) -> int | None:
    return accelerator.rows if accelerator.rows == accelerator.columns else None
