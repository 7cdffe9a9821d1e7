"""How a whole network runs: a schedule for every layer, and where each finds its ifmap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sim.accelerator import Accelerator
from sim.accelerator.systolic_presets import resources
from sim.errors import InputError
from sim.results import LayerCounts
from sim.shapes import ConvShape, PassShape, Shape, ridden, rides
from sim.steps import steps
from sim.systolic import remembered
from sim.systolic.closed_form.counts import layer_counts, pass_counts
from sim.systolic.mapping import OBJECTIVES, Found, score, search
from sim.systolic.results import Handover, with_output
from sim.systolic.schedule import Schedule, Source, spills
from sim.technology import mapping_energy

Plan = list[Schedule | Source]
"""A schedule of each convolution, the source of the operands of each pass."""


@dataclass(frozen=True)
class Planned:
    """How a network runs, and how much better some other schedule of a layer alone may be at most, as a share.

    Attributes:
        layers: counts of each layer behind those before it.
        shapes: of the layers as they run (`as_planned`).
    """

    plan: Plan
    gap: float
    layers: list[LayerCounts]
    shapes: Sequence[Shape]


Way = TypeVar("Way")


def pooling_where_better(
    shapes: Sequence[Shape], way: Callable[[Sequence[int]], Way], key: Callable[[Way], tuple[float, int]]
) -> Way:
    """How a network runs whose storer pools behind those convolutions where that makes the network better.

    Args:
        way: how it runs where the pools of these numbers ride on the convolutions before them.
        key: what is to be small.

    Raises:
        InputError: the network does not run without them.
    """
    riding: list[int] = []
    best = way(riding)
    for n in range(len(shapes)):
        if rides(shapes, n):
            try:
                other = way([*riding, n])
            except InputError:
                continue
            if key(other) < key(best):
                best, riding = other, [*riding, n]
    return best


def as_planned(shapes: Sequence[Shape], plan: Sequence[Schedule | Source]) -> tuple[Shape, ...]:
    """The layers as they run: a pool that the storer of the convolution before it takes along y has windows along x."""
    return riders(
        shapes, [n + 1 for n, how in enumerate(plan) if isinstance(how, Schedule) and how.shape.pool]
    )


def riders(shapes: Sequence[Shape], riding: Sequence[int]) -> tuple[Shape, ...]:
    """Shapes of a network some of whose pools, by number, ride on the convolutions before them."""
    found = list(shapes)
    for n in riding:
        of, reader = found[n - 1], found[n]
        assert isinstance(of, ConvShape)
        assert isinstance(reader, PassShape)
        found[n - 1], found[n] = ridden(of, reader)
    return tuple(found)


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
    sometimes the ifmap; and what it saves of one for more of the other may not pay in the whole. So the plans by all
    objectives are counted, and one that mixes them; and since a machine may run what a smaller one
    does, those of the smaller machines too (`smaller`). The objective's own wins where they are equal. All of this with
    each max pool as a layer, and on the storer of the convolution before it.

    The network's input and its constants come from DRAM. What a layer reads of the layer before it is still in L1 if
    that one's whole ofmap was small enough to stay there, and not written strip by strip.

    Args:
        formats: stream format and k by name of the convolution.

    Raises:
        InputError: a layer cannot be mapped; the message names it and the limit that it breaks. Or the
            accelerator's technology is unknown.
    """
    mapping_energy(accelerator)  # an unknown technology is no fault of the first layer
    one = _planned
    if remembered.ready and objective in OBJECTIVES:
        from sim.systolic import compiled_plan  # compiles

        one = compiled_plan.planned
    return pooling_where_better(
        shapes,
        lambda riding: one(riders(shapes, riding), formats, accelerator, objective),
        lambda found: _score(found.layers, found.shapes[-1], accelerator, objective),
    )


def _planned(
    shapes: Sequence[Shape], formats: Mapping[str, tuple[str, int]], accelerator: Accelerator, objective: str
) -> Planned:
    """With these layers, pools that ride among them."""
    network = _Network(shapes, formats, accelerator)
    own, gap = network.by_layer(accelerator, objective)
    best = min((own, *network.others(objective)), key=lambda found: network.score(found, objective))
    return Planned(best, gap, network.counts(best), shapes)


def _score(
    layers: Sequence[LayerCounts], last: Shape, accelerator: Accelerator, objective: str
) -> tuple[float, int]:
    """The objective of a network, the output of its last layer included, and its cycles."""
    _, energy = mapping_energy(accelerator)
    cycles, tokens, accesses = 0, 0, dict.fromkeys(energy, 0)
    # The output is the same bytes in every plan, but EDP multiplies them: without them another plan may look best.
    for counts in with_output(layers, last, accelerator):
        cycles += counts.total_cycles
        tokens += counts.cycles["compute"]
        for what, count in counts.accesses.items():
            accesses[what] += count
    return float(score(cycles, accesses, energy, tokens)[OBJECTIVES.index(objective)]), cycles


class _Totals(NamedTuple):
    """Energy as the mapping counts it, and cycles, of a network."""

    energy: float
    cycles: float

    def shares(self, shape: ConvShape, found: Found) -> float:
        """What a layer alone adds to both, as shares."""
        counts, _ = layer_counts(found.schedule, shape)
        _, energy = mapping_energy(found.schedule.accelerator)
        _, spent, cycles = score(counts.total_cycles, counts.accesses, energy)
        return float(spent / self.energy + cycles / self.cycles)


class _Network:
    """A network on a machine. Layers that differ in their names alone are mapped once, and counted once behind equal
    ones.
    """

    def __init__(
        self, shapes: Sequence[Shape], formats: Mapping[str, tuple[str, int]], accelerator: Accelerator
    ) -> None:
        self.shapes, self.formats, self.accelerator = shapes, formats, accelerator
        numbers: dict[tuple[Any, ...], int] = {}
        self.kinds = [numbers.setdefault(_kind(shape, formats), len(numbers)) for shape in shapes]
        self.counted: dict[tuple[int, int, Handover], tuple[Schedule | Source, LayerCounts, Handover]] = {}

    def others(self, objective: str) -> Iterator[Plan]:
        """Plans by other objectives, mixed ones, and those of smaller machines where this one can run them."""
        for machine in (self.accelerator, *smaller(self.accelerator)):
            for other in (*OBJECTIVES, None):
                if (machine, other) != (self.accelerator, objective):
                    try:
                        yield self.by_layer(machine, other or self._totals(machine))[0]
                    except InputError:  # a smaller machine, or a schedule that a rounding keeps from this one
                        continue

    def _totals(self, machine: Accelerator) -> _Totals:
        """What another machine takes for the network, mapped there by EDP."""
        there = self if machine is self.accelerator else _Network(self.shapes, self.formats, machine)
        plan, _ = there.by_layer(machine, "edp")
        return _Totals(there.score(plan, "energy")[0], there.score(plan, "cycles")[0])

    def by_layer(self, searched: Accelerator, objective: str | _Totals) -> tuple[Plan, float]:
        """The best schedules of single layers on a machine that has no more of anything; the largest gap.

        With totals, a layer gets that schedule, of its best ones by each objective, which adds least to the EDP of the
        network: there a saved joule counts as much as a saved cycle by their shares in the totals, not in the layer.
        """
        found: Plan = []
        known: dict[tuple[int, Source, Source], tuple[Schedule | Source, float]] = {}
        unread = True  # the network's input
        left = 0  # bytes that the layer before left in L1, 0 for none
        for kind, shape in zip(self.kinds, steps(self.shapes, "mapping", len(self.shapes)), strict=True):
            source = "dram" if unread else _source(shape, left, self.accelerator)
            there = source if source == "dram" else _source(shape, left, searched)
            if (kind, source, there) not in known:
                known[kind, source, there] = self._layer(shape, searched, objective, source, there)
            how, _ = known[kind, source, there]
            found.append(how)
            strips = isinstance(how, Schedule) and how.strips > 1
            left = 0 if strips else shape.ofmap_bytes
            unread = unread and _is_constant(shape)
        return found, max(gap for _, gap in known.values())

    def _layer(
        self, shape: Shape, searched: Accelerator, objective: str | _Totals, source: Source, there: Source
    ) -> tuple[Schedule | Source, float]:
        """A layer whose ifmap this machine finds in `source`, the searched one in `there`, and its gap."""
        if isinstance(shape, PassShape):
            return _of_pass(shape, self.accelerator, source), 0.0
        form, codewords = self.formats[shape.name]
        found = [
            search(shape, searched, form, codewords, objective=one, source=there)
            for one in ((objective,) if isinstance(objective, str) else OBJECTIVES)
        ]
        best = found[0] if isinstance(objective, str) else min(found, key=partial(objective.shares, shape))
        if searched is self.accelerator:
            return best
        return _moved(best, self.accelerator, source), best.gap

    def counts(self, plan: Plan) -> list[LayerCounts]:
        """Of all layers, each behind those before it."""
        layers, left = [], Handover()
        for kind, shape, how in zip(self.kinds, self.shapes, plan, strict=True):
            key = kind, id(how), left
            if key not in self.counted:  # where the schedule stays, so that no other one has its id
                if isinstance(how, Schedule):
                    assert isinstance(shape, ConvShape)
                    self.counted[key] = how, *layer_counts(how, shape, left)
                else:
                    assert isinstance(shape, PassShape)
                    self.counted[key] = how, *pass_counts(shape, self.accelerator, how, left)
            _, counts, left = self.counted[key]
            layers.append(counts if counts.name == shape.name else replace(counts, name=shape.name))
        return layers

    def score(self, plan: Plan, objective: str) -> tuple[float, int]:
        """The objective of the whole network, and its cycles."""
        return _score(self.counts(plan), self.shapes[-1], self.accelerator, objective)


_NAMES = ("name", "residual")
_FIELDS = {
    of: tuple(field.name for field in fields(of) if field.name not in _NAMES) for of in (ConvShape, PassShape)
}


def _kind(shape: Shape, formats: Mapping[str, tuple[str, int]]) -> tuple[Any, ...]:
    """All that its schedule and its counts depend on, of a layer alone."""
    own = tuple(getattr(shape, field) for field in _FIELDS[type(shape)])
    return own if isinstance(shape, PassShape) else (*own, bool(shape.residual), formats[shape.name])


def smaller(accelerator: Accelerator) -> list[Accelerator]:
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
