"""Which schedule a layer gets: the best of all legal ones, as far as it is proven.

Branch and bound: boxes of schedules get lower bounds (arrays of them at once); the most promising ones are cut into
smaller ones, or tried with the closed form where one schedule is left, until no box can hold a schedule that is better
than the best one found by more than the tolerance. The tolerance is 1 %, and grows with the number of trials behind the
first PATIENCE; what is proven in the end comes with the schedule.
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
"""How much more than the least of all legal schedules the one found may take, as a share, within PATIENCE trials."""
PATIENCE = (8, 512)
"""Trials, at least and at most, before the tolerance grows in proportion to them; between them as many as _WORK allows."""
_WORK = 2**26
"""Trials times multiply-accumulates of a layer: the smaller it is, the more latencies, which bounds see least of, weigh."""
CUT = 32
"""Boxes that are cut at a time, those with the lowest bounds."""


class Found(NamedTuple):
    """A schedule, and how much better the best of all legal ones may be at most, as a share of that one."""

    schedule: Schedule
    gap: float


def best_schedule(
    shape: ConvShape,
    accelerator: Accelerator,
    form: str,
    codewords: int = 0,
    *,
    objective: str = "edp",
    source: Source = "l2",
) -> Schedule:
    """The schedule that `search` finds."""
    return search(shape, accelerator, form, codewords, objective=objective, source=source).schedule


def search(
    shape: ConvShape,
    accelerator: Accelerator,
    form: str,
    codewords: int = 0,
    *,
    objective: str = "edp",
    source: Source = "l2",
) -> Found:
    """The schedule with the least energy-delay product (or energy, or cycles) of the layer alone, if only nearly.

    Its shape is nameless, so that equal layers have equal schedules. Ties go to fewer cycles.

    Args:
        shape: the layer itself; the search decides on folding.
        form: what its weight stream carries (`sim.systolic.streams`).
        codewords: k of its codebook, 0 without one.
        objective: one of OBJECTIVES. Energy is that of accesses and of cycles (`technology.mapping_energy`).
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
) -> Found:
    _, energy = technology.mapping_energy(accelerator)
    pools = [
        _Pool(one, score(*one.least, energy, objective))
        for one in _opened(shape, accelerator, form, codewords, source)
    ]
    patience = min(max(_WORK // max(shape.macs, 1), PATIENCE[0]), PATIENCE[1])
    best, schedule, trials = (np.inf, np.inf), pools[0].of.space.base, 0
    while True:
        pool = min(pools, key=lambda pool: pool.lowest)
        tolerance = TOLERANCE * max(1.0, trials / patience)
        if best[0] <= pool.lowest * (1 + tolerance):
            return Found(schedule, max(best[0] / pool.lowest - 1, 0.0))
        for tried in pool.step(best[0], energy, objective):
            found, _ = layer_counts(tried, shape)
            cycles, trials = found.total_cycles, trials + 1
            key = (float(score(cycles, found.accesses, energy, objective)), cycles)
            if key < best:
                best, schedule = key, tried


class _Pool:
    """Boxes of a space that may hold the best schedule, and the least that the objective is in each."""

    def __init__(self, of: _Open, scores: np.ndarray) -> None:
        self.of, self.boxes, self.scores = of, of.space.boxes, scores

    @property
    def lowest(self) -> float:
        return float(self.scores.min()) if len(self.scores) else np.inf

    def step(self, limit: float, energy: dict[str, float], objective: str) -> list[Schedule]:
        """Drops boxes above the limit, cuts the most promising ones, and takes one schedule out.

        Returns:
            That schedule, if there is one.
        """
        keep = np.flatnonzero(self.scores <= limit)
        keep = keep[np.argsort(self.scores[keep], kind="stable")]
        boxes, scores = self.boxes[keep], self.scores[keep]
        one = (boxes["rows"] == boxes["low_rows"]) & (boxes["columns"] == boxes["low_columns"])
        rest = np.ones(len(boxes), bool)
        cut, tried = np.flatnonzero(~one)[:CUT], np.flatnonzero(one)[:1]
        rest[cut] = rest[tried] = False
        self.boxes, self.scores = boxes[rest], scores[rest]
        if len(cut):
            parts = self.of.space.parts(boxes[cut])
            self.boxes = np.concatenate([self.boxes, parts])
            new = score(*self.of.bounds.least(parts), energy, objective)
            self.scores = np.concatenate([self.scores, new])
        return [self.of.space.schedule(box) for box in boxes[tried]]


def score(cycles: Any, accesses: dict[str, Any], energy: dict[str, float], objective: str) -> Any:
    """The objective of counts, numbers or arrays."""
    spent = sum(count * energy[what] for what, count in accesses.items()) + cycles * energy["cycle"]
    return {"edp": spent * cycles, "energy": spent, "cycles": cycles + 0.0 * spent}[objective]
