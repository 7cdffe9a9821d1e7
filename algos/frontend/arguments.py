"""What a module takes: the tensors of a batch, and where the network of integers reads them.

One tensor is the network's input. Several are one input [elements, 1, 1], one behind another, each with its own
scale: integers of a sample in the order of the module's arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from algos.frontend.calibrate import Activation
from algos.frontend.graph import Graph, Value, standard
from algos.frontend.layout import Layout, of_axes, usual
from algos.frontend.lookup import Lookup
from sim.errors import InputError
from sim.network import TensorSpec

Arguments = tuple[Tensor, ...]
"""Of one call, each [n, ...]."""


@dataclass(frozen=True, eq=False)
class Source:
    """One tensor that the module takes.

    Attributes:
        name: of the argument.
        activation: scale and zero point of its integers.
        layout: where the elements of a sample lie in the map that the network reads.
        lookup: what makes its floats of numbers of things; None where the module takes floats.
    """

    name: str
    activation: Activation
    layout: Layout
    lookup: Lookup | None = None

    def placed(self, real: Tensor) -> np.ndarray:
        """float64 [n, C, H, W] of floats [n, ...]."""
        return np.asarray(real.double().flatten(1).numpy()[:, self.layout.index()])

    @property
    def metadata(self) -> Mapping[str, object]:
        """What a network's file says of one of several."""
        scale, zero = self.activation.scale, self.activation.zero_point
        said = {"name": self.name, "shape": list(self.layout.map), "scale": scale, "zero_point": zero}
        return {**said, **(self.lookup.metadata if self.lookup else {})}


@dataclass(frozen=True)
class Sources:
    """All of them, in the order of the module's arguments."""

    each: tuple[Source, ...]

    @property
    def spec(self) -> TensorSpec:
        """The network's input. Of several, real values are integers without the zero point of the first."""
        first = self.each[0]
        if len(self.each) == 1:
            return TensorSpec(first.layout.map, first.activation.scale, first.activation.zero_point)
        return TensorSpec((sum(self.sizes), 1, 1), 1.0, first.activation.zero_point)

    @property
    def sizes(self) -> list[int]:
        """Elements of a sample."""
        return [prod(source.layout.map) for source in self.each]

    @property
    def metadata(self) -> dict[str, object]:
        """What a network's file says of them."""
        if len(self.each) > 1:
            return {"inputs": [source.metadata for source in self.each]}
        lookup = self.each[0].lookup
        return dict(lookup.metadata) if lookup else {}

    def looked(self, given: Arguments) -> Arguments:
        """What the module's arguments are behind their embeddings."""
        return looked([source.lookup for source in self.each], given)

    def real(self, given: Arguments) -> np.ndarray:
        """float64 [n, C, H, W]: `spec`'s real values of what lies behind the embeddings."""
        if len(self.each) == 1:
            return self.each[0].placed(given[0])
        flat = [
            source.activation.integers(source.placed(one)).reshape(len(one), -1)
            for source, one in zip(self.each, given, strict=True)
        ]
        return np.concatenate(flat, 1)[..., None, None].astype(np.float64) - self.spec.zero_point


def required(module: nn.Module) -> list[str]:
    """Arguments that a call must give; one where all have defaults or the module does not say."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(module.forward).parameters.values()
    names = [one.name for one in found if one.kind in kinds]
    return [
        one.name for one in found if one.kind in kinds and one.default is inspect.Parameter.empty
    ] or names[:1]


def opened(module: nn.Module, batches: Iterable[Any]) -> tuple[Arguments, Iterator[Arguments]]:
    """The arguments of the first batch, and those of the others.

    Raises:
        InputError: there is none, or a batch has fewer tensors than the module takes.
    """
    names = required(module)
    stream = (arguments(batch, names) for batch in batches)
    first = next(stream, None)
    if first is None:
        raise _empty()
    return first, stream


def arguments(batch: Any, names: Sequence[str]) -> Arguments:
    """The tensors of a batch that a call takes: by name where it has them all, else its first ones.

    Raises:
        InputError: there are fewer, of different numbers of samples, or of none.
    """
    if isinstance(batch, Mapping) and all(name in batch for name in names):
        batch = [batch[name] for name in names]
    tensors = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
    count = max(1, len(names))
    if len(tensors) < count:
        raise InputError(
            "calibration",
            f"batches of {len(tensors)} tensors",
            f"the module takes {count}: {', '.join(names)}",
            "give batches that begin with them, or dictionaries that name them",
        )
    found = tuple(map(standard, tensors[:count]))
    if len({len(one) if one.ndim else 0 for one in found}) > 1:
        shapes = [list(one.shape) for one in found]
        raise InputError("calibration", shapes, "differ in their samples", "give each argument as [n, ...]")
    if not found[0].ndim or not len(found[0]):
        raise _empty()
    return found


def _empty() -> InputError:
    return InputError("calibration", 0, "no images", "give a few hundred training images")


def looked(lookups: Sequence[Lookup | None], given: Arguments) -> Arguments:
    """Arguments behind the embeddings that read them."""
    return tuple(lookup(one) if lookup else one for lookup, one in zip(lookups, given, strict=True))


def first_samples(given: Arguments, count: int) -> Arguments:
    """Of each argument."""
    return tuple(one[:count] for one in given)


def parts(given: Arguments, count: int) -> Iterator[Arguments]:
    """Pieces of so many samples."""
    return zip(*(one.split(count) for one in given), strict=True)


def beginning(value: Value) -> Layout:
    """Where the elements of an input of the graph lie: a signal along H, else as usual."""
    signal = any(node.operation == "aten.conv1d" for node in value.users)
    return of_axes(value.extent, [1], [2]) if signal else usual(value.extent)


def names(graph: Graph, module: nn.Module) -> list[str]:
    """Of the graph's inputs."""
    found = required(module)
    return found if len(found) == len(graph.inputs) else [value.name for value in graph.inputs]
