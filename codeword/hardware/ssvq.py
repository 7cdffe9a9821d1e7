"""SSVQ's 3x: where DeiT-Tiny at batch 1 is three times faster than in 8 bits.

Neither array nor memory is published, so both are swept; the rest is the machine of the other figures.
"""

from __future__ import annotations

from dataclasses import replace

from codeword.hardware.machine import SIZES, Setup, run

NETWORK = "deit-t"
DRAM_BITS = (2, 4, 8, 16, 64)
"""A cycle of 300 MHz: 75 MB/s to 2.4 GB/s."""
CODEWORDS = {"codebook_entries": 16}
"""k = 16, d = 8: 1.5 bits a weight, the paper's 21x."""


def sweep(using: Setup) -> dict[int, list[float]]:
    """Speed-up over 8 bits on EWS by array size, one value for each of DRAM_BITS."""
    fastest = replace(using, objective="cycles")
    return {size: [_cycles("ews", size, bits, fastest) / _cycles("ssvq", size, bits, fastest)
                   for bits in DRAM_BITS] for size in SIZES}


def _cycles(family: str, size: int, dram_bits: int, using: Setup) -> int:
    changes = {"dram_bits": dram_bits} | (CODEWORDS if family == "ssvq" else {})
    return run(NETWORK, family, size, using, changes).cycles


def region(found: dict[int, list[float]], target: float) -> dict[int, list[int]]:
    """DRAM widths at which the speed-up reaches the target, by size."""
    return {size: [bits for bits, value in zip(DRAM_BITS, values, strict=True) if value >= target]
            for size, values in found.items()}
