"""Which designs are tried: all, some at random, or those that the last ones speak for."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codeword.sweeping.space import Design, Space
from sim.errors import InputError, nearest

if TYPE_CHECKING:
    import optuna

EXHAUSTIVE_LIMIT = 10_000_000
"""Designs of a space that is searched whole."""

POPULATION = 50
"""Designs between two steps of a guided search."""

Judged = tuple[Sequence[float], Sequence[float]] | None
"""Objectives, less is better, and violations of the constraints, 0 or less where kept; None of a refused design."""


class Search(ABC):
    """Proposes designs, a batch at a time, and hears of them what they are worth.

    The same seed proposes the same: a search that was cut off starts anew and finds its rows in the table.
    """

    def __init__(self, space: Space, evaluations: int | None, seed: int) -> None:
        self.space, self.seed = space, seed
        self.evaluations = min(evaluations or space.size, space.size)

    @abstractmethod
    def ask(self) -> list[Design]:
        """Some more designs, all different; none when it is over."""

    def tell(self, designs: Sequence[Design], judged: Sequence[Judged]) -> None:  # noqa: B027
        """What the designs asked for last are worth."""


class Exhaustive(Search):
    """Every design; `evaluations` takes the first ones."""

    def __init__(self, space: Space, evaluations: int | None, seed: int) -> None:
        super().__init__(space, evaluations, seed)
        if self.evaluations > EXHAUSTIVE_LIMIT:
            problem = f"{self.evaluations:,} designs are too many to try them all"
            raise InputError("--search", "exhaustive", problem, "use random, tpe or nsga2, or --evaluations")
        self._left: list[int] | range = range(self.evaluations)

    def ask(self) -> list[Design]:
        found, self._left = [self.space.design(n) for n in self._left], []
        return found


class Random(Exhaustive):
    """Designs drawn evenly, none twice."""

    def __init__(self, space: Space, evaluations: int | None, seed: int) -> None:
        super().__init__(space, evaluations, seed)
        self._left = random.Random(seed).sample(range(space.size), self.evaluations)


class Guided(Search):
    """A sampler of Optuna, asked and told.

    A proposal that was there before is told again and costs nothing; a search that proposes nothing new `PATIENCE`
    times over is done.
    """

    PATIENCE = 20

    def __init__(self, space: Space, evaluations: int | None, seed: int) -> None:
        super().__init__(space, evaluations, seed)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            sampler=self._sampler(), directions=["minimize"] * len(space.objectives)
        )
        self._known: dict[Design, Judged] = {}
        self._asked: dict[Design, list[optuna.Trial]] = {}

    @abstractmethod
    def _sampler(self) -> optuna.samplers.BaseSampler: ...

    def ask(self) -> list[Design]:
        for _ in range(self.PATIENCE):
            room = min(POPULATION, self.evaluations - len(self._known))
            for _ in range(POPULATION if room else 0):
                trial = self._study.ask()
                design = tuple(self._place(trial, n) for n in range(len(self.space.dimensions)))
                if design in self._known:
                    self._finish(trial, self._known[design])
                elif design in self._asked or len(self._asked) < room:
                    self._asked.setdefault(design, []).append(trial)
                else:
                    self._finish(trial, None)
            if self._asked or not room:
                break
        return list(self._asked)

    def _place(self, trial: optuna.Trial, number: int) -> int:
        dimension = self.space.dimensions[number]
        last = len(dimension.values) - 1
        if last and not dimension.ordered:
            return int(trial.suggest_categorical(dimension.name, range(last + 1)))
        return trial.suggest_int(dimension.name, 0, last) if last else 0

    def tell(self, designs: Sequence[Design], judged: Sequence[Judged]) -> None:
        for design, worth in zip(designs, judged, strict=True):
            self._known[design] = worth
            for trial in self._asked.pop(design):
                self._finish(trial, worth)

    def _finish(self, trial: optuna.Trial, worth: Judged) -> None:
        from optuna.trial import TrialState

        if worth is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        values, violations = worth
        for constraint, violation in zip(self.space.constraints, violations, strict=True):
            trial.set_constraint(constraint.text, violation)
        self._study.tell(trial, list(values))


class Tpe(Guided):
    """Tree-structured Parzen estimator."""

    def _sampler(self) -> Any:
        from optuna.samplers import TPESampler

        return TPESampler(seed=self.seed)


class Nsga2(Guided):
    """Non-dominated sorting genetic algorithm II."""

    def _sampler(self) -> Any:
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(population_size=POPULATION, seed=self.seed)


SEARCHES: dict[str, type[Search]] = {"exhaustive": Exhaustive, "random": Random, "tpe": Tpe, "nsga2": Nsga2}


def search(name: str, space: Space, evaluations: int | None, seed: int) -> Search:
    """Raises InputError where the name is unknown, or the space is too large to try it all."""
    if name not in SEARCHES:
        raise InputError("--search", name, "unknown", nearest(name, SEARCHES))
    return SEARCHES[name](space, evaluations, seed)
