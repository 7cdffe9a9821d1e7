"""Which schedule a layer gets: the best of all legal ones, or one that is proven to be at most TOLERANCE worse.

Branch and bound: boxes of schedules get lower bounds (arrays of them at once); the most promising ones are cut into
smaller ones, or tried with the closed form where one schedule is left, until no box can hold one that is better by more
than the tolerance.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sim import technology
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic.candidates import Space, spaces
from sim.systolic.closed_form import counts
from sim.systolic.closed_form.bounds import Bounds
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.schedule import Schedule, Source

OBJECTIVES = ("edp", "energy", "cycles")
TOLERANCE = 0.01
"""How much more than the least of all legal schedules the one found may take, as a share."""
CUT = 32
"""Boxes that are cut at a time, those with the lowest bounds."""
TRIES = 1
"""Schedules tried with the closed form before bounds are looked at again."""


def best_schedule(
    shape: ConvShape,
    accelerator: Accelerator,
    form: str,
    codewords: int = 0,
    *,
    objective: str = "edp",
    source: Source = "l2",
) -> Schedule:
    """The schedule with the least energy-delay product (or energy, or cycles) of the layer alone.

    Its shape is nameless, so that equal layers have equal schedules. Ties go to fewer cycles.

    Args:
        shape: the layer itself; the search decides on folding.
        form: what its weight stream carries (`sim.systolic.streams`).
        codewords: k of its codebook, 0 without one.
        objective: one of OBJECTIVES. Energy is on-chip and DRAM accesses, weighted by technology.
        source: where the ifmap is; one in "l1" is used from there if it stays one tile.

    Raises:
        InputError: no schedule fits; the message names the layer and the limit that it breaks.
    """
    if objective not in OBJECTIVES:
        raise InputError("objective", objective, "unknown", f"use one of {', '.join(OBJECTIVES)}")
    # Equal layers share one search, whatever their names.
    anonymous = replace(shape, name="", residual="residual" if shape.residual else "", chained=True)
    try:
        return _search(anonymous, accelerator, form, codewords, objective, source)
    except InputError as error:
        raise InputError(f"{shape.name}: {error.field}", error.value, error.problem, error.fix) from None


def forget() -> None:
    """Empties the memory of past searches and of the layers counted for them; for benchmarks."""
    _search.cache_clear()
    _opened.cache_clear()
    counts.forget()


class _Open(NamedTuple):
    """Boxes of a space with their bounds, before any search.

    Attributes:
        least: cycles and accesses by memory at least.
    """

    space: Space
    bounds: Bounds
    least: tuple[np.ndarray, dict[str, np.ndarray]]


@lru_cache(maxsize=256)
def _opened(
    shape: ConvShape, accelerator: Accelerator, form: str, codewords: int, source: Source
) -> list[_Open]:
    found = []
    for space in spaces(shape, accelerator, form, codewords, source):
        bounds = Bounds(space, shape)
        found.append(_Open(space, bounds, bounds.least(space.boxes)))
    return found


@lru_cache(maxsize=4096)
def _search(
    shape: ConvShape, accelerator: Accelerator, form: str, codewords: int, objective: str, source: Source
) -> Schedule:
    _, energy = technology.mapping_energy(accelerator)
    opened = _opened(shape, accelerator, form, codewords, source)
    open_boxes = [_Pool(one, _score(*one.least, energy, objective)) for one in opened]
    best: tuple[tuple[float, float], Schedule] | None = None
    while True:
        pool = min(open_boxes, key=lambda pool: pool.lowest)
        if best is not None and best[0][0] <= pool.lowest * (1 + TOLERANCE):
            return best[1]
        limit = np.inf if best is None else best[0][0] / (1 + TOLERANCE)
        for schedule in pool.step(limit, energy, objective):
            counts, _ = layer_counts(schedule, shape)
            cycles = counts.total_cycles
            key = (float(_score(cycles, counts.accesses, energy, objective)), cycles)
            if best is None or key < best[0]:
                best = key, schedule


class _Pool:
    """Boxes of a space that may hold the best schedule, and the least that the objective is in each."""

    def __init__(self, of: _Open, scores: np.ndarray) -> None:
        self.of, self.boxes, self.scores = of, of.space.boxes, scores

    @property
    def lowest(self) -> float:
        return float(self.scores.min()) if len(self.scores) else np.inf

    def step(self, limit: float, energy: dict[str, float], objective: str) -> list[Schedule]:
        """Drops what is not below the limit, takes out the most promising boxes, and cuts them.

        Returns:
            The schedules of those that cannot be cut.
        """
        keep = np.flatnonzero(self.scores <= limit)
        keep = keep[np.argsort(self.scores[keep], kind="stable")]
        boxes, scores = self.boxes[keep], self.scores[keep]
        one = (boxes["rows"] == boxes["low_rows"]) & (boxes["columns"] == boxes["low_columns"])
        rest = np.ones(len(boxes), bool)
        cut, tried = np.flatnonzero(~one)[:CUT], np.flatnonzero(one)[:TRIES]
        rest[cut] = rest[tried] = False
        self.boxes, self.scores = boxes[rest], scores[rest]
        if len(cut):
            parts = self.of.space.parts(boxes[cut])
            self.boxes = np.concatenate([self.boxes, parts])
            new = _score(*self.of.bounds.least(parts), energy, objective)
            self.scores = np.concatenate([self.scores, new])
        return [self.of.space.schedule(box) for box in boxes[tried]]


def _score(cycles: Any, accesses: dict[str, Any], energy: dict[str, float], objective: str) -> Any:
    """The objective of counts, numbers or arrays."""
    spent = sum(count * energy[what] for what, count in accesses.items()) + cycles * energy.get("cycle", 0.0)
    return {"edp": spent * cycles, "energy": spent, "cycles": cycles + 0.0 * spent}[objective]
