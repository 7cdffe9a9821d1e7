"""Where the axes of an ONNX tensor lie in a map (C, H, W).

An axis is a product of atoms, and so is each of C, H and W. Transposing an ONNX tensor moves no value of the
map, and reshaping moves none as long as atoms are only divided and regrouped.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, eq=False)
class Atom:
    """A part of an axis; atoms are the same only if they are one object."""

    size: int


Group = tuple[Atom, ...]


def size(group: Group) -> int:
    return prod(atom.size for atom in group)


@dataclass(frozen=True)
class Layout:
    """Atoms of the axes of a tensor, and of C, H and W of its map. Axes of size 1, as the batch, have none."""

    axes: tuple[Group, ...]
    map: tuple[Group, Group, Group]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(size(axis) for axis in self.axes)

    @property
    def extent(self) -> tuple[int, int, int]:
        """(C, H, W) of the map."""
        c, h, w = (size(group) for group in self.map)
        return c, h, w

    @property
    def flat(self) -> Group:
        """Atoms in the order in which the map's values lie."""
        return self.map[0] + self.map[1] + self.map[2]

    @property
    def ordered(self) -> bool:
        """Whether the tensor's values, row by row, lie in the order of the map's."""
        return self.flat == tuple(atom for axis in self.axes for atom in axis)

    def transposed(self, order: Sequence[int]) -> Layout:
        return Layout(tuple(self.axes[axis] for axis in order), self.map)

    def reshaped(self, shape: Sequence[int]) -> Layout | None:
        """The same map as a tensor of another shape; None if an atom would have to be cut across."""
        rest = [atom for axis in self.axes for atom in axis]
        cut: dict[Atom, Group] = {}
        axes = []
        for wanted in shape:
            axis: list[Atom] = []
            while (open_ := wanted // size(tuple(axis))) > 1:
                if wanted % size(tuple(axis)) or not rest:
                    return None
                atom = rest.pop(0)
                if open_ % atom.size and atom.size % open_ == 0:
                    head, tail = Atom(open_), Atom(atom.size // open_)
                    cut[atom] = (head, tail)
                    atom = head
                    rest.insert(0, tail)
                elif open_ % atom.size:
                    return None
                axis.append(atom)
            axes.append(tuple(axis))
        return None if rest else Layout(tuple(axes), _replace(self.map, cut))

    def like(self, other: Layout) -> Layout | None:
        """This layout in the atoms of another one of the same shape; None if their axes are cut differently."""
        found: dict[Atom, Group] = {}
        mine, theirs = self.merged(), other
        for axis, given in zip(mine.axes, theirs.axes, strict=True):
            rest = list(given)
            for atom in axis:
                part: list[Atom] = []
                while size(tuple(part)) < atom.size and rest:
                    part.append(rest.pop(0))
                if size(tuple(part)) != atom.size:
                    return None
                found[atom] = tuple(part)
        return Layout(theirs.axes, _replace(mine.map, found))

    def merged(self) -> Layout:
        """Atoms that follow one another both in the tensor and in the map become one."""
        follows = {a: b for group in self.map for a, b in itertools.pairwise(group)}
        new: dict[Atom, Group] = {}
        axes = []
        for axis in self.axes:
            runs: list[list[Atom]] = []
            for atom in axis:
                if runs and follows.get(runs[-1][-1]) is atom:
                    runs[-1].append(atom)
                else:
                    runs.append([atom])
            whole = [Atom(size(tuple(run))) for run in runs]
            for run, atom in zip(runs, whole, strict=True):
                new |= {run[0]: (atom,)} | dict.fromkeys(run[1:], ())
            axes.append(tuple(whole))
        return Layout(tuple(axes), _replace(self.map, new))


def _replace(groups: tuple[Group, Group, Group], by: dict[Atom, Group]) -> tuple[Group, Group, Group]:
    """Atoms replaced by others until none is left to replace."""

    def one(atom: Atom) -> Group:
        return sum((one(part) for part in by[atom]), ()) if atom in by else (atom,)

    c, h, w = (sum((one(atom) for atom in group), ()) for group in groups)
    return c, h, w


def plain(shape: Sequence[int]) -> Layout | None:
    """A tensor [1, C, H, W], [1, C, H] or [1, C] as a map whose values lie in its order; None beyond that."""
    axes: tuple[Group, ...] = tuple((Atom(n),) if n > 1 else () for n in shape)
    if len(axes) <= 4 and not axes[0]:
        c, h, w = (*axes[1:], (), (), ())[:3]
        return Layout(axes, (c, h, w))
    filled = [axis for axis in axes if axis]
    if len(filled) > 3:
        return None
    c, h, w = (*filled, (), (), ())[:3]
    return Layout(axes, (c, h, w))
