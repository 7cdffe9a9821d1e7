"""What every technology answers."""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import AfterValidator

from sim.accelerator.systolic import Accelerator
from sim.errors import InputError
from sim.technology.provenance import Figure

CODEBOOK_BYTES = "codebook_bytes"
"""What a coefficient may need beside the fields of an accelerator: k times d."""


def _of_accelerators(needs: dict[str, int | bool]) -> dict[str, int | bool]:
    for field in needs:
        if field not in (*Accelerator.model_fields, CODEBOOK_BYTES):
            raise InputError(f"needs.{field}", needs[field], "no such field of an accelerator", "correct it")
    return needs


Needs = Annotated[dict[str, int | bool], AfterValidator(_of_accelerators)]
"""Accelerator fields that a coefficient holds for, with their values."""


def needed(accelerator: Accelerator, field: str) -> int | bool:
    """What an accelerator has of a field of `Needs`."""
    if field == CODEBOOK_BYTES:
        return accelerator.codebook_entries * accelerator.codeword_length
    found: int | bool = getattr(accelerator, field)
    return found


class Technology(Protocol):
    """Prices of events and areas of components of an accelerator."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def energies(self, accelerator: Accelerator) -> dict[str, Figure]:
        """pJ of one access by memory, and of one physical multiplication (`mac`)."""

    def per_cycle(self, accelerator: Accelerator) -> dict[str, Figure]:
        """pJ of every cycle, whatever happens in it, by component."""

    def clock_pulses(self, accelerator: Accelerator) -> dict[str, float] | None:
        """pJ of the clock behind clock gates by access, `token` (a cycle with one) and `cycle`; None where it is not
        known.
        """

    def standing(self, accelerator: Accelerator) -> dict[str, Figure]:
        """mW that flow all the time, by component."""

    def areas(self, accelerator: Accelerator) -> dict[str, Figure]:
        """mm2 by component."""

    def clock_limit(self, accelerator: Accelerator) -> Figure:
        """Hz that the longest path allows; missing where nothing limits the requested clock."""
