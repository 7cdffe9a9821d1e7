"""Coefficients that a technology file gives: areas by size, energies of an event, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sim.accelerator.systolic import Accelerator
from sim.technology.banks import Bank, rom_bank
from sim.technology.base import Needs, needed
from sim.technology.provenance import Figure, Label, Strict, missing

SizeUnit = Literal["PE", "row", "column", "accelerator"]
_ROM_BANK = "rom_bank_bytes"


class Sourced(Strict):
    label: Label = "measured"
    source: str = ""
    uncertainty: str = ""
    missing: str = ""


class Sized(Sourced):
    """A component at some sizes: straight lines between them, or through 0 and the only one.

    Attributes:
        unit: what its size is counted in.
        um2, flip_flops: by size, with enables.
        gated_um2: with clock gates, empty where that was not synthesized.
        sinks: flip-flops and clock gates that have the clock every cycle, with clock gates.
        reached: flip-flops behind gates that a cycle can reach, of the words of a register file one; without
            it all behind gates.
        valid: smallest and largest size.
        needs: accelerator fields that it holds for.
    """

    unit: SizeUnit
    um2: dict[int, float]
    flip_flops: dict[int, int]
    gated_um2: dict[int, float] = Field({})
    sinks: dict[int, int] = Field({})
    reached: dict[int, int] = Field({})
    valid: tuple[int, int]
    needs: Needs = Field({})

    @model_validator(mode="after")
    def _complete(self) -> Sized:
        if not self.um2 or set(self.um2) != set(self.flip_flops):
            raise ValueError("give um2 and flip_flops of the same sizes")
        if set(self.gated_um2) != set(self.sinks) or not set(self.reached) <= set(self.sinks) <= set(
            self.um2
        ):
            raise ValueError("give gated_um2 and sinks of the same sizes, each one of um2")
        if min(self.um2.values()) <= 0 or min(self.flip_flops.values()) < 0:
            raise ValueError("areas are positive, and flip_flops not negative")
        if len(self.um2) > 1 and not min(self.um2) <= self.valid[0] <= self.valid[1] <= max(self.um2):
            raise ValueError("valid goes beyond the sizes")
        if not self.source:
            raise ValueError("say where it comes from in source")
        return self

    def area(self, accelerator: Accelerator) -> Figure:
        """mm2 on an accelerator."""
        gated = accelerator.clock_gating and self.gated_um2
        return self._at(self.gated_um2 if gated else self.um2, accelerator).times(1e-6)

    def registers(self, accelerator: Accelerator) -> Figure:
        """Flip-flops on an accelerator."""
        return self._at(self.flip_flops, accelerator)

    def clock_sinks(self, accelerator: Accelerator) -> Figure:
        """What takes the clock every cycle: with enables, or where gates were not synthesized, all flip-flops."""
        gated = accelerator.clock_gating and self.sinks
        return self._at(self.sinks if gated else self.flip_flops, accelerator)

    def behind_gates(self, accelerator: Accelerator) -> Figure:
        """Flip-flops behind gates that can have a pulse in one cycle."""
        if self.reached and accelerator.clock_gating:
            return self._at(self.reached, accelerator)
        sinks, every = self.clock_sinks(accelerator), self.registers(accelerator)
        return every if every.value is None else every.times(1 - (sinks.value or 0) / max(1, every.value))

    def _at(self, sizes: Mapping[int, float], accelerator: Accelerator) -> Figure:
        for field, wanted in self.needs.items():
            if (found := needed(accelerator, field)) != wanted:
                return missing(f"measured for {field} = {wanted}, not {found}")
        units = size_units(self.unit, accelerator)
        low, high = self.valid
        if not low <= units <= high:
            return missing(f"measured for {low} to {high} {self.unit}s, not {units}")
        if units in sizes:
            return Figure(sizes[units], self.label, self.source, self.uncertainty)
        if len(sizes) == 1:
            ((size, of_it),) = sizes.items()
            value = of_it * units / size
        else:
            known = sorted(sizes)
            value = float(np.interp(units, known, [sizes[size] for size in known]))
        return Figure(
            value,
            "fit",
            f"straight line through {' and '.join(map(str, sizes))} {self.unit}s: {self.source}",
            self.uncertainty,
        )


class Rom(Sourced):
    """Codebook ROM as a band: logic of random contents below, SRAM of the same size above.

    Attributes:
        um2: of a bank as logic by its bytes; log-log between.
    """

    um2: dict[int, float] = Field({})

    def area(self, bank: Bank, sram: Figure) -> Figure:
        """mm2 of all banks: the upper end of the band, with both ends told."""
        if not self.um2:
            return missing(self.missing)
        low, high = min(self.um2), max(self.um2)
        if not low <= bank.bytes <= high:
            return missing(f"ROM logic was synthesized for {low} to {high} bytes a bank, not {bank.bytes}")
        if bank.ports > 1:
            return missing(f"ROM logic was synthesized with one port, not {bank.ports}")
        if sram.value is None:
            return sram
        ends = sorted((1e-6 * bank.count * _log_log(self.um2, bank.bytes), sram.value))
        return Figure(
            ends[1],
            "assumed",
            f"upper end of a band, logic ({self.label}: {self.source}) to SRAM",
            f"{ends[0]:.3g} to {ends[1]:.3g} mm2",
        )


class Price(Sourced):
    """A coefficient of energy, or the reason why there is none.

    Attributes:
        by, at: an accelerator field, or `rom_bank_bytes`, and the value at some sizes of it, instead of
            `value`; log-log between.
    """

    value: float | None = Field(None, ge=0)
    by: str = ""
    at: dict[int, float] = Field({})

    @model_validator(mode="after")
    def _explained(self) -> Price:
        given = (self.value is not None) + bool(self.at) + bool(self.missing)
        if given != 1 or bool(self.at) != bool(self.by) or bool(self.missing) == bool(self.source):
            raise ValueError("give value, or at and by, with the source, or the reason in missing")
        if self.at and (min(self.at.values()) <= 0 or self.by not in (*Accelerator.model_fields, _ROM_BANK)):
            raise ValueError("at are positive values, by is an accelerator field")
        return self

    def figure(self, accelerator: Accelerator) -> Figure:
        """On an accelerator."""
        if self.value is not None:
            return Figure(self.value, self.label, self.source, self.uncertainty)
        if not self.at:
            return missing(self.missing)
        size = rom_bank(accelerator).bytes if self.by == _ROM_BANK else getattr(accelerator, self.by)
        known = sorted(self.at)
        if not known[0] <= size <= known[-1]:
            return missing(f"evaluated for {self.by} {known[0]} to {known[-1]}, not {size}")
        label = self.label if size in known else "fit"
        return Figure(_log_log(self.at, size), label, self.source, self.uncertainty)


def size_units(unit: SizeUnit, accelerator: Accelerator) -> int:
    """How many of them an accelerator has."""
    return {
        "PE": accelerator.rows * accelerator.columns,
        "row": accelerator.rows,
        "column": accelerator.columns,
        "accelerator": 1,
    }[unit]


def _log_log(points: Mapping[int, float], at: float) -> float:
    known = sorted(points)
    return float(np.exp(np.interp(np.log(at), np.log(known), [np.log(points[n]) for n in known])))
