"""A sweep: the designs that a search proposes, computed once, judged, and the front among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeword import inputs, outputs
from codeword.sweeping import front as fronts
from codeword.sweeping import space as spaces
from codeword.sweeping.evaluate import Job, Row, key
from codeword.sweeping.metrics import ACCURACY, Metric
from codeword.sweeping.search import Judged, search
from codeword.sweeping.space import Design, Space
from codeword.sweeping.store import Store, frame
from codeword.sweeping.workers import Workers
from sim import accelerator as accelerators
from sim.errors import InputError
from sim.steps import tell
from sim.workloads import WORKLOADS

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class Sweep:
    """Designs that were tried.

    Attributes:
        designs: in the order in which they were proposed.
        rows: of each design, by network; a design whose description is not legal has `refused` alone.
        computed: rows that were not in the table before.
        path: of the table.
        of_others: rows of the table that another version of the code computed, which were not used.
    """

    space: Space
    designs: tuple[Design, ...]
    rows: tuple[dict[str, Row], ...]
    computed: int
    path: Path
    of_others: int = 0

    @cached_property
    def values(self) -> np.ndarray:
        """Objectives of each design, float64 [designs, objectives], NaN where a design is refused or one is unknown.

        Over several networks the geometric mean, of the accuracy the plain one.
        """
        rows = [
            [_overall(self.space, one, of_design) for one in self.space.objectives] for of_design in self.rows
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.space.objectives))

    @cached_property
    def feasible(self) -> np.ndarray:
        """bool [designs]: no network refuses it, and each keeps every constraint."""
        judged = [_judged(self.space, of_design) for of_design in self.rows]
        return np.array([one is not None and all(v <= 0 for v in one[1]) for one in judged], dtype=bool)

    @cached_property
    def front(self) -> list[int]:
        """Places of the feasible designs that no other beats in every objective, by the first objective."""
        signs = np.array([-1.0 if one.larger else 1.0 for one in self.space.objectives])
        values = np.where(self.feasible[:, None], self.values * signs, np.nan)
        return sorted(fronts.front(values).tolist(), key=lambda place: tuple(values[place]))

    @property
    def keeping(self) -> list[int]:
        """How many designs keep each constraint."""
        judged = [
            one for one in (_judged(self.space, of_design) for of_design in self.rows) if one is not None
        ]
        return [sum(one[1][n] <= 0 for one in judged) for n in range(len(self.space.constraints))]

    @property
    def refused(self) -> dict[str, int]:
        """How many designs each reason refused, the most frequent first."""
        reasons: dict[str, int] = {}
        for of_design in self.rows:
            for reason in {row["refused"] for row in of_design.values() if row.get("refused")}:
                reasons[reason] = reasons.get(reason, 0) + 1
        return dict(sorted(reasons.items(), key=lambda item: -item[1]))

    def table(self) -> pl.DataFrame:
        """A row for each design and network."""
        return frame([row for of_design in self.rows for row in of_design.values()])

    def front_rows(self) -> list[dict[str, Any]]:
        """What varies and the objectives of each design of the front."""
        varied = [dimension.name for dimension in self.space.varied]
        found = []
        for place in self.front:
            chosen = self.space.choices(self.designs[place])
            values = dict(
                zip((one.name for one in self.space.objectives), self.values[place].tolist(), strict=True)
            )
            found.append({name: chosen[name] for name in varied} | values)
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "table": str(self.path),
            "networks": list(self.space.networks),
            "objectives": {one.name: one.unit for one in self.space.objectives},
            "constraints": [one.text for one in self.space.constraints],
            "space": self.space.size,
            "designs": len(self.designs),
            "computed": self.computed,
            "feasible": int(self.feasible.sum()),
            "refused": self.refused,
            "of_another_version": self.of_others,
            "front": self.front_rows(),
        }


@inputs.extra()
def sweep(
    space: Space | str | Path,
    directory: str | Path,
    *,
    method: str = "exhaustive",
    evaluations: int | None = None,
    seed: int = 0,
    processes: int | None = None,
    scheduler: str | None = None,
) -> Sweep:
    """Tries designs of a space and adds them to the table in a folder.

    What the table has is not computed again, whichever space asked for it; what is computed is on disk piece by
    piece, so that a run that was cut off goes on where it was.

    Args:
        space: or its TOML file (`codeword.sweeping.space`).
        method: exhaustive, random, tpe or nsga2.
        evaluations: designs at most; None for the whole space.
        seed: of the choice of designs; the same seed proposes the same designs.
        processes: of this machine; None for one a core.
        scheduler: address of a Dask scheduler whose workers compute instead.

    Raises:
        InputError: a space, network, table, scheduler or search that does not do, or the extra `sweep` is not
            installed.
    """
    found = space if isinstance(space, Space) else spaces.read(space)
    folder = outputs.folder(directory)
    if evaluations is not None and evaluations < 1:
        raise InputError("--evaluations", evaluations, "must be at least 1", "give 1 or more")
    folder.mkdir(exist_ok=True)
    networks = {name: _place(name, found.folder) for name in found.all_names}
    run = _Run(found, networks, Store(folder), Workers(processes, scheduler))
    chosen = search(method, found, evaluations, seed)
    try:
        while proposed := chosen.ask():
            chosen.tell(proposed, run.judge(proposed, chosen.evaluations))
    finally:
        path = run.store.close()
    return Sweep(found, tuple(run.rows), tuple(run.rows.values()), run.computed, path, run.store.of_others)


@dataclass
class _Run:
    """What a sweep has done so far: rows by network, of each design; `networks`: the place of each by name."""

    space: Space
    networks: dict[str, str]
    store: Store
    workers: Workers
    rows: dict[Design, dict[str, Row]] = field(default_factory=dict)
    computed: int = 0

    def judge(self, designs: Sequence[Design], expected: int) -> list[Judged]:
        """Computes what the table has not."""
        wanted: dict[Design, dict[str, Job]] = {}
        for design in designs:
            try:
                fields = self.space.accelerator(design).model_dump()
            except InputError as error:
                self.rows[design] = {name: {"refused": str(error)} for name in self.space.names(design)}
                continue
            objective = self.space.objective(design)
            wanted[design] = {
                name: Job(key(fields, place, objective), fields, place, objective)
                for name in self.space.names(design)
                for place in [self.networks[name]]
            }
        self._compute(job for jobs in wanted.values() for job in jobs.values())
        for design, jobs in wanted.items():
            self.rows[design] = {name: self.store[job.key] for name, job in jobs.items()}
        tell("designs", len(self.rows), max(expected, len(self.rows) + 1))
        return [_judged(self.space, self.rows[design]) for design in designs]

    def _compute(self, jobs: Iterable[Job]) -> None:
        missing = list({job.key: job for job in jobs if job.key not in self.store}.values())
        for rows in self.workers.compute(missing):
            self.store.add(rows)
            self.computed += len(rows)
            tell("rows", self.computed, self.computed + len(missing))
        tell("rows", 1, 1)


def _place(network: str, folder: Path) -> str:
    """A built-in name, or the whole path of a file, which is read once before any work."""
    built_in = network in WORKLOADS or not Path(network).suffix
    place = network if built_in else str((folder / network).resolve())
    inputs.network(place, accelerators.preset("ews-16"))
    return place


def _judged(space: Space, rows: dict[str, Row]) -> Judged:
    if any(row.get("refused") for row in rows.values()):
        return None
    values = [_overall(space, one, rows) for one in space.objectives]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    signs = [-1 if one.larger else 1 for one in space.objectives]
    violations = [
        max(one.violation(_value(space, one.metric, name, row)) for name, row in rows.items())
        for one in space.constraints
    ]
    return [sign * value for sign, value in zip(signs, known, strict=True)], violations


def _value(space: Space, metric: Metric, network: str, row: Row) -> float | None:
    return space.accuracy[network] if metric is ACCURACY else row.get(metric.name)


def _overall(space: Space, metric: Metric, rows: dict[str, Row]) -> float | None:
    """Of a design on all networks; None where one is unknown."""
    values = [_value(space, metric, name, row) for name, row in rows.items()]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    mean: Callable[[list[float]], float] = _plain_mean if metric is ACCURACY else _geometric_mean
    return known[0] if metric.of_design or len(known) == 1 else mean(known)


def _plain_mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _geometric_mean(values: list[float]) -> float:
    return exp(sum(map(log, values)) / len(values)) if all(values) else 0.0
