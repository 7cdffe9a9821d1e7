"""Uniform levels of a few bits: scales of groups of inputs, zero points, and the search for a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from algos.weights.levels import FORMS, Levels, require_entries
from sim.errors import InputError

LEAST_BITS, MOST_BITS = 2, 8
"""Of a code."""

CLIPS = 80
"""Shares of the range that a search tries: 1, 0.99, ... 0.21 (GPTAQ's published code)."""

CLIP_POWER = 2.4
"""Of the error that decides between them (likewise)."""


class Grid(NamedTuple):
    """Levels (q - zero) * scale of some rows, or table[q] * scale.

    Attributes:
        scale: above 0, [m, 1].
        zero: an integer, [m, 1]; 0 where there is a table.
        low, high: first and last q.
        table: levels that are not uniform, in order, [high + 1].
    """

    scale: Tensor
    zero: Tensor
    low: int
    high: int
    table: Tensor | None = None

    def codes(self, values: Tensor) -> Tensor:
        """Nearest levels, ties to even of uniform ones, as integers of the values' type."""
        if self.table is not None:
            middles = (self.table[1:] + self.table[:-1]) / 2
            return torch.bucketize(values / self.scale, middles).to(values)
        return (torch.round(values / self.scale) + self.zero).clamp(self.low, self.high)

    def values(self, codes: Tensor) -> Tensor:
        if self.table is not None:
            return self.table[codes.long()] * self.scale
        return (codes - self.zero) * self.scale

    def clamped(self, values: Tensor) -> Tensor:
        """Into the range of the levels, unrounded."""
        first, last = (self.values(torch.full_like(self.zero, q)) for q in (self.low, self.high))
        return values.clamp(first, last)


@dataclass(frozen=True)
class Rounding:
    """How weights become integers.

    Attributes:
        bits: of a code, 2 to 8.
        symmetric: levels around 0 without a zero point, as the accelerator multiplies; else the range holds 0.
        group: consecutive inputs that share a scale, in the order of the weights; None for the whole row.
        clip_search: choose the range with the least error of power 2.4, not the largest weight.
        static: scales from the weights as they were given; else from what compensation has made of them when a
            group's turn comes.
        scale_levels: scales are 1 to so many times the step of their row, which the given weights set, as the
            accelerator's loader multiplies; None for any scales.
        form: of an element: int for these uniform levels, else of `algos.weights.levels.FORMS`.
        entries: of a palette.
        levels: of a form, once a layer has told them.
    """

    bits: int = 4
    symmetric: bool = True
    group: int | None = None
    clip_search: bool = False
    static: bool = False
    scale_levels: int | None = None
    form: str = "int"
    entries: int = 16
    levels: Levels | None = None

    def __post_init__(self) -> None:
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise InputError("bits", self.bits, f"codes have {LEAST_BITS} to {MOST_BITS}", "use 4")
        if self.group is not None and self.group < 1:
            raise InputError("group", self.group, "not positive", "use 128, or leave it out for whole rows")
        if self.form != "int" and not self.symmetric:
            raise InputError("zero_points", True, f"{self.form} has none", "leave them out")
        require_entries(self.form, self.entries)

    def of(self, weights: Tensor) -> Rounding:
        """The same with the levels of a layer, whose weights are [m, n]."""
        if self.form == "int" or self.levels is not None:
            return self
        return replace(self, levels=FORMS[self.form].levels(weights.detach(), self.entries))

    def check(self, inputs: int) -> None:
        """Raises InputError where groups do not divide a row."""
        if self.group is not None and inputs % self.group:
            problem = f"does not divide the {inputs} inputs of the layer"
            divisors = [n for n in range(1, inputs + 1) if inputs % n == 0 and n <= self.group]
            raise InputError(
                "group", self.group, problem, f"use {divisors[-1]}, or leave it out for whole rows"
            )

    def fit(self, weights: Tensor, step: Tensor | None = None) -> Grid:
        """Levels for the rows of a slice [m, n].

        Args:
            step: of the scales, [m, 1]; None for any scales.
        """
        if self.levels is not None and step is not None:
            return self._whole(weights, self.levels, step)
        found = self._best(weights)
        if step is None or self.scale_levels is None:
            return found
        scale = step * torch.round(found.scale / step).clamp(1, self.scale_levels)
        least = weights.amin(1, keepdim=True).clamp(max=0)
        zero = found.zero if self.symmetric else torch.round(-least / scale).clamp(found.low, found.high)
        return found._replace(scale=scale, zero=zero)

    def step(self, weights: Tensor) -> Tensor | None:
        """Of the scales of each row of [m, n], [m, 1]: the largest of them has most levels."""
        most = self.scale_levels if self.levels is None else max(self.levels.multiples, default=None)
        if most is None:
            return None
        parts = weights.split(self.group or weights.shape[1], 1)
        scales = torch.cat([self._best(part).scale * part.any(1, keepdim=True) for part in parts], 1)
        largest = scales.amax(1, keepdim=True)
        return torch.where(largest > 0, largest, torch.ones_like(largest)) / most

    def _whole(self, weights: Tensor, levels: Levels, step: Tensor) -> Grid:
        """The multiple of the step that has the least error."""
        tried = [self._grid(weights, 1.0)._replace(scale=step * multiple) for multiple in levels.multiples]
        errors = torch.cat([self._error(weights, grid) for grid in tried], 1)
        best = errors.argmin(1, keepdim=True)
        return tried[0]._replace(scale=torch.cat([grid.scale for grid in tried], 1).gather(1, best))

    def _best(self, weights: Tensor) -> Grid:
        plain = self._grid(weights, 1.0)
        if not self.clip_search:
            return plain
        best, scale, zero = self._error(weights, plain), plain.scale, plain.zero
        for step in range(1, CLIPS):
            tried = self._grid(weights, 1 - step / 100)
            error = self._error(weights, tried)
            better = error < best
            best = torch.where(better, error, best)
            scale, zero = torch.where(better, tried.scale, scale), torch.where(better, tried.zero, zero)
        return plain._replace(scale=scale, zero=zero)

    def _grid(self, weights: Tensor, share: float) -> Grid:
        if self.levels is not None:
            table = torch.tensor(self.levels.values, dtype=weights.dtype, device=weights.device)
            scale = share * weights.abs().amax(1, keepdim=True) / self.levels.peak
            scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # a row of zeros
            return Grid(scale, torch.zeros_like(scale), 0, len(table) - 1, table)
        low, high = (
            (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.symmetric else (0, 2**self.bits - 1)
        )
        if self.symmetric:
            scale = share * weights.abs().amax(1, keepdim=True) / high
            zero = torch.zeros_like(scale)
        else:
            least = share * weights.amin(1, keepdim=True).clamp(max=0)
            most = share * weights.amax(1, keepdim=True).clamp(min=0)
            scale = (most - least) / high
            zero = torch.zeros_like(scale)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # a row of zeros
        if not self.symmetric:
            zero = torch.round(-least / scale).clamp(low, high)
        return Grid(scale, zero, low, high)

    @staticmethod
    def _error(weights: Tensor, grid: Grid) -> Tensor:
        return (grid.values(grid.codes(weights)) - weights).abs().pow(CLIP_POWER).sum(1, keepdim=True)
