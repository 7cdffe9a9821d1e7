"""Technologies of an open cell library: our own RTL synthesized, SRAM from tables, DRAM by type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

from pydantic import Field, model_validator

from sim.accelerator.systolic import Accelerator
from sim.errors import InputError
from sim.formats import named
from sim.technology import dram, memory
from sim.technology.banks import Bank, buffer_banks, codebook_bank, l1_banks, l2_banks, rom_bank
from sim.technology.coefficients import Price, Rom, Sized, Sourced
from sim.technology.memory import Sram
from sim.technology.provenance import Figure, Strict, missing, total

Access = Literal["arf", "wrf", "prf", "rom", "mac"]
"""Priced by the file; codebook, L1, L2 and DRAM are priced by memory tables."""


class _Memory(Sourced):
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


class _Clock(Sourced):
    max_hz: float = Field(gt=0)


class _Areas(Strict):
    array: dict[str, Sized]
    arf: Sized
    prf: Sized
    loader: dict[str, Sized]
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
    clock_tree: Price = Price(value=0.0, label="assumed", source="no clock tree")
    clock_active: Price = Price(value=1.0, label="assumed", source="an upper bound")
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
        l1 = l1_banks(accelerator)
        prices = self.energy | (self.sparse if accelerator.sparse_tile else {})
        found: dict[str, Figure] = {name: price.figure(accelerator) for name, price in prices.items()}
        if accelerator.weights.universal:
            found["rom"] = self._rom_band(accelerator, found["rom"])
        return {
            "dram": dram.energy(accelerator.dram or self.dram),
            "l2": self._byte(l2_banks(accelerator)),
            "l1": self._byte([l1[0], l1[-1]], "; map and psum banks alike often"),
            "crf": self._byte([codebook_bank(accelerator)]),
        } | found

    def per_cycle(self, accelerator: Accelerator) -> dict[str, Figure]:
        """The clock of what no gate keeps it from."""
        return {"clock": self._pulse(accelerator, total(self._parts(accelerator, "clock_sinks")))}

    def clock_pulses(self, accelerator: Accelerator) -> dict[str, float] | None:
        """pJ of the pulses behind clock gates by access, `token` and `cycle`.

        Register files: what an access writes, that is a WRF word (accesses beside those of the multipliers
        are writes), a psum in the PRF and in the row behind it, a byte in the ARF or behind it. Array: the
        registers of each tile that a token passes. Other registers behind gates, for which nothing is
        counted, have the share `clock_active` of all pulses.
        """
        acc = accelerator
        if not acc.clock_gating:
            return {}
        parts = self._parts(acc, "behind_gates")
        pulse = self._pulse(acc, Figure(1.0, "counted", "one")).value
        if total(parts).value is None or pulse is None:
            return None
        behind = {name: part.value or 0.0 for name, part in parts.items()}
        if not any(behind.values()):
            return {}
        word, share = _wrf_bits(acc), self.clock_active.figure(acc).value or 0.0
        edges = {
            "wrf": word,
            "mac": -word,
            "prf": 32,
            "arf": 8,
            "token": max(0.0, behind["array"] - acc.multipliers * acc.wrf_depth * word),
            "cycle": share * sum(behind[name] for name in ("loader", "storer", "control")),
        }
        return {what: pulse * count for what, count in edges.items()}

    def _pulse(self, accelerator: Accelerator, count: Figure) -> Figure:
        """pJ of so many pulses at flip-flops, with the tree that brings them."""
        price = self.clock_pj_per_flip_flop.figure(accelerator)
        tree = self.clock_tree.figure(accelerator)
        if tree.value is None:
            return _product(count, price)
        whole = _product(count, price).times(1 + tree.value)
        return replace(whole, uncertainty=f"{whole.uncertainty}; tree {tree.value:.0%} more, {tree.label}")

    def standing(self, accelerator: Accelerator) -> dict[str, Figure]:
        """Leakage of cells and SRAM."""
        leakage = _product(
            total(self._parts(accelerator, "area")), self.leakage_mw_per_mm2.figure(accelerator)
        )
        banks = [*l1_banks(accelerator), *l2_banks(accelerator), *buffer_banks(accelerator)]
        if accelerator.weights.loads_codebook:
            banks.append(codebook_bank(accelerator))
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
            bank = rom_bank(acc)
            found["rom"] = self.area.rom.area(bank, self._bank_area([bank]))
        if acc.weights.loads_codebook:
            found["crf"] = self._bank_area([codebook_bank(acc)])
        return found | {
            "buffers": self._bank_area(buffer_banks(acc)),
            "l1": self._bank_area(l1_banks(acc)),
            "l2": self._bank_area(l2_banks(acc)),
        }

    def _parts(
        self, accelerator: Accelerator, what: Literal["area", "registers", "clock_sinks", "behind_gates"]
    ) -> dict[str, Figure]:
        """mm2, flip-flops, or what has the clock every cycle, of what consists of cells."""
        acc, area = accelerator, self.area
        sparse = "-sparse" if acc.sparse_tile else ""
        chosen = {"array": (area.array, acc.dataflow + sparse), "loader": (area.loader, acc.format + sparse)}
        parts = {
            name: known[kind] if kind in known else missing(f"{kind} was not synthesized")
            for name, (known, kind) in chosen.items()
        }
        parts |= {"arf": area.arf, "prf": area.prf, "storer": area.storer, "control": area.control}
        return {
            name: part if isinstance(part, Figure) else getattr(part, what)(acc)
            for name, part in parts.items()
        }

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
        bank = rom_bank(accelerator)
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


def _product(count: Figure, price: Figure) -> Figure:
    """What many of something cost: as sure as the less sure of count and price."""
    whole = total({"count": count, "price": price})
    if count.value is None or price.value is None:
        return price if price.value is None else count
    return replace(whole, value=count.value * price.value, source=price.source, uncertainty=price.uncertainty)


def _wrf_bits(acc: Accelerator) -> int:
    """A weight, on a sparse tile with its position."""
    return 8 + (acc.codeword_length - 1).bit_length() * acc.sparse_tile
