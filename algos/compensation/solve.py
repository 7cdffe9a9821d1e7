"""One layer: columns rounded in turn, the error of each spread over the columns that are still free.

With H = X X^T, H^-1 = L L^T and U = L^T, D = (X~ - X) X^T, and M the strictly upper triangle, after column q

    W_F += -e_q U_qF + W_q P1_qF + (W0_q - W_q) P2_qF,    e_q = (W_q - Q_q) / U_qq
    P1 = alpha1 ((D L) . M) L^T                             GPTAQ eq. 15 and theorem 4.2 (arXiv 2504.02692)
    P2 = alpha2 (((H + D) L) . M) L^T                       ResComp (arXiv 2604.07955)

alpha1 = alpha2 = 0 is GPTQ, alpha2 = 0 GPTAQ. The published code of both multiplies by 0.25, which no equation has.
Another way to the target W0 X~ needs neither matrix: GPTQ from W* = W0 (I + D H^-1), since
||Q X - W0 X~||^2 = ||(Q - W*) X||^2 + const; it is ours, and the least that greedy rounding reaches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from algos.compensation.scales import Grid, Rounding
from algos.compensation.statistics import Statistics
from algos.weights.levels import Levels
from sim.errors import InputError

Carried = Literal["clamped", "exact", "rounded"]


@dataclass(frozen=True)
class Solver:
    """How a layer is rounded.

    Attributes:
        alpha1: share of the quantized stream's own error that later columns make up for (GPTAQ).
        alpha2: share of the distance to the given weights, likewise (ResComp).
        from_optimum: start from W*, with alpha1 = alpha2 = 0.
        damping: added to the diagonal of H, in units of its mean.
        act_order: columns of large second moment first.
        block: columns whose effect on later ones is gathered into one product.
        carried: what later blocks take for the weights of a block: as they were (`exact`), `clamped` into the range of
            the levels, or `rounded`; the published code clamps, and at 2 bits, where that may run away, rounds.
    """

    alpha1: float = 0.0
    alpha2: float = 0.0
    from_optimum: bool = False
    damping: float = 0.01
    act_order: bool = False
    block: int = 128
    carried: Carried = "clamped"

    def __post_init__(self) -> None:
        if self.from_optimum and (self.alpha1 or self.alpha2):
            given = (self.alpha1, self.alpha2)
            raise InputError(
                "alpha1, alpha2", given, "W* has the same target already", "leave them 0 with from_optimum"
            )
        if self.damping < 0:
            raise InputError("damping", self.damping, "negative", "use 0.01")
        if self.block < 1:
            raise InputError("block", self.block, "not positive", "use 128")


@dataclass(frozen=True)
class Solution:
    """A layer in integers.

    Attributes:
        codes: levels, [m, n], int16.
        scale: [m, groups].
        zero: int16 [m, groups].
        group: inputs that share a scale.
        step: of whole scales, [m, 1]; None of any scales.
        levels: what the codes stand for, where levels are not uniform.
    """

    codes: Tensor
    scale: Tensor
    zero: Tensor
    group: int
    step: Tensor | None
    levels: Levels | None = None

    def weights(self) -> Tensor:
        """What the codes stand for, [m, n]."""
        scale, zero = (each.repeat_interleave(self.group, 1) for each in (self.scale, self.zero))
        if self.levels is not None:
            return torch.tensor(self.levels.values).to(scale)[self.codes.long()] * scale
        return (self.codes - zero) * scale


def solve(weights: Tensor, statistics: Statistics, rounding: Rounding, solver: Solver = Solver()) -> Solution:
    """Rounds a layer; neither the weights nor the statistics are changed.

    Args:
        weights: [m, n], outputs by inputs.

    Raises:
        InputError: another width, groups that do not divide it, or an H that damping leaves singular.
    """
    if weights.ndim != 2 or weights.shape[1] != len(statistics.hessian):
        problem = f"statistics are of {len(statistics.hessian)} inputs"
        raise InputError("weights", list(weights.shape), problem, "give [outputs, inputs] of the same layer")
    rounding.check(weights.shape[1])
    work = _Work(weights, statistics, rounding.of(weights), solver)
    for first in range(0, work.width, solver.block):
        work.round_block(first, min(first + solver.block, work.width))
    return work.solution()


def nearest(weights: Tensor, rounding: Rounding) -> Solution:
    """Every weight of [m, n] to its nearest level (RTN), whatever the inputs are.

    Raises:
        InputError: groups that do not divide a row.
    """
    rounding.check(weights.shape[1])
    rounding = rounding.of(weights)
    group = rounding.group or weights.shape[1]
    parts, step = weights.detach().split(group, 1), rounding.step(weights.detach())
    grids = [rounding.fit(part, step) for part in parts]
    codes = torch.cat([grid.codes(part) for grid, part in zip(grids, parts, strict=True)], 1)
    return _solution(codes, grids, rounding, step)


def _solution(codes: Tensor, grids: Iterable[Grid], rounding: Rounding, step: Tensor | None) -> Solution:
    grids = list(grids)
    scale, zero = (torch.cat([getattr(grid, part) for grid in grids], 1) for part in ("scale", "zero"))
    group = rounding.group or codes.shape[1]
    return Solution(codes.to(torch.int16), scale, zero.to(torch.int16), group, step, rounding.levels)


def inverse_factor(hessian: Tensor) -> Tensor:
    """L, lower triangular, with H^-1 = L L^T, from the Cholesky factor of H with rows and columns in reverse order.

    The inverse without its last rows and columns has the factor without them, so that L serves every column.
    """
    reverse = torch.linalg.cholesky(hessian.flip(0, 1)).flip(0, 1)
    identity = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    return torch.linalg.solve_triangular(reverse, identity, upper=True).T


def damped(moments: Tensor, damping: float) -> Tensor:
    """H: second moments, with 1 for a dead input, and damping in units of their mean on the diagonal.

    A copy: layers that share their inputs share their moments, and damping must not add up.
    """
    hessian = moments.clone()
    diagonal = hessian.diagonal()
    diagonal[diagonal == 0] = 1.0
    diagonal += damping * diagonal.mean()
    return hessian


class _Work:
    """A layer under way, columns in the order in which they are rounded.

    Attributes:
        given: W0, [m, n]; 0 at dead inputs.
        weights: compensated so far; of columns behind the block under way, without its effect.
        upper: U, [n, n].
        ahead, back: P1 and P2, [n, n]; None where their alpha is 0.
        places: number of each column in the order of the weights.
        step: of the scales, [m, 1], or None.
    """

    def __init__(self, weights: Tensor, statistics: Statistics, rounding: Rounding, solver: Solver) -> None:
        self.rounding, self.solver, self.width = rounding, solver, weights.shape[1]
        self.group = rounding.group or self.width
        scores = statistics.hessian.diagonal()
        self.order = torch.arange(self.width, device=scores.device)
        if solver.act_order:
            self.order = scores.argsort(descending=True, stable=True)
        self.places: list[int] = self.order.to("cpu").tolist()
        moments, difference = (
            each[self.order][:, self.order] for each in (statistics.hessian, statistics.difference)
        )
        alive = moments.diagonal() != 0
        self.given = weights.detach().to(moments)[:, self.order] * alive
        hessian = damped(moments, solver.damping)
        try:
            lower = inverse_factor(hessian)
        except torch.linalg.LinAlgError:
            problem, fix = "the second moments are singular", "raise it, or give more calibration samples"
            raise InputError("damping", solver.damping, problem, fix) from None
        self.upper = lower.T.contiguous()
        self.ahead, self.back = (
            alpha * (product @ lower).triu(1) @ self.upper if alpha else None
            for alpha, product in ((solver.alpha1, difference), (solver.alpha2, moments + difference))
        )
        self.weights = self.given.clone()
        if solver.from_optimum:
            self.weights += self.given @ difference @ lower @ self.upper
        self.codes = torch.empty_like(self.weights)
        self.grids: dict[int, Grid] = {}
        in_place = torch.empty_like(self.given)
        in_place[:, self.order] = self.given
        self.step = rounding.step(in_place)
        if rounding.static:
            self.grids = {n: rounding.fit(self.given[:, self._members(n)], self.step) for n in self._groups()}

    def _groups(self) -> range:
        return range(self.width // self.group)

    def _members(self, group: int) -> Tensor:
        """Columns of a group. Groups lie in the order of the weights, whatever the order of rounding: the accelerator
        has a scale for consecutive inputs.
        """
        return torch.nonzero(self.order // self.group == group)[:, 0]

    def round_block(self, first: int, end: int) -> None:
        """Rounds some columns, one after the other, and then tells all later ones at once."""
        errors, carried = torch.zeros(2, len(self.weights), end - first).to(self.weights)
        block = _Block(first, errors, carried)
        for column in range(first, end):
            grid = self._grid(column, end, block)
            now = self.weights[:, column : column + 1].clone()
            codes = grid.codes(now)
            self.codes[:, column : column + 1] = codes
            rounded = grid.values(codes)
            errors[:, column - first] = ((now - rounded) / self.upper[column, column])[:, 0]
            carried[:, column - first] = now[:, 0]
            rest = slice(column + 1, end)
            self.weights[:, rest] += self._effect(block, column, column + 1, rest)
            if self.solver.carried != "exact":
                seen = rounded if self.solver.carried == "rounded" else grid.clamped(now)
                carried[:, column - first] = seen[:, 0]
        rest = slice(end, self.width)
        self.weights[:, rest] += self._effect(block, first, end, rest)

    def _grid(self, column: int, end: int, block: _Block) -> Grid:
        """Levels of a column; those of a group are fitted when its first column comes, on what its weights are then."""
        group = self.places[column] // self.group
        if group not in self.grids:
            members = self._members(group)
            now = self.weights[:, members]
            behind = members >= end
            now[:, behind] += self._effect(block, block.first, column, members[behind])
            self.grids[group] = self.rounding.fit(now, self.step)
        return self.grids[group]

    def _effect(self, block: _Block, first: int, end: int, rest: slice | Tensor) -> Tensor:
        """What rounding columns first to end of a block adds to other columns, [m, rest]."""
        errors, carried = (
            each[:, first - block.first : end - block.first] for each in (block.errors, block.carried)
        )
        found = -errors @ self.upper[first:end, rest]
        if self.ahead is not None:
            found += carried @ self.ahead[first:end, rest]
        if self.back is not None:
            found += (self.given[:, first:end] - carried) @ self.back[first:end, rest]
        return found

    def solution(self) -> Solution:
        codes = torch.empty_like(self.codes)
        codes[:, self.order] = self.codes
        return _solution(codes, [self.grids[n] for n in self._groups()], self.rounding, self.step)


class _Block(NamedTuple):
    """Columns under way, [m, block].

    Attributes:
        first: number of the first column.
        errors: e of each column.
        carried: what later columns take for its weight.
    """

    first: int
    errors: Tensor
    carried: Tensor
