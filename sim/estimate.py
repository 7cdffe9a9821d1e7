"""Cost of a whole network from the closed form, without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.accelerator import Accelerator
from sim.cost import Cost
from sim.errors import InputError
from sim.machine import machine
from sim.network import Network
from sim.results import LayerCounts
from sim.saved import Result
from sim.shapes import Shape
from sim.shown import html
from sim.workloads import Workload


@dataclass(frozen=True)
class LayerEstimate:
    """One layer: its counts, its cost, and why it stays uncompressed ("" where it does not)."""

    counts: LayerCounts
    cost: Cost
    exclusion: str = ""

    def to_json(self) -> dict[str, object]:
        schedule = self.counts.schedule
        return {
            "name": self.counts.name,
            "schedule": None if schedule is None else schedule.to_json(),
            "accesses": self.counts.accesses,
            "gated": self.counts.gated,
        } | self.cost.layer_json()


@dataclass(frozen=True)
class Estimate(Result):
    """A network on an accelerator.

    Attributes:
        layers: in execution order; an addition that rides on a convolution is part of it.
        cost: of the whole network, all passes.
        passes: how often the layers run for one use of the network.
        expected: the cycles contain an expectation, since they depend on values that nobody gave.
        mapping_gap: how much less of the objective the best schedule of a layer alone may take at most, as a share;
            None of a run.
    """

    name: str
    accelerator: Accelerator
    layers: tuple[LayerEstimate, ...]
    cost: Cost
    passes: int = 1
    expected: bool = False
    mapping_gap: float | None = None

    def __repr__(self) -> str:
        energy = self.cost.total_pj
        spent = "energy unknown" if energy is None else f"{energy / 1e6:.4g} uJ"
        return (
            f"<Estimate {self.name} on {self.accelerator.name}: {self.cost.cycles:,} cycles, "
            f"{self.cost.time_s * 1e3:.4g} ms, {spent}>"
        )

    def _repr_html_(self) -> str:
        rows = []
        for layer in self.layers:
            cost, energy = layer.cost, layer.cost.total_pj
            stalls = max(cost.stall_cycles, key=lambda cause: cost.stall_cycles[cause])
            rows.append(
                (
                    layer.counts.name,
                    f"{cost.macs:,}",
                    f"{cost.cycles:,}",
                    f"{cost.utilization:.1%}",
                    f"{stalls} {cost.stall_cycles[stalls]:,}",
                    "unknown" if energy is None else f"{energy / 1e6:.4g}",
                )
            )
        columns = ("layer", "MACs", "cycles", "utilization", "most of the other cycles", "energy (uJ)")
        return html(repr(self)[1:-1], columns, rows)

    @property
    def verb(self) -> str:
        return "estimate"

    @property
    def gated(self) -> int | None:
        """Multiplications of one pass that a zero operand gates; None where operands are unknown."""
        known = [layer.counts.gated for layer in self.layers if layer.counts.gated is not None]
        return sum(known) if known else None

    @property
    def mapping_energies(self) -> str:
        """The technology whose energies the mapping was chosen by: MVQ's where one of the own is unknown."""
        return machine(self.accelerator.kind).mapping_energies(self.accelerator)

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of the machine."""
        return machine(self.accelerator.kind).remarks(self.accelerator)

    @property
    def exclusions(self) -> dict[str, str]:
        """Layers left out of the compression, with the reason."""
        return {layer.counts.name: layer.exclusion for layer in self.layers if layer.exclusion}

    def to_json(self) -> dict[str, Any]:
        names = {
            "network": self.name,
            "accelerator": self.accelerator.name,
            "technology": self.accelerator.technology,
            "mapping_energies": self.mapping_energies,
            "mapping_gap": self.mapping_gap,
            "remarks": self.remarks,
            "passes": self.passes,
        }
        return (
            names
            | self.cost.to_json()
            | {
                "uncompressed": self.exclusions,
                "gated": self.gated,
                "rom_expected": self.expected,
                "layers": [layer.to_json() for layer in self.layers],
            }
        )


def estimate(
    network: Network | Workload | Sequence[Shape],
    accelerator: Accelerator,
    *,
    objective: str = "edp",
    name: str = "network",
    zeros: tuple[float, float] | None = None,
    formats: Mapping[str, Any] | None = None,
) -> Estimate:
    """Maps every layer and adds up what the closed form says.

    Args:
        network: a network of integers, whose weights decide the formats, or shapes alone, which
            take the machine's native format. All passes of a workload count.
        objective: of the mapping search; edp, energy or cycles.
        name: of a network given as shapes.
        zeros: shares of zero activations and zero stored weights, for the expected number of gated
            multiplications; without them it stays unknown, since only the engine sees operands.
        formats: stream format and k by layer, of shapes that do not take the machine's native ones.

    Raises:
        InputError: the machine cannot run a layer, or a share lies outside 0..1.
    """
    if zeros is not None and not all(0 <= share <= 1 for share in zeros):
        raise InputError("zeros", zeros, "shares lie between 0 and 1", "give for example 0.5 and 0.02")
    passes = network.passes if isinstance(network, Workload) else 1
    if isinstance(network, Network | Workload):
        name = network.name
    found = machine(accelerator.kind).count(
        network.shapes if isinstance(network, Workload) else network,
        accelerator,
        objective=objective,
        zeros=zeros,
        formats=formats,
    )
    return assemble(
        name,
        accelerator,
        found.layers,
        found.exclusions,
        passes,
        expected=found.expected,
        mapping_gap=found.mapping_gap,
    )


def assemble(
    name: str,
    accelerator: Accelerator,
    counts: Sequence[LayerCounts],
    exclusions: Mapping[str, str] | None = None,
    passes: int = 1,
    expected: bool = False,
    mapping_gap: float | None = None,
) -> Estimate:
    """Counts of a network's layers, from the closed form or from a run, and their cost."""
    prices = machine(accelerator.kind).prices(accelerator)
    return Estimate(
        name,
        accelerator,
        tuple(
            LayerEstimate(layer, prices.cost([layer]), (exclusions or {}).get(layer.name, ""))
            for layer in counts
        ),
        prices.cost([layer.repeated(passes) for layer in counts]),
        passes,
        expected,
        mapping_gap,
    )
