"""Which schedule a layer gets: the best of all legal ones, as far as it is proven.

Branch and bound: boxes of schedules get lower bounds (arrays of them at once); the most promising ones are cut into
smaller ones, or tried with the closed form where one schedule is left, until no box can hold a schedule that is better
than the best one found by more than the tolerance. The tolerance is TOLERANCE, and grows with the number of trials
behind the first PATIENCE; what is proven in the end comes with the schedule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sim import technology
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic import remembered
from sim.systolic.candidates import Space, spaces
from sim.systolic.closed_form import counts
from sim.systolic.closed_form.bounds import Bounds
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.schedule import Schedule, Source

TOLERANCE = {"edp": 0.02, "energy": 0.005, "cycles": 0.02}
"""How much more than the least of all legal schedules the one found may take, as a share, within the first trials."""
OBJECTIVES = tuple(TOLERANCE)
PATIENCE = (1, 256)
"""First trials, at least and at most: with more of them the tolerance grows in proportion."""
WORK = 2**22
"""First trials times multiply-accumulates of a layer: in small ones latencies weigh, of which bounds know least."""
IDLE = 0.5
"""Trials that a cut of boxes counts as which leaves none to try."""
CUT = 16
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
        return _search(anonymous, accelerator, form, codewords, source)[objective]
    except InputError as error:
        raise InputError(f"{shape.name}: {error.field}", error.value, error.problem, error.fix) from None


def forget() -> None:
    """Empties the memory of past searches and of the layers counted for them; for benchmarks."""
    _search.cache_clear()
    counts.forget()
    remembered.searches.clear()


@lru_cache(maxsize=4096)
def _search(
    shape: ConvShape, accelerator: Accelerator, form: str, codewords: int, source: Source
) -> dict[str, Found]:
    """For all objectives at once, whose searches cut many of the same boxes.

    Each way to fold kernel rows is searched for itself, behind the others: only what is better than they are counts.
    """
    _, energy = technology.mapping_energy(accelerator)
    patience = min(max(WORK // max(shape.macs, 1), PATIENCE[0]), PATIENCE[1])
    found = spaces(shape, accelerator, form, codewords, source)
    plain = [space for space in found if space.base.shape.kernel[0] == shape.kernel[0]]
    others = [[space] for space in found if space.base.shape.kernel[0] != shape.kernel[0]]
    best = _Best(patience, shape)
    for stage in (plain, *others):
        if stage:
            best.improve([_Tree(space, shape, energy) for space in stage], energy)
    return {one: Found(best.schedules[one], best.gaps[one]) for one in OBJECTIVES}


class _Best:
    """The best schedules so far, what they take, and how much better others may be.

    Attributes:
        limits: float64 [OBJECTIVES].
    """

    def __init__(self, patience: int, shape: ConvShape) -> None:
        self.patience, self.shape = patience, shape
        self.schedules: dict[str, Schedule] = {}
        self.gaps = dict.fromkeys(OBJECTIVES, 0.0)
        self.limits, self._cycles = np.full((2, len(OBJECTIVES)), np.inf)

    def improve(self, trees: list[_Tree], energy: dict[str, float]) -> None:
        """Tries schedules of some spaces until none of them can be better by more than the tolerance."""
        open_, trials = np.ones(len(OBJECTIVES), bool), 0.0
        self._try([trial for tree in trees for trial in tree.seeds()], energy, open_)
        while True:
            lowest = np.min([tree.lowest for tree in trees], axis=0)
            growth = max(1.0, trials / self.patience)
            for n, objective in enumerate(OBJECTIVES):
                if open_[n] and self.limits[n] <= lowest[n] * (1 + growth * TOLERANCE[objective]):
                    open_[n] = False
                    self.gaps[objective] = max(self.gaps[objective], float(self.limits[n] / lowest[n]) - 1)
            if not open_.any():
                return
            now = [trial for tree in trees for trial in tree.step(self.limits, lowest, open_)]
            trials += self._try(now, energy, open_) + IDLE * (not now)

    def _try(self, trials: list[_Trial], energy: dict[str, float], open_: np.ndarray) -> int:
        """Counts schedules, and keeps those that are better by an objective that is open; how many it counted."""
        slack, tried = 1 + np.array(list(TOLERANCE.values())), 0
        for trial in trials:
            if (trial.scores * slack > self.limits)[open_].all():  # a trial just before is as good
                continue
            how = trial.space.schedule(trial.box)
            counted, _ = layer_counts(how, self.shape)
            cycles, tried = counted.total_cycles, tried + 1
            for n, value in enumerate(score(cycles, counted.accesses, energy)):
                if open_[n] and (value, cycles) < (self.limits[n], self._cycles[n]):
                    self.limits[n], self._cycles[n] = value, cycles
                    self.schedules[OBJECTIVES[n]] = how
        return tried


class _Trial(NamedTuple):
    """A box of a single schedule, and the least that each objective is there; float64 [OBJECTIVES]."""

    space: Space
    box: np.void
    scores: np.ndarray


class _Tree:
    """Boxes of a space that may hold a best schedule, and the least that each objective is in them.

    Attributes:
        scores: float64 [boxes, OBJECTIVES].
    """

    def __init__(self, space: Space, shape: ConvShape, energy: dict[str, float]) -> None:
        self.space, self.bounds, self.energy = space, Bounds(space, shape), energy
        self.boxes, self.scores = space.boxes, self._scores(space.boxes)

    def _scores(self, boxes: np.ndarray) -> np.ndarray:
        return np.stack(score(*self.bounds.least(boxes), self.energy), axis=1)

    def seeds(self) -> list[_Trial]:
        """The most promising schedule of evenly spread tiles for each objective, splitting channels and not, with one
        bank and two.
        """
        boxes = self.space.evenly()
        if not len(boxes):
            return []
        scores, best = self._scores(boxes), []
        kinds = 2 * boxes["split"] + boxes["overlap"]
        for kind in range(4):  # of each: where bounds are loose they would hide the others
            alike = np.flatnonzero(kinds == kind)
            if len(alike):
                best += alike[scores[alike].argmin(axis=0)].tolist()
        return self._trials(boxes, scores, dict.fromkeys(best))

    def _trials(self, boxes: np.ndarray, scores: np.ndarray, which: Iterable[int]) -> list[_Trial]:
        return [_Trial(self.space, boxes[n], scores[n]) for n in which]

    @property
    def lowest(self) -> np.ndarray:
        """Of all boxes, by objective."""
        return self.scores.min(axis=0, initial=np.inf)

    def step(self, limits: np.ndarray, lowest: np.ndarray, wanted: np.ndarray) -> list[_Trial]:
        """Drops boxes that lie above the limits of all objectives wanted, and cuts those nearest to a lowest one.

        Returns:
            For each objective the schedule with the lowest bound among boxes of a single one, taken out.
        """
        keep = (self.scores[:, wanted] <= limits[wanted]).any(axis=1)
        boxes, scores = self.boxes[keep], self.scores[keep]
        if not len(boxes):
            self.boxes, self.scores = boxes, scores
            return []
        near = (scores[:, wanted] / lowest[wanted]).min(axis=1)
        one = (boxes["rows"] == boxes["low_rows"]) & (boxes["columns"] == boxes["low_columns"])
        order = np.argsort(near, kind="stable")
        cut = order[~one[order]][:CUT]
        singles = np.flatnonzero(one)
        tried = np.unique(singles[scores[singles][:, wanted].argmin(axis=0)]) if len(singles) else singles
        rest = np.ones(len(boxes), bool)
        rest[cut] = rest[tried] = False
        self.boxes, self.scores = boxes[rest], scores[rest]
        if len(cut):
            parts = self.space.parts(boxes[cut])
            self.boxes = np.concatenate([self.boxes, parts])
            self.scores = np.concatenate([self.scores, self._scores(parts)])
        return self._trials(boxes, scores, tried)


def score(
    cycles: Any, accesses: dict[str, Any], energy: dict[str, float], tokens: int = 0
) -> tuple[Any, ...]:
    """All OBJECTIVES, in their order, of counts that are numbers or arrays.

    `tokens`: cycles with one. Plans of networks are weighed with them; the search of a layer does not count them.
    """
    spent: Any = 0.0
    for (
        what,
        count,
    ) in accesses.items():  # not `sum`, which rounds numbers and arrays differently since Python 3.12
        spent = spent + count * energy[what]
    spent = spent + cycles * energy["cycle"] + tokens * energy["token"]
    return spent * cycles, spent, cycles + 0.0 * spent
