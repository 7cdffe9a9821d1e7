"""What a bench of a component is, and what several of them are fed with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rtl.block import Block
from rtl.power.evaluator import LANES
from rtl.power.streams import Sample
from sim.accelerator import Accelerator, load

Words = dict[str, np.ndarray]
Statistics = dict[str, float]
Phases = Iterator[tuple[Words, Mapping[str, int]]]
"""Stimulus of each phase, and how many words, rows, ... it has, whatever its events are counted by."""

ACTIVATION = ("activation_zero_rate", "activation_toggle_rate")
TOKENS = 64
"""Of a sample, in each pattern."""


@dataclass(frozen=True)
class Event:
    """Part of a component's energy.

    Attributes:
        phase: of the bench, in which it happens.
        counted_by: what it is the energy of one of, as "words".
        statistics: on which it depends.
        inside: text in the path of the instances that spend it, "" for all but the others'.
    """

    name: str
    phase: int
    counted_by: str
    statistics: tuple[str, ...]
    inside: str = ""


@dataclass(frozen=True)
class Bench:
    """One component at one size.

    Attributes:
        size: what its energies hold for.
        layers: the accelerator whose schedule gives the operands.
        machine: the accelerator that it belongs to; block: the component.
        dense: fed with unpruned weights, too.
        variant: tells components of one kind apart.
        phases: stimulus of each phase, and what its events are counted by; earlier ones set the state.
    """

    size: Mapping[str, int]
    layers: Accelerator
    machine: Accelerator
    block: Block
    events: tuple[Event, ...]
    phases: Callable[[Bench, Sample], Phases]
    statistics: Callable[[Bench, Sample], Statistics]
    dense: bool = False
    variant: str = ""

    @property
    def name(self) -> str:
        return f"{self.block.kind}_{self.variant}" if self.variant else self.block.kind


def dense() -> Accelerator:
    """The machine of components without codewords."""
    return load("ews-16x4", {"tile_rows": 4, "tile_columns": 4})


def sparse(entries: int = 64) -> Accelerator:
    """The machine of components for masked codewords."""
    return load("ews-cms-16", {"tile_rows": 4, "codebook_entries": entries})


def tile_rows(bench: Bench) -> np.ndarray:
    """First row of the tile that each pattern looks at, as an index over [tokens, patterns, rows]."""
    steps = bench.machine.rows // bench.machine.tile_rows
    return (np.arange(LANES) % steps)[:, None] * bench.machine.tile_rows + np.arange(bench.machine.tile_rows)


def with_rest(found: Words, enable: str) -> Words:
    """A cycle more, in which nothing changes but that `enable` ends."""
    rest = {name: values[-1:] for name, values in found.items()}
    rest[enable] = np.zeros_like(rest[enable])
    return {name: np.concatenate([values, rest[name]]) for name, values in found.items()}


def ones(count: int) -> np.ndarray:
    """A bit that is 1 in every cycle and pattern."""
    return np.full((count, 1), 2**64 - 1, np.uint64)
