"""Mutation score of a component."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rtl.constants import constants
from rtl.mutate import equivalence, mutants
from rtl.mutate.suite import Suite


@dataclass(frozen=True)
class Score:
    """What became of the mutants of one component.

    Attributes:
        equivalent: proven to behave like the original within the contract.
        survivors: neither found nor proven equivalent.
    """

    component: str
    mutants: int
    killed: int
    equivalent: tuple[str, ...]
    survivors: tuple[str, ...]
    seconds: float

    @property
    def score(self) -> float:
        """Killed ones among those that can be told from the original."""
        return self.killed / max(1, self.mutants - len(self.equivalent))


def measure(suite: Suite, scale: float, seed: int) -> Score:
    """Runs a suite on mutants of its component and proves the survivors equivalent where they are.

    Raises:
        RuntimeError: the suite finds fault with the unchanged design.
    """
    started = time.monotonic()
    name = f"{suite.kind} ({suite.configuration})" if suite.configuration else suite.kind
    with tempfile.TemporaryDirectory() as scratch, constants(suite.small):
        directory = Path(scratch)
        changes = mutants.build(suite.top(), suite.kind, scale, seed, directory)
        fault = suite.run(directory, [0])
        if fault:
            raise RuntimeError(f"{name}: the unchanged design fails, {fault[0]}")
        killed = suite.run(directory, range(1, len(changes) + 1))
        left = [n for n in range(1, len(changes) + 1) if n not in killed]
        same = {n for n in left
                if equivalence.proven(suite.top(), suite.kind, n, suite.view, directory)}
    return Score(name, len(changes), len(killed), tuple(changes[n - 1] for n in left if n in same),
                 tuple(changes[n - 1] for n in left if n not in same), time.monotonic() - started)


def row(score: Score) -> str:
    """A row of the table."""
    return (f"| {score.component} | {score.mutants} | {score.killed} | {len(score.equivalent)} "
            f"| {len(score.survivors)} | {score.score:.1%} | {score.seconds:.1f} |")


def table(scores: Iterable[Score]) -> str:
    """The scores in Markdown."""
    lines = ["| component | mutants | killed | equivalent | survivors | score | s |",
             "|---|---|---|---|---|---|---|"]
    scores = list(scores)
    total = Score("all", sum(s.mutants for s in scores), sum(s.killed for s in scores),
                  sum((s.equivalent for s in scores), ()), sum((s.survivors for s in scores), ()),
                  sum(s.seconds for s in scores))
    return "\n".join((*lines, *map(row, scores), row(total)))
