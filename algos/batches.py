"""Batches of anyone's data: what of them a module takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sim.errors import InputError


def inputs_of(batch: Any) -> Any:
    """The inputs of a batch: itself, or the first of (inputs, target).

    Args:
        batch: a tensor, a mapping of arguments, or a tuple or list that begins with one of them; a tuple inside
            one holds several arguments.
    """
    return batch[0] if isinstance(batch, tuple | list) and len(batch) else batch


def applied(module: nn.Module, inputs: Any) -> Any:
    """The module's output: of one tensor, of a tuple of arguments, of a mapping of named ones."""
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


def mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same tuples, lists and dictionaries with their tensors changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(part, change) for part in tree)
    if isinstance(tree, dict):
        return {name: mapped(part, change) for name, part in tree.items()}
    return tree


def device_of(module: nn.Module) -> torch.device:
    """Where its tensors are; the processor for a module without any."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def calibration(batches: Iterable[Any] | None, module: nn.Module) -> Iterator[Any]:
    """Inputs of every batch, on the device of the module.

    Raises:
        InputError: none are given.
    """
    device, found = device_of(module), False
    for batch in batches if batches is not None else ():
        found = True
        yield mapped(inputs_of(batch), lambda tensor: tensor.to(device))
    if not found:
        raise InputError(
            "batches", "none", "this needs samples of what the module takes", "give a few batches"
        )
