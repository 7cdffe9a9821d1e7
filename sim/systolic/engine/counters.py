"""What the cycle engine counts in a run."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Cause(IntEnum):
    """What a cycle goes to (docs/timing.md section 5); a cycle has exactly one."""

    COMPUTE = 0
    DRAM = 1
    DMA = 2
    ROM = 3
    WEIGHT = 4
    PSUM = 5
    STORE = 6
    IFMAP = 7
    CONTROL = 8
    DRAIN = 9


COUNTERS = np.dtype(
    [
        ("core_cycles", np.int64),
        ("spent", np.int64, len(Cause)),
        ("vectors", np.int64),
        ("wrf_rows", np.int64),
        ("beats", np.int64),
        ("psum_rows_read", np.int64),
        ("psum_rows_written", np.int64),
        ("finished_rows", np.int64),
        ("mac", np.int64),
        ("wrf_read", np.int64),
        ("wrf_write", np.int64),
        ("arf_read", np.int64),
        ("arf_write", np.int64),
        ("prf_read", np.int64),
        ("prf_write", np.int64),
        ("crf_read", np.int64),
        ("crf_write", np.int64),
        ("l1_ifmap_read", np.int64),
        ("l1_psum_read", np.int64),
        ("l1_psum_write", np.int64),
        ("tokens", np.int64),
    ]
)
"""Counters of one run: cycles (`spent` by Cause), events of the core (docs/hardware.md), and accesses in
8-bit words, those of the PRF in psums."""


def named(counters: np.void) -> dict[str, int]:
    """COUNTERS of one run by name, cycles by the name of their cause."""
    counts = {name: int(counters[name]) for name in COUNTERS.names or () if name != "spent"}
    return counts | {cause.name.lower(): int(counters["spent"][cause]) for cause in Cause}
