"""What an operator is to the hardware: its layer shapes, and its layers of integers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout
from sim.importers.steps import Step, Tensor

if TYPE_CHECKING:
    from algos.frontend.lower import Lowering


@dataclass(frozen=True)
class Call:
    """A call of an operator as shapes see it: its arguments by name, tensors as `Tensor`."""

    name: str
    operator: str
    arguments: dict[str, Any]
    outputs: tuple[Tensor, ...]

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    @property
    def out(self) -> Tensor:
        return self.outputs[0]

    @property
    def source(self) -> Tensor:
        """The first tensor among the arguments."""
        return next(value for value in self.arguments.values() if isinstance(value, Tensor))

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, those of lists too."""
        flat = (v if isinstance(v, list) else [v] for v in self.arguments.values())
        return [value for values in flat for value in values if isinstance(value, Tensor)]

    @property
    def active(self) -> list[Tensor]:
        """Those that the network computes."""
        return [tensor for tensor in self.tensors if not tensor.constant]


@dataclass(frozen=True)
class Piece:
    """`count` entries from `first` on along an axis of a value."""

    value: Value
    axis: int
    first: int
    count: int


class Missing(Exception):
    """A node has no layer of integers.

    Args:
        problem: what cannot be done.
        fix: what would be done about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix


class Operator(ABC):
    """ATen operators of one meaning; each class has one instance in `OPERATORS` for each of its names.

    Attributes:
        names: without the namespace, "aten" for those of torch.
        elementwise: each result element is a function of the elements at its place.
        view: the same elements in another order or shape.
        function: what runs it in the place of torch's own, which no batch of images goes through.
        fix: what to do where there is no layer of integers.
    """

    names: ClassVar[tuple[str, ...]] = ()
    namespace: ClassVar[str] = "aten"
    elementwise: ClassVar[bool] = False
    view: ClassVar[bool] = False
    function: ClassVar[Callable[..., torch.Tensor] | None] = None
    fix: ClassVar[str] = "leave it out of the network, or write it in operators that have one"

    @abstractmethod
    def steps(self, call: Call) -> list[Step]:
        """Layer shapes.

        Raises:
            InputError: a call that no layer shape describes.
        """

    def lower(self, node: Node, to: Lowering) -> None:
        """Adds the node's layers and says where its results lie.

        Raises:
            Missing: no layer does this.
        """
        raise Missing("has no layer of integers", self.fix)

    def affine(self, node: Node) -> tuple[torch.Tensor, torch.Tensor] | None:
        """(gain, offset), constants of a result that is gain * source + offset; None for another function."""
        return None

    def moved(self, node: Node, layout: Layout) -> Layout | None:
        """Of a view: the layout of the result from that of the source; None where elements would have to move."""
        return None

    def pieces(self, node: Node) -> list[Piece]:
        """Of a part: what each result is of the source; empty for other operators and other steps than 1."""
        return []

    @property
    def lowers(self) -> bool:
        """Whether there are layers of integers at all."""
        return type(self).lower is not Operator.lower
