"""Technologies of an open cell library: our own RTL synthesized, SRAM from tables, DRAM by type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal, get_args

import numpy as np
from pydantic import Field, model_validator

from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats import named
from sim.technology import dram, memory
from sim.technology.memory import Sram
from sim.technology.provenance import Figure, Label, Strict, missing, total

Access = Literal["arf", "wrf", "prf", "crf", "rom", "mac"]
"""Priced by the file; L1, L2 and DRAM are priced by memory tables."""
Unit = Literal["PE", "row", "column", "accelerator"]
_WORD = 64
_PARAMETER_BITS = 54  # bias, multiplier and shift of an output channel
_ROM_BANK = "rom_bank_bytes"


@dataclass(frozen=True)
class Bank:
    """`count` equal SRAMs of `bytes` each."""

    count: int
    bytes: int
    width: int
    ports: int

    def __str__(self) -> str:
        return f"{self.count} x {self.bytes} bytes"


class _Sourced(Strict):
    label: Label = "measured"
    source: str = ""
    uncertainty: str = ""
    missing: str = ""


class Sized(_Sourced):
    """A component at some sizes: straight lines between them, or through 0 and the only one.

    Attributes:
        um2, flip_flops: by units.
        valid: smallest and largest number of units.
        needs: accelerator fields that it holds for.
    """

    unit: Unit
    um2: dict[int, float]
    flip_flops: dict[int, int]
    valid: tuple[int, int]
    needs: dict[str, int | bool] = Field({})

    @model_validator(mode="after")
    def _complete(self) -> Sized:
        if not self.um2 or set(self.um2) != set(self.flip_flops):
            raise ValueError("give um2 and flip_flops of the same sizes")
        if min(self.um2.values()) <= 0 or min(self.flip_flops.values()) < 0:
            raise ValueError("areas are positive, and flip_flops not negative")
        if len(self.um2) > 1 and not min(self.um2) <= self.valid[0] <= self.valid[1] <= max(self.um2):
            raise ValueError("valid goes beyond the sizes")
        if not self.source:
            raise ValueError("say where it comes from in source")
        return self

    def area(self, accelerator: Accelerator) -> Figure:
        """mm2 on an accelerator."""
        return self._at(self.um2, accelerator).times(1e-6)

    def registers(self, accelerator: Accelerator) -> Figure:
        """Flip-flops on an accelerator."""
        return self._at(self.flip_flops, accelerator)

    def _at(self, sizes: Mapping[int, float], accelerator: Accelerator) -> Figure:
        for field, needed in self.needs.items():
            found = getattr(accelerator, field)
            if found != needed:
                return missing(f"measured for {field} = {needed}, not {found}")
        units = units_of(self.unit, accelerator)
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


class RegisterFile(_Sourced):
    """Codebook RF: um2 = bytes * (cell + port * ports), within ranges."""

    cell_um2: float = Field(gt=0)
    port_um2: float = Field(gt=0)
    bytes: tuple[int, int]
    ports: tuple[int, int]

    def area(self, size: int, ports: int) -> Figure:
        """mm2 of `size` bytes with read ports."""
        for value, (low, high), what in ((size, self.bytes, "bytes"), (ports, self.ports, "read ports")):
            if not low <= value <= high:
                return missing(f"measured for {low} to {high} {what}, not {value}")
        return Figure(
            1e-6 * size * (self.cell_um2 + self.port_um2 * ports),
            "fit",
            f"fit to {self.source}",
            self.uncertainty,
        )


class Rom(_Sourced):
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


class Price(_Sourced):
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
        size = _rom_bank(accelerator).bytes if self.by == _ROM_BANK else getattr(accelerator, self.by)
        known = sorted(self.at)
        if not known[0] <= size <= known[-1]:
            return missing(f"evaluated for {self.by} {known[0]} to {known[-1]}, not {size}")
        label = self.label if size in known else "fit"
        return Figure(_log_log(self.at, size), label, self.source, self.uncertainty)


class _Memory(_Sourced):
    """A table of SRAM, and what a borrowed one is multiplied by."""

    table: str | None = None
    node_nm: float = Field(0, ge=0)
    energy_factor: float = Field(1.0, gt=0)
    leakage_factor: float = Field(1.0, gt=0)
    area_factor: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _explained(self) -> _Memory:
        if {self.energy_factor, self.leakage_factor, self.area_factor} != {1.0} and not self.source:
            raise ValueError("factors need their source")
        return self

    def adapted(self, sram: Sram) -> Sram:
        leakage = None if sram.leakage_mw is None else self.leakage_factor * sram.leakage_mw
        return replace(
            sram,
            read_pj=self.energy_factor * sram.read_pj,
            write_pj=self.energy_factor * sram.write_pj,
            leakage_mw=leakage,
            area_mm2=self.area_factor * sram.area_mm2,
        )


class _Clock(_Sourced):
    max_hz: float = Field(gt=0)


class _Areas(Strict):
    array: dict[str, Sized]
    arf: Sized
    prf: Sized
    loader: dict[str, Sized]
    crf: RegisterFile
    rom: Rom
    storer: Sized
    control: Sized

    @model_validator(mode="after")
    def _known(self) -> _Areas:
        for name in self.loader:
            named(name.removesuffix("-sparse"))
        return self


class Synthesized(Strict):
    """A technology of measurements on one cell library."""

    kind: Literal["synthesized"]
    name: str
    description: str
    node_nm: int = Field(gt=0)
    voltage_v: float = Field(gt=0)
    dram: str
    clock: _Clock
    memory: _Memory
    energy: dict[Access, Price]
    sparse: dict[Access, Price] = Field({})
    clock_pj_per_flip_flop: Price
    leakage_mw_per_mm2: Price
    area: _Areas

    @model_validator(mode="after")
    def _complete(self) -> Synthesized:
        absent = sorted(set(get_args(Access)) - set(self.energy))
        if absent:
            raise InputError(
                "energy",
                list(self.energy),
                f"{absent[0]} is missing",
                f"add [energy.{absent[0]}] with pj, or with the reason in missing",
            )
        dram.energy(self.dram)
        if self.memory.table is not None:
            memory.table(self.memory.table)
        return self

    def energies(self, accelerator: Accelerator) -> dict[str, Figure]:
        """Memories by what their banks take for a byte, the rest as measured."""
        l1 = _l1(accelerator)
        prices = self.energy | (self.sparse if accelerator.sparse_tile else {})
        found: dict[str, Figure] = {name: price.figure(accelerator) for name, price in prices.items()}
        if accelerator.weights.universal:
            found["rom"] = self._rom_band(accelerator, found["rom"])
        return {
            "dram": dram.energy(accelerator.dram or self.dram),
            "l2": self._byte(_l2(accelerator)),
            "l1": self._byte([l1[0], l1[-1]], "; map and psum banks alike often"),
        } | found

    def per_cycle(self, accelerator: Accelerator) -> dict[str, Figure]:
        """The clock of all registers; none is gated."""
        return {
            "clock": _product(
                total(self._parts(accelerator, "registers")), self.clock_pj_per_flip_flop.figure(accelerator)
            )
        }

    def gated_clock(self, accelerator: Accelerator, accesses: Mapping[str, int], cycles: int) -> Figure:
        """pJ of the clock if every word of a register file had a clock gate of its own; nothing measured.

        WRF, PRF, ARF and codebook RF then take the clock only with the bits that an access writes: a WRF word
        (accesses beside those of the multipliers are writes), a psum in the PRF and in the row behind it, a
        byte in the ARF or behind it, a byte of codebook or behind it. All other flip-flops take it every
        cycle. The gates themselves weigh nothing here, which makes it a lower end.
        """
        acc = accelerator
        held = {
            "wrf": acc.multipliers * acc.wrf_depth * _wrf_bits(acc),
            "arf": 8 * acc.arf_depth * acc.rows,
            "prf": 32 * acc.prf_depth * acc.columns,
        }
        if acc.weights.loads_codebook:
            held["crf"] = 8 * acc.codebook_entries * acc.codeword_length
        edges = (
            _wrf_bits(acc) * (accesses["wrf"] - accesses["mac"])
            + 32 * accesses["prf"]
            + 8 * (accesses["arf"] + accesses["crf"])
        )
        registers = total(self._parts(acc, "registers"))
        if registers.value is None:
            return registers
        count = Figure((registers.value - sum(held.values())) * cycles + edges, "derived", "counted writes")
        return replace(
            _product(count, self.clock_pj_per_flip_flop.figure(acc)),
            uncertainty="an assumption of our own design: one ideal gate a word",
        )

    def standing(self, accelerator: Accelerator) -> dict[str, Figure]:
        """Leakage of cells and SRAM."""
        leakage = _product(
            total(self._parts(accelerator, "area")), self.leakage_mw_per_mm2.figure(accelerator)
        )
        banks = [*_l1(accelerator), *_l2(accelerator), *_buffers(accelerator)]
        return {
            "leakage": total(
                {
                    "cells": leakage,
                    "SRAM": total(
                        {
                            str(bank): self._bank(bank, lambda sram: sram.leakage_mw).times(bank.count)
                            for bank in banks
                        }
                    ),
                }
            )
        }

    def areas(self, accelerator: Accelerator) -> dict[str, Figure]:
        """By component; register files, which MVQ counts to the array, stand by themselves."""
        acc = accelerator
        found = self._parts(acc, "area")
        if acc.weights.universal:
            bank = _rom_bank(acc)
            found["rom"] = self.area.rom.area(bank, self._bank_area([bank]))
        return found | {
            "buffers": self._bank_area(_buffers(acc)),
            "l1": self._bank_area(_l1(acc)),
            "l2": self._bank_area(_l2(acc)),
        }

    def _parts(self, accelerator: Accelerator, what: Literal["area", "registers"]) -> dict[str, Figure]:
        """mm2 or flip-flops of what consists of cells."""
        acc, area = accelerator, self.area
        sparse = "-sparse" if acc.sparse_tile else ""
        chosen = {"array": (area.array, acc.dataflow + sparse), "loader": (area.loader, acc.format + sparse)}
        parts = {
            name: known[kind] if kind in known else missing(f"{kind} was not synthesized")
            for name, (known, kind) in chosen.items()
        }
        parts |= {"arf": area.arf, "prf": area.prf, "storer": area.storer, "control": area.control}
        found = {
            name: part if isinstance(part, Figure) else getattr(part, what)(acc)
            for name, part in parts.items()
        }
        if acc.weights.loads_codebook:
            size = acc.codebook_entries * acc.codeword_length
            found["crf"] = (
                area.crf.area(size, acc.columns // acc.codeword_length)
                if what == "area"
                else Figure(8 * size, "counted", "bits of the codebook")
            )
        return found

    def clock_limit(self, accelerator: Accelerator) -> Figure:
        return Figure(self.clock.max_hz, self.clock.label, self.clock.source, self.clock.uncertainty)

    def _byte(self, banks: Sequence[Bank], note: str = "") -> Figure:
        """pJ of a byte: mean of reads and writes and of the banks, the words fully used."""
        found = [self._bank(bank, lambda sram: sram.access_pj).times(8 / bank.width) for bank in banks]
        whole = total({str(bank): figure for bank, figure in zip(banks, found, strict=True)})
        if whole.value is None:
            return whole
        return replace(
            whole, value=whole.value / len(banks), uncertainty=f"{whole.uncertainty}; words fully used{note}"
        )

    def _rom_band(self, accelerator: Accelerator, logic: Figure) -> Figure:
        """pJ of a byte of the codebook: the upper end, from logic of the same size to a read of an SRAM."""
        bank = _rom_bank(accelerator)
        sram = self._bank(bank, lambda sram: sram.read_pj).times(8 / bank.width)
        if logic.value is None or sram.value is None:
            return logic if logic.value is None else sram
        low, high = sorted((logic.value, sram.value))
        return Figure(
            high,
            "assumed",
            f"upper end of a band, logic ({logic.label}: {logic.source}) to SRAM",
            f"{low:.3g} to {high:.3g} pJ",
        )

    def _bank_area(self, banks: Sequence[Bank]) -> Figure:
        return total(
            {str(bank): self._bank(bank, lambda sram: sram.area_mm2).times(bank.count) for bank in banks}
        )

    def _bank(self, bank: Bank, of: Callable[[Sram], float | None]) -> Figure:
        """One figure of a bank."""
        if self.memory.table is None:
            return missing(self.memory.missing)
        try:
            sram = memory.table(self.memory.table).memory(
                self.memory.node_nm or self.node_nm, bank.bytes, bank.width, bank.ports
            )
        except InputError as error:
            return missing(str(error))
        value = of(self.memory.adapted(sram))
        if value is None:
            return missing(f"not interpolated between nodes: {sram.source}")
        borrowed = self.memory.source  # beside the uncertainty, where a sum says it once
        return Figure(
            value,
            self.memory.label if borrowed else sram.label,
            sram.source,
            "; ".join(filter(None, (borrowed, sram.uncertainty, self.memory.uncertainty))),
        )


def _log_log(points: Mapping[int, float], at: float) -> float:
    known = sorted(points)
    return float(np.exp(np.interp(np.log(at), np.log(known), [np.log(points[n]) for n in known])))


def units_of(unit: Unit, accelerator: Accelerator) -> int:
    """How many of them an accelerator has."""
    return {
        "PE": accelerator.rows * accelerator.columns,
        "row": accelerator.rows,
        "column": accelerator.columns,
        "accelerator": 1,
    }[unit]


def _product(count: Figure, price: Figure) -> Figure:
    """What many of something cost: as sure as the less sure of count and price."""
    whole = total({"count": count, "price": price})
    if count.value is None or price.value is None:
        return price if price.value is None else count
    return replace(whole, value=count.value * price.value, source=price.source, uncertainty=price.uncertainty)


def _wrf_bits(acc: Accelerator) -> int:
    """A weight, on a sparse tile with its position."""
    return 8 + (acc.codeword_length - 1).bit_length() * acc.sparse_tile


def _rom_bank(acc: Accelerator) -> Bank:
    return Bank(
        acc.rom_banks, ceil(acc.codebook_entries * acc.codeword_length / acc.rom_banks), _WORD, acc.rom_ports
    )


def _l1(acc: Accelerator) -> list[Bank]:
    """Map groups and residual group with two ports, psums in even and odd rows (docs/hardware.md)."""
    halves = 2 * ceil(acc.columns / 2)
    groups = (
        (acc.ifmap_bytes, acc.map_banks, 2),
        (acc.ofmap_bytes, acc.map_banks, 2),
        (acc.residual_bytes, acc.map_banks, 2),
        (acc.psum_bytes, halves, 1),
    )
    return [Bank(count, ceil(size / count), _WORD, ports) for size, count, ports in groups]


def _l2(acc: Accelerator) -> list[Bank]:
    return [Bank(1, acc.l2_bytes, _WORD, 1)]


def _buffers(acc: Accelerator) -> list[Bank]:
    """SRAM of the four command streams, the weight port and the storer's parameters (docs/hardware.md)."""
    return [
        Bank(4, 256 * 8, 64, 2),
        Bank(1, 32 * acc.weight_port_bits // 8, acc.weight_port_bits, 2),
        Bank(1, 4 * _PARAMETER_BITS * acc.columns, _PARAMETER_BITS * acc.columns, 2),
    ]
