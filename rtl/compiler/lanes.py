"""What L1 reads or writes at once: a vector of activations, or a row of outputs."""

from __future__ import annotations

from amaranth.utils import ceil_log2

from sim.accelerator import Accelerator
from sim.errors import InputError


def check_lanes(
    name: str, what: str, accelerator: Accelerator, first: int, count: int, step: int = 4
) -> None:
    """Bytes first..first+count-1 of a pixel begin at a multiple of `step` and lie in as many words as a map
    group has banks.

    Raises:
        InputError: they do not.
    """
    width = 8 << ceil_log2(-(-max(accelerator.rows, accelerator.columns) // 8))
    if first % step:
        raise InputError(
            f"{name}: {what}",
            first,
            f"L1 is accessed at multiples of {step} bytes",
            f"use parts and array sizes that are multiples of {step}, or simulate",
        )
    if first % 8 + count > width:
        raise InputError(
            f"{name}: {what}",
            first,
            f"{count} bytes from there lie in more than {width // 8} words",
            "use groups of a multiple of 8, or simulate",
        )
