"""Blocks of a module: which they are, and what goes in and out of them while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algos.batches import applied, mapped

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Hold blocks; a class derived from one is a block itself."""


def blocks(module: nn.Module, layers: Iterable[str]) -> list[str]:
    """Names of the modules whose outputs are compared, in order; together they hold these layers, each once.

    A module that a container holds beside others is one; a layer outside of all is a block of its own.
    """
    layers = list(layers)

    def inside(prefix: str, part: nn.Module) -> Iterator[str]:
        for name, child in part.named_children():
            path = f"{prefix}{name}"
            if path in layers:
                yield path
            elif any(layer.startswith(f"{path}.") for layer in layers):
                if type(part) in CONTAINERS and type(child) not in CONTAINERS:
                    yield path
                else:
                    yield from inside(f"{path}.", child)

    return list(inside("", module))


def first_tensor(output: Any) -> Tensor:
    """The output of a block, or the first tensor of several."""
    while not isinstance(output, Tensor):
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return output


class Outputs:
    """Outputs of some modules in the last forward pass of the module that holds them."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        self.found: dict[str, Tensor] = {}
        self._handles = [
            module.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: self.found.__setitem__(name, first_tensor(output))
            )
            for name in names
        ]

    def release(self) -> None:
        """Takes no more note of them."""
        for handle in self._handles:
            handle.remove()
        self.found.clear()


@dataclass(frozen=True)
class Stream:
    """What a block is given, and what it makes of it, over some samples.

    Attributes:
        args, kwargs: with the samples of all batches along dimension 0 of every tensor that has them.
        output: of the block.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor

    def __len__(self) -> int:
        return len(self.output)

    def added(self) -> Tensor:
        """What the block adds to its first argument; where that has another shape, its output less the mean."""
        first = next(iter((*self.args, *self.kwargs.values())), None)
        residual = isinstance(first, Tensor) and first.shape == self.output.shape
        return self.output - (first if residual else self.output.mean())

    def run(self, block: nn.Module, chosen: Tensor) -> Tensor:
        """The block's output for some samples, int64 [n]."""

        def pick(tensor: Tensor) -> Tensor:
            return tensor[chosen] if tensor.ndim and len(tensor) == len(self) else tensor

        return first_tensor(block(*mapped(self.args, pick), **mapped(self.kwargs, pick)))


@torch.no_grad()
def recorded(module: nn.Module, name: str, inputs: Iterable[Any]) -> Stream:
    """What the module's block of this name is given for these inputs; it runs once for each batch.

    Tensors whose first dimension is that of the block's output hold samples.
    """
    calls: list[tuple[tuple[Any, ...], dict[str, Any], Tensor]] = []

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls.append((args, kwargs, first_tensor(output)))

    handle = module.get_submodule(name).register_forward_hook(keep, with_kwargs=True)
    try:
        for one in inputs:
            applied(module, one)
    finally:
        handle.remove()
    args, kwargs, output = calls[0]
    if len(calls) == 1:
        return Stream(args, kwargs, output)
    sizes = [len(call[2]) for call in calls]

    def joined(first: Any, others: list[Any]) -> Any:
        if isinstance(first, Tensor):
            together = first.ndim and len(first) == sizes[0]
            return torch.cat([first, *others]) if together else first
        if isinstance(first, tuple | list):
            return type(first)(joined(part, [one[i] for one in others]) for i, part in enumerate(first))
        if isinstance(first, dict):
            return {key: joined(part, [one[key] for one in others]) for key, part in first.items()}
        return first

    return Stream(
        joined(args, [call[0] for call in calls[1:]]),
        joined(kwargs, [call[1] for call in calls[1:]]),
        torch.cat([call[2] for call in calls]),
    )
