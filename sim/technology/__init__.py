"""Coefficient tables with provenance: energy of an access, area of a component.

One TOML file a technology; every coefficient says where it comes from and how sure it is.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sim.accelerator import Accelerator
from sim.errors import InputError, nearest

Label = Literal["table", "derived", "fit", "counted", "measured", "assumed", "missing"]
_FOLDER = Path(__file__).parent
_MB = 2**20


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Area:
    """mm2 of one component; None when nobody published it, and then `source` is the reason."""

    mm2: float | None
    label: Label
    source: str


class Coefficient(_Strict):
    value: float = Field(gt=0)
    label: Label
    source: str


class Fit(_Strict):
    """constant + slope * units; `deviation` is the largest relative error on the table."""

    constant: float
    slope: float
    unit: Literal["PE", "port"]
    deviation: float


class Part(_Strict):
    """An array or codebook RF: printed sizes, a fit elsewhere, the fields that both hold for."""

    table: dict[int, float] = {}
    label: Label = "table"
    source: str = ""
    fit: Fit | None = None
    needs: dict[str, int] = {}
    missing: str = ""

    def area(self, accelerator: Accelerator) -> Area:
        """Area of this part on an accelerator."""
        if self.fit is None:
            return Area(None, "missing", self.missing)
        for field, needed in self.needs.items():
            found = _field(accelerator, field)
            if found != needed:
                return Area(None, "missing", f"{self.source} holds for {field} = {needed}, "
                            f"not {found}")
        size = _square_size(accelerator)
        if size in self.table:
            return Area(self.table[size], self.label, self.source)
        units = (accelerator.rows * accelerator.columns if self.fit.unit == "PE"
                 else accelerator.columns / 16)
        return Area(self.fit.constant + self.fit.slope * units, "fit",
                    f"fit to {self.source}, within {self.fit.deviation:.0%} of it")


class Memory(_Strict):
    mm2_per_mb: float = Field(gt=0)
    table_bytes: list[int]
    source: str

    def area(self, size: int) -> Area:
        """Area of `size` bytes."""
        label: Label = "table" if size in self.table_bytes else "fit"
        return Area(self.mm2_per_mb * size / _MB, label, f"{self.source}, {self.mm2_per_mb} mm2/MB")


class Others(_Strict):
    table: dict[int, float]
    source: str

    def area(self, accelerator: Accelerator) -> Area:
        """Area of DMA, interface and interconnect."""
        size = _square_size(accelerator)
        if size in self.table:
            return Area(self.table[size], "table", self.source)
        place = math.log2(accelerator.rows * accelerator.columns) / 2
        mm2 = float(np.interp(place, np.log2(list(self.table)), list(self.table.values())))
        return Area(mm2, "assumed", f"{self.source}, interpolated over log2 of the size")


class _Energy(_Strict):
    mac_pj: Coefficient
    ratio: dict[str, Coefficient]


class _Areas(_Strict):
    array: dict[str, Part]
    crf: Part
    l1: Memory
    l2: Memory
    others: Others


class Technology(_Strict):
    """The coefficients of one technology."""

    name: str
    description: str
    energy: _Energy
    area: _Areas

    @property
    def access_pj(self) -> dict[str, float]:
        """pJ of one access by memory, and of one physical multiplication (`mac`)."""
        scale = self.energy.mac_pj.value
        return {name: scale * ratio.value for name, ratio in self.energy.ratio.items()}

    def areas(self, accelerator: Accelerator) -> dict[str, Area]:
        """Area by component: array, crf (codebook machines), l1, l2, others."""
        kind = accelerator.dataflow + ("-sparse" if accelerator.sparse_tile else "")
        parts = {"array": self.area.array[kind].area(accelerator)}
        if accelerator.loader != "dense":
            parts["crf"] = self.area.crf.area(accelerator)
        return parts | {
            "l1": self.area.l1.area(accelerator.l1_bytes),
            "l2": self.area.l2.area(accelerator.l2_bytes),
            "others": self.area.others.area(accelerator),
        }


@lru_cache
def load(name: str) -> Technology:
    """A technology by name, or from a TOML file.

    Raises:
        InputError: unknown name (with the nearest), unreadable file, or a bad coefficient.
    """
    known = {path.stem: path for path in _FOLDER.glob("*.toml")}
    path = Path(name) if name.endswith(".toml") else known.get(name)
    if path is None:
        raise InputError("technology", name, "unknown", nearest(name, known))
    try:
        return Technology.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError("technology", name, str(error), "give a readable TOML file") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path.name}: {field}", first.get("input"), first["msg"],
                         "compare with sim/technology/mvq40.toml") from None


def _square_size(accelerator: Accelerator) -> int | None:
    return accelerator.rows if accelerator.rows == accelerator.columns else None


def _field(accelerator: Accelerator, field: str) -> int:
    if field == "codebook_bytes":
        return accelerator.codebook_entries * accelerator.codeword_length
    return int(getattr(accelerator, field))
