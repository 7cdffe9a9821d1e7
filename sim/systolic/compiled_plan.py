"""The plan of one network by the compiled search, with the counts of every layer: what `plan.planned` finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from sim.accelerator import Accelerator
from sim.results import LayerCounts
from sim.shapes import Shape
from sim.systolic import sweep
from sim.systolic.bulk.accesses import ACCESSES
from sim.systolic.bulk.counts import layers as count_layers
from sim.systolic.bulk.problem import ENERGIES, HOW, SOURCES
from sim.systolic.bulk.walk import SPENT
from sim.systolic.closed_form.counts import pass_counts
from sim.systolic.folding import ways
from sim.systolic.layers import Layers
from sim.systolic.mapping import OBJECTIVES
from sim.systolic.plan import Plan, Planned
from sim.systolic.results import CAUSES, Handover
from sim.systolic.schedule import Schedule, Source


def planned(
    shapes: Sequence[Shape],
    formats: Mapping[str, tuple[str, int]],
    accelerator: Accelerator,
    objective: str = "edp",
) -> Planned:
    """As `plan.planned` with these layers, pools that ride among them."""
    network = sweep.Network(Layers(shapes, formats), accelerator)
    ways, _, gap = network.best(OBJECTIVES.index(objective), network.machines())
    made: dict[int, Schedule | Source] = {}
    known: dict[tuple[int, Handover], tuple[LayerCounts, Handover]] = {}
    plan: Plan = []
    layers: list[LayerCounts] = []
    left = Handover()
    for shape, way in zip(shapes, ways, strict=True):
        if way not in made:
            made[way] = _made(network, way)
        if (way, left) not in known:
            known[way, left] = _counted(network, way, made[way], left)
        counts, left = known[way, left]
        plan.append(made[way])
        layers.append(replace(counts, name=shape.name))
    return Planned(plan, gap, layers, shapes)


def _made(network: sweep.Network, way: int) -> Schedule | Source:
    """A way to run a layer as plans have it."""
    (place, _), how = network.ways.of[way], dict(zip(sweep.FIELDS, network.ways.rows[way], strict=True))
    source = cast(Source, SOURCES[how["source"]])
    if place < 0:
        return source
    shape, form, codewords = network.convolution(place)
    return Schedule(
        network.accelerator,
        ways(shape, network.accelerator, form)[how["folded"]],
        form,
        codewords,
        A=how["A"],
        B=how["B"],
        D=how["D"],
        overlap=bool(how["overlap"]),
        tile_rows=how["rows"],
        outputs_outer=bool(how["outer"]),
        split_channels=bool(how["split"]),
        source=source,
        strip_columns=0 if how["columns"] == shape.out_w else how["columns"],
    )


def _counted(
    network: sweep.Network, way: int, made: Schedule | Source, left: Handover
) -> tuple[LayerCounts, Handover]:
    """Counts of a layer behind another, and what it leaves."""
    place, number = network.ways.of[way]
    if not isinstance(made, Schedule):
        return pass_counts(network.layers.passes[number], network.accelerator, made, left)
    found = np.array([left], np.int64)
    spent, accesses = np.zeros((1, len(SPENT)), np.int64), np.zeros((1, ACCESSES), np.int64)
    how = np.array([network.ways.rows[way]], HOW)
    count_layers(network.every[place : place + 1], how, found, spent, accesses)
    cycles = dict.fromkeys(CAUSES, 0) | dict(zip(SPENT, spent[0].tolist(), strict=True))
    shape = network.convolution(place)[0]
    counts = dict(zip(ENERGIES, accesses[0].tolist(), strict=False))
    return LayerCounts("", shape.macs, cycles, counts, made), Handover(*found[0].tolist())
