"""The SRAMs of an accelerator, bank by bank (docs/hardware.md)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sim.accelerator.systolic import Accelerator

_WORD = 64
_PARAMETER_BITS = 54  # bias, multiplier and shift of an output channel


@dataclass(frozen=True)
class Bank:
    """`count` equal SRAMs of `bytes` each."""

    count: int
    bytes: int
    width: int
    ports: int

    def __str__(self) -> str:
        return f"{self.count} x {self.bytes} bytes"


def rom_bank(acc: Accelerator) -> Bank:
    """Banks of the codebook ROM."""
    return Bank(
        acc.rom_banks, ceil(acc.codebook_entries * acc.codeword_length / acc.rom_banks), _WORD, acc.rom_ports
    )


def codebook_bank(acc: Accelerator) -> Bank:
    """Codebook RF: a copy for each codeword of a row, with one port."""
    size = acc.codebook_entries * acc.codeword_length
    return Bank(acc.columns // acc.codeword_length, size, 8 * acc.codeword_length, 1)


def l1_banks(acc: Accelerator) -> list[Bank]:
    """Map groups and residual group with two ports, psums in even and odd rows (docs/hardware.md)."""
    halves = 2 * ceil(acc.columns / 2)
    groups = (
        (acc.ifmap_bytes, acc.map_banks, 2),
        (acc.ofmap_bytes, acc.map_banks, 2),
        (acc.residual_bytes, acc.map_banks, 2),
        (acc.psum_bytes, halves, 1),
    )
    return [Bank(count, ceil(size / count), _WORD, ports) for size, count, ports in groups]


def l2_banks(acc: Accelerator) -> list[Bank]:
    """One bank of the whole L2."""
    return [Bank(1, acc.l2_bytes, _WORD, 1)]


def buffer_banks(acc: Accelerator) -> list[Bank]:
    """SRAM of the four command streams, the weight port and the storer's parameters (docs/hardware.md)."""
    return [
        Bank(4, 256 * 8, 64, 2),
        Bank(1, 32 * acc.weight_port_bits // 8, acc.weight_port_bits, 2),
        Bank(1, 4 * _PARAMETER_BITS * acc.columns, _PARAMETER_BITS * acc.columns, 2),
    ]
