"""A run of the cycle engine together with what it costs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from sim.accelerator import Accelerator
from sim.estimate import Estimate, assemble
from sim.results import Simulation
from sim.saved import Result


@dataclass(frozen=True, eq=False, repr=False)
class Simulated(Simulation, Result):
    """What a machine computed, and which one: a `Simulation` that has a price and can be saved."""

    accelerator: Accelerator

    @classmethod
    def of(cls, run: Simulation, accelerator: Accelerator) -> Simulated:
        return cls(**{one.name: getattr(run, one.name) for one in fields(run)}, accelerator=accelerator)

    @property
    def verb(self) -> str:
        return "simulate"

    @cached_property
    def costed(self) -> Estimate:
        """Of the first image, from the engine's counts."""
        return assemble(self.network.name, self.accelerator, self.layers)

    def to_json(self) -> dict[str, Any]:
        return self.costed.to_json() | {
            "images": len(self.tensors["input"]),
            "bit_exact": self.bit_exact,
            "wall_s": self.wall_s,
            "synthetic": self.network.metadata.get("synthetic") is True,
        }
