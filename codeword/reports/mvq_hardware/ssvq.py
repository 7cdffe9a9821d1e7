"""SSVQ's 3x: where DeiT-Tiny at batch 1 is three times faster than in 8 bits.

Neither array nor memory is published, so both are swept; the rest is the machine of the other figures.
"""

from __future__ import annotations

from dataclasses import replace

from codeword.reports.mvq_hardware.machine import SIZES, Run, Setup, run

NETWORK = "deit-t"
DRAM_BITS = (1, 2, 3, 4, 6, 8, 16, 64)
"""A cycle of 300 MHz: 37.5 MB/s to 2.4 GB/s."""
CODEWORDS = {"codebook_entries": 16}
"""k = 16, d = 8: 1.5 bits a weight, the paper's 21x."""


def sweep(using: Setup) -> dict[str, list[float]]:
    """Speed-up over 8 bits on EWS by array size, one value for each of DRAM_BITS."""
    return {
        str(size): [
            _run("ews", size, bits, using).cycles / _run("ssvq", size, bits, using).cycles
            for bits in DRAM_BITS
        ]
        for size in SIZES
    }


def traffic(using: Setup) -> dict[str, int]:
    """DRAM bytes of an inference at 64x64 with the slowest DRAM, in 8 bits ("ews") and as "ssvq" records."""
    return {family: _run(family, 64, DRAM_BITS[0], using).accesses["dram"] for family in ("ews", "ssvq")}


def _run(family: str, size: int, dram_bits: int, using: Setup) -> Run:
    changes = {"dram_bits": dram_bits} | (CODEWORDS if family == "ssvq" else {})
    return run(NETWORK, family, size, replace(using, objective="cycles"), changes)


def region(found: dict[str, list[float]], target: float) -> dict[str, list[int]]:
    """DRAM widths at which the speed-up reaches the target, by size."""
    return {
        size: [bits for bits, value in zip(DRAM_BITS, values, strict=True) if value >= target]
        for size, values in found.items()
    }
