"""Cost of a whole network from the closed form, without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim import technology
from sim.accelerator import Accelerator
from sim.cost import Cost, cost
from sim.counts import layer_counts, pass_counts
from sim.formats import native_format, stream_format
from sim.mapping import best_schedule
from sim.network import Conv, Network
from sim.results import LayerCounts, with_network_io
from sim.schedule import Format, Schedule
from sim.shapes import ConvShape, PassShape, Shape


@dataclass(frozen=True)
class LayerEstimate:
    """One layer: its counts, its cost, and why it stays uncompressed ("" where it does not)."""

    counts: LayerCounts
    cost: Cost
    exclusion: str = ""

    def to_json(self) -> dict[str, object]:
        schedule = self.counts.schedule
        return {"name": self.counts.name, "schedule": _schedule_json(schedule),
                "accesses": self.counts.accesses} | self.cost.layer_json()


@dataclass(frozen=True)
class Estimate:
    """A network on an accelerator.

    Attributes:
        layers: in execution order; an addition that rides on a convolution is part of it.
        cost: of the whole network.
    """

    name: str
    accelerator: Accelerator
    layers: tuple[LayerEstimate, ...]
    cost: Cost

    @property
    def exclusions(self) -> dict[str, str]:
        """Layers left out of the compression, with the reason."""
        return {layer.counts.name: layer.exclusion for layer in self.layers if layer.exclusion}

    def to_json(self) -> dict[str, object]:
        names = {"network": self.name, "accelerator": self.accelerator.name}
        return names | self.cost.to_json() | {
            "uncompressed": self.exclusions,
            "layers": [layer.to_json() for layer in self.layers],
        }


def estimate(
    network: Network | Sequence[Shape], accelerator: Accelerator, *, objective: str = "edp",
    name: str = "network",
) -> Estimate:
    """Maps every layer and adds up what the closed form says.

    Args:
        network: a network of integers, whose weights decide the formats, or shapes alone, which
            take the machine's native format.
        objective: of the mapping search; see `sim.mapping.best_schedule`.
        name: of a network given as shapes.

    Raises:
        InputError: the machine cannot run a layer.
    """
    if isinstance(network, Network):
        name, shapes = network.name, network.shapes
    else:
        shapes = tuple(network)
    formats = _formats(network, shapes, accelerator)
    layers = [_counts(shape, accelerator, formats, objective) for shape in shapes]
    counts = with_network_io(layers, _input_bytes(shapes[0]), _output_bytes(shapes[-1]))
    return assemble(name, accelerator, counts,
                    {layer: reason for layer, (_, _, reason) in formats.items()})


def assemble(
    name: str, accelerator: Accelerator, counts: Sequence[LayerCounts],
    exclusions: Mapping[str, str] | None = None,
) -> Estimate:
    """Counts of a network's layers, from the closed form or from a run, and their cost."""
    coefficients = technology.load(accelerator.technology)
    return Estimate(
        name, accelerator,
        tuple(LayerEstimate(layer, cost([layer], accelerator, coefficients),
                            (exclusions or {}).get(layer.name, "")) for layer in counts),
        cost(counts, accelerator, coefficients),
    )


def _formats(
    network: Network | Sequence[Shape], shapes: Sequence[Shape], accelerator: Accelerator
) -> dict[str, tuple[Format, int, str]]:
    """Stream format, k and reason of exclusion of every convolution by name."""
    convs = [shape for shape in shapes if isinstance(shape, ConvShape)]
    if isinstance(network, Network):
        weights = {layer.name: layer.weight for layer in network.layers if isinstance(layer, Conv)}
        return {shape.name: (*stream_format(weights[shape.name], accelerator, shape.name), "")
                for shape in convs}
    return {shape.name: native_format(shape, accelerator, first=shape is convs[0])
            for shape in convs}


def _counts(
    shape: Shape, accelerator: Accelerator, formats: Mapping[str, tuple[Format, int, str]],
    objective: str,
) -> LayerCounts:
    if isinstance(shape, PassShape):
        return pass_counts(shape, accelerator)
    form, codewords, _ = formats[shape.name]
    schedule = best_schedule(shape, accelerator, form, codewords, objective=objective)
    return layer_counts(schedule, shape)


def _input_bytes(first: Shape) -> int:
    return first.ifmap_bytes if isinstance(first, ConvShape) else first.elements


def _output_bytes(last: Shape) -> int:
    """A last convolution or linear layer emits 32-bit logits."""
    return 4 * last.ofmap_bytes if isinstance(last, ConvShape) else last.results


def _schedule_json(schedule: Schedule | None) -> dict[str, object] | None:
    if schedule is None:
        return None
    return {"format": schedule.format, "codewords": schedule.codewords, "a": schedule.a,
            "b": schedule.b, "d": schedule.d, "overlap": schedule.overlap,
            "tile_rows": schedule.tile_rows}
