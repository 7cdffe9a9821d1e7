"""Schedules and layers as the rows that the compiled code takes."""

from __future__ import annotations

import numpy as np

from sim.shapes import ConvShape
from sim.systolic.bulk.problem import HOW, SOURCES, problems
from sim.systolic.folding import ways
from sim.systolic.schedule import Schedule


def how_of(schedule: Schedule, folded: int) -> np.ndarray:
    """HOW [1]."""
    found = np.zeros(1, HOW)
    found[0] = (
        *(schedule.A, schedule.B, schedule.D, schedule.tile_rows, schedule.tile_width),
        *(schedule.overlap, schedule.outputs_outer, schedule.split_channels),
        *(SOURCES.index(schedule.source), folded),
    )
    return found


def rows_of(schedule: Schedule, shape: ConvShape) -> tuple[np.ndarray, np.ndarray]:
    """PROBLEM [1] and HOW [1] of a layer by its schedule."""
    folded = ways(shape, schedule.accelerator, schedule.format).index(schedule.shape)
    of = problems(schedule.accelerator, [(shape, schedule.format, schedule.codewords)])[0]
    return of[folded : folded + 1], how_of(schedule, folded)
