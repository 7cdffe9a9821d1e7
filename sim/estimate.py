"""Cost of a whole network from the closed form, without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim import technology
from sim.accelerator import Accelerator
from sim.cost import Cost, Prices
from sim.errors import InputError
from sim.formats import stream
from sim.network import Network
from sim.shapes import ConvShape, PassShape, Shape, with_logits
from sim.systolic.closed_form.counts import layer_counts, pass_counts
from sim.systolic.plan import plan
from sim.systolic.results import Handover, LayerCounts, expected_gated, with_output
from sim.systolic.schedule import Schedule
from sim.systolic.streams import native_formats, network_formats
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
            "schedule": _schedule_json(schedule),
            "accesses": self.counts.accesses,
            "gated": self.counts.gated,
        } | self.cost.layer_json()


@dataclass(frozen=True)
class Estimate:
    """A network on an accelerator.

    Attributes:
        layers: in execution order; an addition that rides on a convolution is part of it.
        cost: of the whole network, all passes.
        passes: how often the layers run for one use of the network.
        closed_form: whether the counts come from it, or from a run of the engine.
    """

    name: str
    accelerator: Accelerator
    layers: tuple[LayerEstimate, ...]
    cost: Cost
    passes: int = 1
    closed_form: bool = True

    @property
    def gated(self) -> int | None:
        """Multiplications of one pass that a zero operand gates; None where operands are unknown."""
        known = [layer.counts.gated for layer in self.layers if layer.counts.gated is not None]
        return sum(known) if known else None

    @property
    def rom_expected(self) -> bool:
        """The cycles contain an expectation: ROM conflicts depend on assignments that nobody gave."""
        return self.closed_form and self.accelerator.weights.universal

    @property
    def mapping_energies(self) -> str:
        """The technology whose energies the mapping was chosen by: MVQ's where one of the own is unknown."""
        return technology.mapping_energy(self.accelerator)[0]

    @property
    def exclusions(self) -> dict[str, str]:
        """Layers left out of the compression, with the reason."""
        return {layer.counts.name: layer.exclusion for layer in self.layers if layer.exclusion}

    def to_json(self) -> dict[str, object]:
        names = {
            "network": self.name,
            "accelerator": self.accelerator.name,
            "technology": self.accelerator.technology,
            "mapping_energies": self.mapping_energies,
            "passes": self.passes,
        }
        return (
            names
            | self.cost.to_json()
            | {
                "uncompressed": self.exclusions,
                "gated": self.gated,
                "rom_expected": self.rom_expected,
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
    formats: Mapping[str, tuple[str, int]] | None = None,
) -> Estimate:
    """Maps every layer and adds up what the closed form says.

    Args:
        network: a network of integers, whose weights decide the formats, or shapes alone, which
            take the machine's native format. All passes of a workload count.
        objective: of the mapping search; see `sim.systolic.mapping.best_schedule`.
        name: of a network given as shapes.
        zeros: shares of zero activations and zero stored weights, for the expected number of gated
            multiplications; without them it stays unknown, since only the engine sees operands.
        formats: stream format and k by layer, of shapes that do not take the machine's native ones.

    Raises:
        InputError: the machine cannot run a layer, or a share lies outside 0..1.
    """
    if zeros is not None and not all(0 <= share <= 1 for share in zeros):
        raise InputError("zeros", zeros, "shares lie between 0 and 1", "give for example 0.5 and 0.02")
    shapes = network.shapes if isinstance(network, Network | Workload) else tuple(network)
    passes = network.passes if isinstance(network, Workload) else 1
    if isinstance(network, Network | Workload):
        name = network.name
    reasons: dict[str, str] = {}
    if isinstance(network, Network):
        formats = network_formats(network, accelerator)
    else:
        shapes = with_logits(shapes)
    if formats is None:
        native = native_formats(shapes, accelerator)
        formats = {layer: found[:2] for layer, found in native.items()}
        reasons = {layer: reason for layer, (_, _, reason) in native.items()}
    plans = plan(shapes, formats, accelerator, objective)
    counts: list[LayerCounts] = []
    found = Handover()
    for shape, how in zip(shapes, plans, strict=True):
        if isinstance(how, Schedule):
            assert isinstance(shape, ConvShape)
            layer, found = layer_counts(how, shape, found)
            if zeros is not None:
                masked = stream(how.format).masks and not accelerator.sparse_tile
                layer = expected_gated(layer, *zeros, masked * (1 - accelerator.keep / accelerator.group))
        else:
            assert isinstance(shape, PassShape)
            layer, found = pass_counts(shape, accelerator, how, found)
        counts.append(layer)
    return assemble(
        name, accelerator, with_output(counts, shapes[-1], accelerator), reasons, passes, closed_form=True
    )


def assemble(
    name: str,
    accelerator: Accelerator,
    counts: Sequence[LayerCounts],
    exclusions: Mapping[str, str] | None = None,
    passes: int = 1,
    closed_form: bool = False,
) -> Estimate:
    """Counts of a network's layers, from the closed form or from a run, and their cost."""
    prices = Prices.of(accelerator, technology.load(accelerator.technology))
    return Estimate(
        name,
        accelerator,
        tuple(
            LayerEstimate(layer, prices.cost([layer]), (exclusions or {}).get(layer.name, ""))
            for layer in counts
        ),
        prices.cost([layer.repeated(passes) for layer in counts]),
        passes,
        closed_form,
    )


def _schedule_json(schedule: Schedule | None) -> dict[str, object] | None:
    if schedule is None:
        return None
    return {
        "format": schedule.format,
        "codewords": schedule.codewords,
        "a": schedule.a,
        "b": schedule.b,
        "d": schedule.d,
        "overlap": schedule.overlap,
        "tile_rows": schedule.tile_rows,
        "outputs_outer": schedule.outputs_outer,
        "ifmap_from": schedule.source,
    }
