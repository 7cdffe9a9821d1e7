"""Uniform levels of a few bits: scales of groups of inputs, zero points, and the search for a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sim.errors import InputError

LEAST_BITS, MOST_BITS = 2, 8
"""Of a code."""

CLIPS = 80
"""Shares of the range that a search tries: 1, 0.99, ... 0.21 (GPTAQ's published code)."""

CLIP_POWER = 2.4
"""Of the error that decides between them (likewise)."""


class Grid(NamedTuple):
    """Levels (q - zero) * scale of some rows.

    Attributes:
        scale: above 0, [m, 1].
        zero: an integer, [m, 1].
        low, high: first and last level q.
    """

    scale: Tensor
    zero: Tensor
    low: int
    high: int

    def codes(self, values: Tensor) -> Tensor:
        """Nearest levels, ties to even, as integers of the values' type."""
        return (torch.round(values / self.scale) + self.zero).clamp(self.low, self.high)

    def values(self, codes: Tensor) -> Tensor:
        return (codes - self.zero) * self.scale

    def clamped(self, values: Tensor) -> Tensor:
        """Into the range of the levels, unrounded."""
        return values.clamp((self.low - self.zero) * self.scale, (self.high - self.zero) * self.scale)


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
    """

    bits: int = 4
    symmetric: bool = True
    group: int | None = None
    clip_search: bool = False
    static: bool = False

    def __post_init__(self) -> None:
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise InputError("bits", self.bits, f"codes have {LEAST_BITS} to {MOST_BITS}", "use 4")
        if self.group is not None and self.group < 1:
            raise InputError("group", self.group, "not positive", "use 128, or leave it out for whole rows")

    def check(self, inputs: int) -> None:
        """Raises InputError where groups do not divide a row."""
        if self.group is not None and inputs % self.group:
            problem = f"does not divide the {inputs} inputs of the layer"
            divisors = [n for n in range(1, inputs + 1) if inputs % n == 0 and n <= self.group]
            raise InputError(
                "group", self.group, problem, f"use {divisors[-1]}, or leave it out for whole rows"
            )

    def fit(self, weights: Tensor) -> Grid:
        """Levels for the rows of a slice [m, n]."""
        low, high = (
            (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.symmetric else (0, 2**self.bits - 1)
        )
        plain = self._grid(weights, 1.0, low, high)
        if not self.clip_search:
            return plain
        best, scale, zero = self._error(weights, plain), plain.scale, plain.zero
        for step in range(1, CLIPS):
            tried = self._grid(weights, 1 - step / 100, low, high)
            error = self._error(weights, tried)
            better = error < best
            best = torch.where(better, error, best)
            scale, zero = torch.where(better, tried.scale, scale), torch.where(better, tried.zero, zero)
        return Grid(scale, zero, low, high)

    def _grid(self, weights: Tensor, share: float, low: int, high: int) -> Grid:
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
