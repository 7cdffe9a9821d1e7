"""A published technology at another node, by the factors that its own paper prints."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.accelerator.systolic import Accelerator
from sim.errors import InputError
from sim.technology.provenance import Figure, missing
from sim.technology.published import Factor, Published


@dataclass(frozen=True)
class Scaled:
    """`base` at `node_nm`: energies on the chip change, DRAM does not, areas are not known."""

    base: Published
    node_nm: int
    factor: Factor

    @property
    def name(self) -> str:
        return f"{self.base.name}@{self.node_nm}"

    @property
    def description(self) -> str:
        return (
            f"{self.base.description}; energies scaled to {self.node_nm} nm by {self.factor.energy}, "
            f"{self.factor.label}: {self.factor.source}"
        )

    def energies(self, accelerator: Accelerator) -> dict[str, Figure]:
        return {
            name: figure if name == "dram" else self._scaled(figure)
            for name, figure in self.base.energies(accelerator).items()
        }

    def _scaled(self, figure: Figure) -> Figure:
        by = f"x {self.factor.energy} to {self.node_nm} nm, {self.factor.source}"
        label = "assumed" if figure.label == "assumed" else self.factor.label
        return replace(
            figure.times(self.factor.energy),
            label=label,
            source=f"{figure.source}; {by}",
            uncertainty="; ".join(filter(None, (figure.uncertainty, self.factor.uncertainty))),
        )

    def per_cycle(self, accelerator: Accelerator) -> dict[str, Figure]:
        return self.base.per_cycle(accelerator)

    def clock_pulses(self, accelerator: Accelerator) -> dict[str, float] | None:
        return self.base.clock_pulses(accelerator)

    def standing(self, accelerator: Accelerator) -> dict[str, Figure]:
        return self.base.standing(accelerator)

    def clock_limit(self, accelerator: Accelerator) -> Figure:
        return self.base.clock_limit(accelerator)

    def areas(self, accelerator: Accelerator) -> dict[str, Figure]:
        reason = f"{self.base.name} has no published factor of area from {self.base.node_nm} nm"
        return {name: missing(reason) for name in self.base.areas(accelerator)}


def scaled(base: Published, node: str) -> Scaled:
    """A technology at another node.

    Raises:
        InputError: a node without a published factor.
    """
    factors = {str(nm): factor for nm, factor in base.scaling.items()}
    if node not in factors:
        known = ", ".join(f"{base.name}@{nm}" for nm in base.scaling) or f"{base.name} itself"
        raise InputError(
            "technology", f"{base.name}@{node}", f"no published factor from {base.node_nm} nm", f"use {known}"
        )
    return Scaled(base, int(node), factors[node])
