"""What every technology answers."""

from __future__ import annotations

from typing import Protocol

from sim.accelerator.systolic import Accelerator
from sim.technology.provenance import Figure


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

    def standing(self, accelerator: Accelerator) -> dict[str, Figure]:
        """mW that flow all the time, by component."""

    def areas(self, accelerator: Accelerator) -> dict[str, Figure]:
        """mm2 by component."""

    def clock_limit(self, accelerator: Accelerator) -> Figure:
        """Hz that the longest path allows; missing where nothing limits the requested clock."""
