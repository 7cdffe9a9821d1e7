"""How a whole network runs: a schedule for every layer, and where each finds its ifmap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sim.accelerator import Accelerator
from sim.accelerator.systolic_presets import resources
from sim.errors import InputError
from sim.shapes import ConvShape, PassShape, Shape
from sim.steps import steps
from sim.systolic.closed_form.counts import layer_counts, pass_counts
from sim.systolic.mapping import OBJECTIVES, Found, score, search
from sim.systolic.results import Handover
from sim.systolic.schedule import Schedule, Source, spills
from sim.technology import mapping_energy

Plan = list[Schedule | Source]
"""A schedule of each convolution, the source of the operands of each pass."""


@dataclass(frozen=True)
class Planned:
    """How a network runs, and how much better some other schedule of a layer alone may be at most, as a share."""

    plan: Plan
    gap: float


def plan(
    shapes: Sequence[Shape],
    formats: Mapping[str, tuple[str, int]],
    accelerator: Accelerator,
    objective: str = "edp",
) -> Plan:
    """The plan that `planned` finds."""
    return planned(shapes, formats, accelerator, objective).plan


def planned(
    shapes: Sequence[Shape],
    formats: Mapping[str, tuple[str, int]],
    accelerator: Accelerator,
    objective: str = "edp",
) -> Planned:
    """The plan of the least objective that we know, of the network as a whole.

    The best schedules of single layers need not be those of a network: a layer hands its successor a bank, DRAM, and
    sometimes the ifmap. So the plans by all objectives are counted; and since a machine may run what a smaller one
    does, those of the smaller machines too (`_smaller`). The objective's own wins where they are equal.

    The network's input and its constants come from DRAM. What a layer reads of the layer before it is still in L1 if
    that one's whole ofmap was small enough to stay there, and not written strip by strip.

    Args:
        formats: stream format and k by name of the convolution.

    Raises:
        InputError: a layer cannot be mapped; the message names it and the limit that it breaks. Or the
            accelerator's technology is unknown.
    """
    mapping_energy(accelerator)  # an unknown technology is no fault of the first layer
    own, gap = _by_layer(shapes, formats, accelerator, accelerator, objective)
    best = min(
        (own, *_others(shapes, formats, accelerator, objective)),
        key=lambda found: _objective(shapes, found, accelerator, objective),
    )
    return Planned(best, gap)


def _others(
    shapes: Sequence[Shape], formats: Mapping[str, tuple[str, int]], accelerator: Accelerator, objective: str
) -> Iterator[Plan]:
    """Plans by other objectives, and of smaller machines where this one can run them."""
    for machine in (accelerator, *_smaller(accelerator)):
        for other in OBJECTIVES:
            if (machine, other) != (accelerator, objective):
                try:
                    yield _by_layer(shapes, formats, machine, accelerator, other)[0]
                except InputError:  # a smaller machine, or a schedule that a rounding keeps from this one
                    continue


def _smaller(accelerator: Accelerator) -> list[Accelerator]:
    """The machine with no more than 1, 2, 4 .. times what the preset of its size has of each resource."""
    usual = resources(accelerator.rows, accelerator.columns)
    found: list[Accelerator] = []
    times = 1
    while True:
        fewer = {
            field: times * most
            for field, most in usual.items()
            if (getattr(accelerator, field) or 0) > times * most
        }
        if not fewer:
            return found
        found.append(accelerator.model_copy(update=fewer))
        times *= 2


def _by_layer(
    shapes: Sequence[Shape],
    formats: Mapping[str, tuple[str, int]],
    searched: Accelerator,
    accelerator: Accelerator,
    objective: str,
) -> tuple[Plan, float]:
    """The best schedules of single layers on one machine, for another that has no less of anything; the largest gap."""
    found: Plan = []
    unread = True  # the network's input
    left, gap = 0, 0.0  # bytes that the layer before left in L1, 0 for none
    for shape in steps(shapes, "mapping", len(shapes)):
        source = "dram" if unread else _source(shape, left, accelerator)
        if isinstance(shape, ConvShape):
            form, codewords = formats[shape.name]
            there = source if searched is accelerator or source == "dram" else _source(shape, left, searched)
            best = search(shape, searched, form, codewords, objective=objective, source=there)
            how = best.schedule if searched is accelerator else _moved(best, accelerator, source)
            gap = max(gap, best.gap)
            found.append(how)
            left = shape.ofmap_bytes if how.strips == 1 else 0
        else:
            found.append(_of_pass(shape, accelerator, source))
            left = shape.ofmap_bytes
        unread = unread and _is_constant(shape)
    return found, gap


def _source(shape: Shape, left: int, accelerator: Accelerator) -> Source:
    """Where a layer finds what the one before it left."""
    return "l1" if shape.chained and 0 < left <= accelerator.ofmap_bytes else "l2"


def _moved(found: Found, accelerator: Accelerator, source: Source) -> Schedule:
    """A schedule of a smaller machine on this one, whose maps may fit where those of the other did not.

    Raises:
        InputError: it does not run here.
    """
    how = found.schedule
    if source == "dram" or spills(how.shape, accelerator):
        where: Source = "dram"
    elif source == "l1" and how.tiles == 1 and not how.split_channels and how.shape.unfolded is None:
        where = "l1"
    else:
        where = "l2"
    return replace(how, accelerator=accelerator, source=where)


def _is_constant(shape: Shape) -> bool:
    return isinstance(shape, PassShape) and shape.stored


def _of_pass(shape: PassShape, accelerator: Accelerator, source: Source) -> Source:
    if shape.stored or spills(shape, accelerator):
        return "dram"
    return "l2" if source == "l1" and shape.operands > 1 else source


def _objective(
    shapes: Sequence[Shape], plan: Plan, accelerator: Accelerator, objective: str
) -> tuple[float, int]:
    """Of a whole network, and its cycles."""
    _, energy = mapping_energy(accelerator)
    cycles, accesses, found = 0, dict.fromkeys(energy, 0), Handover()
    for shape, how in zip(shapes, plan, strict=True):
        if isinstance(how, Schedule):
            assert isinstance(shape, ConvShape)
            counts, found = layer_counts(how, shape, found)
        else:
            assert isinstance(shape, PassShape)
            counts, found = pass_counts(shape, accelerator, how, found)
        cycles += counts.total_cycles
        for what, count in counts.accesses.items():
            accesses[what] += count
    return float(score(cycles, accesses, energy, objective)), cycles
