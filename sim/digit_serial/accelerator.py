"""The description of a digit-serial machine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sim.errors import InputError
from sim.names import require_name

SILENT = 3
"""Silent steps at most; more only delay."""


class DigitSerial(BaseModel):
    """An array of ternary adders with a neuron below each column (docs/spikes.md).

    Its rows and columns are `lanes` both: what a row of neurons says is a word that the array reads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(description="printed; Verilog takes a word of ASCII")
    kind: Literal["digit-serial"] = "digit-serial"
    lanes: int = Field(ge=8, le=64, description="S, input channels and output channels at once")
    steps: int = Field(8, ge=1, le=16, description="T, digits of a value")
    silent: int = Field(
        1, ge=0, le=SILENT, description="Tc, steps in which a neuron listens before it speaks"
    )
    wrf_depth: int = Field(
        16,
        ge=1,
        le=256,
        description="words of the weight register file of each adder, as of EWS (MVQ Table 2)",
    )
    tap_depth: int = Field(
        256, ge=4, le=1024, description="taps of the table that the sequencer walks for each step; assumed"
    )
    charge_bits: int = Field(32, ge=16, le=48, description="bits of a neuron's charge, with its sign")
    l1_bytes: int = Field(
        128 * 1024, ge=1024, le=2**28, description="bytes of L1, which holds all maps of digits; assumed"
    )
    store_bytes: int = Field(
        64 * 1024, ge=256, le=2**28, description="bytes of the store of currents of layers in parts; assumed"
    )
    l2_bytes: int = Field(
        2 * 1024 * 1024,
        ge=1024,
        le=2**40,
        description="bytes of L2 behind the stream, where packets lie that come again, as of EWS (MVQ sec. 7.1)",
    )
    l2_latency: int = Field(
        4,
        ge=1,
        le=100,
        description="cycles from an address that L2 accepts to its first beat; assumed, as of EWS",
    )
    address_bits: int = Field(
        32, ge=32, le=40, description="bits of the addresses at the AXI ports of the Verilog"
    )
    density: float = Field(
        0.22,
        ge=0,
        le=1,
        description="share of digits that are not 0, from which an estimate expects additions: of ResNet-20 at T = 8",
    )
    clock_gating: bool = Field(
        True, description="the Verilog gates clocks, so that a zero digit clocks nothing; else it has enables"
    )
    clock_hz: float = Field(300e6, ge=1, le=1e12, description="requested clock in Hz")
    dram: str = Field(
        "", description='type of off-chip memory, for its energy; "" for that of the technology'
    )
    technology: str = Field("sg13g2", description="coefficients of energy and area; only sg13g2 was measured")

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        require_name("name", name)
        return name

    @model_validator(mode="after")
    def _whole(self) -> DigitSerial:
        if self.lanes & (self.lanes - 1):
            raise InputError("lanes", self.lanes, "is no power of two", "use 8, 16, 32 or 64")
        if self.silent > self.steps:
            raise InputError("silent", self.silent, f"is more than {self.steps} steps", "use 1")
        if self.store_words < self.steps:
            raise InputError(
                "store_bytes",
                self.store_bytes,
                f"holds {self.store_words} rows of currents, not one for each of {self.steps} steps",
                f"use {self.steps * self.lanes * 4} at least",
            )
        return self

    @property
    def rows(self) -> int:
        return self.lanes

    @property
    def columns(self) -> int:
        return self.lanes

    @property
    def peak_macs(self) -> float:
        """Dense-equivalent multiply-accumulates a cycle: a value takes T steps."""
        return self.lanes * self.lanes / self.steps

    @property
    def l1_words(self) -> int:
        """Words of `lanes` digits of two bits."""
        return self.l1_bytes * 4 // self.lanes

    @property
    def store_words(self) -> int:
        """Rows of `lanes` currents of 32 bits."""
        return self.store_bytes // (4 * self.lanes)


def preset(rows: int, columns: int) -> dict[str, object]:
    """Fields of `sws-S`.

    Raises:
        InputError: rows and columns differ.
    """
    if rows != columns:
        raise InputError(
            "columns",
            columns,
            f"differs from rows = {rows}: neurons say what the array reads",
            f"use sws-{rows}",
        )
    grown = max(1, rows // 16)
    return {"lanes": rows, "l1_bytes": grown * 128 * 1024, "store_bytes": grown * 64 * 1024}
