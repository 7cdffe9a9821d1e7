"""Mutation score of a component."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evidence.constants import constants
from evidence.mutation import equivalence, mutants
from evidence.mutation.suite import Suite


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


def measure(suite: Suite, scale: float, seed: int, kinds: Collection[str] = ()) -> list[Score]:
    """Runs a suite on mutants of its components and proves the survivors equivalent where they are.

    Args:
        kinds: only these components of the suite; empty: all.

    Returns:
        One score a component. What the runs on all of them took is shared out by the number of mutants.

    Raises:
        RuntimeError: the suite finds fault with the unchanged design.
    """
    started = time.monotonic()
    chosen = [kind for kind in suite.kinds if not kinds or kind in kinds]
    with tempfile.TemporaryDirectory() as scratch, constants(suite.small):
        directory = Path(scratch)
        for name, text in suite.files.items():
            (directory / name).write_text(text)
        changes = mutants.build(suite.top(), chosen, scale, seed, directory)
        fault = suite.run(directory, [0])
        if fault:
            raise RuntimeError(f"{chosen}: the unchanged design fails, {fault[0]}")
        killed = suite.run(directory, range(1, len(changes) + 1))
        share = (time.monotonic() - started) / max(1, len(changes))
        return [
            _score(
                suite,
                kind,
                {n: change for n, (of, change) in enumerate(changes, 1) if of == kind},
                killed,
                share,
                directory,
            )
            for kind in chosen
        ]


def _score(
    suite: Suite,
    kind: str,
    changes: Mapping[int, str],
    killed: Collection[int],
    share: float,
    directory: Path,
) -> Score:
    started = time.monotonic()
    left = [n for n in changes if n not in killed]
    block, zero = suite.block(kind), suite.zero()
    same = {n for n in left if equivalence.proven(block, kind, n, suite.view, directory, zero)}
    return Score(
        f"{kind} ({suite.configuration})" if suite.configuration else kind,
        len(changes),
        len(changes) - len(left),
        tuple(changes[n] for n in left if n in same),
        tuple(changes[n] for n in left if n not in same),
        share * len(changes) + time.monotonic() - started,
    )


def row(score: Score) -> str:
    """A row of the table."""
    return (
        f"| {score.component} | {score.mutants} | {score.killed} | {len(score.equivalent)} "
        f"| {len(score.survivors)} | {score.score:.1%} | {score.seconds:.1f} |"
    )


def table(scores: Iterable[Score]) -> str:
    """The scores in Markdown."""
    lines = [
        "| component | mutants | killed | equivalent | survivors | score | s |",
        "|---|---|---|---|---|---|---|",
    ]
    scores = list(scores)
    total = Score(
        "all",
        sum(s.mutants for s in scores),
        sum(s.killed for s in scores),
        sum((s.equivalent for s in scores), ()),
        sum((s.survivors for s in scores), ()),
        sum(s.seconds for s in scores),
    )
    return "\n".join((*lines, *map(row, scores), row(total)))
