"""Weights rounded one column after the other, the rest of the row making up for it: GPTQ, GPTAQ, ResComp."""

from __future__ import annotations

from algos.compensation.activations import Activations
from algos.compensation.driver import Compensated, compensate
from algos.compensation.scales import Grid, Rounding
from algos.compensation.solve import Solution, Solver, solve
from algos.compensation.statistics import Statistics

__all__ = [
    "Activations",
    "Compensated",
    "Grid",
    "Rounding",
    "Solution",
    "Solver",
    "Statistics",
    "compensate",
    "solve",
]
