"""Tries the space whole, then lets each search have its share of evaluations; the table keeps what was computed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codeword.reports.registry import Task
from codeword.sweeping import Sweep, sweep
from codeword.sweeping import space as spaces
from codeword.sweeping.front import hypervolume
from sim.files import write_whole

SPACE = Path(__file__).with_name("space.toml")
SHARES = (0.02, 0.05, 0.10, 0.15)
"""Of the space, that a search may evaluate."""

SEEDS = (0, 1, 2, 3, 4)
SEARCHES = ("random", "nsga2")


def run(task: Task) -> None:
    """Writes the hypervolumes and how much of the front each search found."""
    space = spaces.read(SPACE)
    whole = sweep(space, task.work)
    judge = Judge(whole)
    searches = [
        {"search": name, "seed": seed, **figures}
        for name in SEARCHES
        for seed in SEEDS
        for figures in _prefixes(name, seed, space, task.work, judge)
    ]
    figures = {
        "networks": list(space.networks),
        "objectives": [one.name for one in space.objectives],
        "fields": {one.name: list(one.values) for one in space.varied},
        "designs": space.size,
        "feasible": int(whole.feasible.sum()),
        "refused": whole.refused,
        "front": len(whole.front),
        "hypervolume": judge.volume(range(len(whole.designs))),
        "searches": searches,
    }
    write_whole(task.out, json.dumps(figures, indent=1) + "\n")


class Judge:
    """What a set of designs is worth beside the whole space.

    Objectives are divided by their largest value in the space: the reference of the hypervolume is (1, ..., 1).
    """

    def __init__(self, whole: Sweep) -> None:
        self.places = {design: place for place, design in enumerate(whole.designs)}
        signs = np.array([-1.0 if one.larger else 1.0 for one in whole.space.objectives])
        values = np.where(whole.feasible[:, None], whole.values * signs, np.nan)
        self._values = values / np.nanmax(values, axis=0)
        self._front = set(whole.front)

    def volume(self, places: Any) -> float:
        values = self._values[list(places)]
        values = values[~np.isnan(values).any(axis=1)]
        return hypervolume(values, np.ones(values.shape[1]))

    def figures(self, designs: Any) -> dict[str, float]:
        """Evaluations, hypervolume, and how many designs of the front are among them."""
        places = [self.places[design] for design in designs]
        return {
            "evaluations": len(places),
            "hypervolume": self.volume(places),
            "front": len(self._front.intersection(places)),
        }


def _prefixes(
    name: str, seed: int, space: spaces.Space, work: Path, judge: Judge
) -> Iterator[dict[str, float]]:
    """Of the first designs that a search tried, for each share; a search is the same whatever it may go on to."""
    most = round(space.size * SHARES[-1])
    found = sweep(space, work, method=name, evaluations=most, seed=seed)
    for share in SHARES:
        yield judge.figures(found.designs[: round(space.size * share)])
