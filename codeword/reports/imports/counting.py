"""Multiply-accumulates of a PyTorch module, counted by none of the importer's means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def _product(left: int, right: int) -> Callable[..., int]:
    """Of two matrices at these arguments, with whatever batch: elements of the result times the shared size."""
    return lambda out, *a: out.numel() * a[left].shape[-1] if a[left].shape[-1] == a[right].shape[-2] else -1


def _convolution(out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, *others: Any) -> int:
    """Each weight meets each position of the result once, of the input if transposed."""
    transposed = others[4]
    positions = x if transposed else out
    return int(x.shape[0] * weight.numel() * positions[0, 0].numel())


FORMULAS: dict[str, Callable[..., int]] = {
    "aten::mm": _product(0, 1),
    "aten::bmm": _product(0, 1),
    "aten::addmm": _product(1, 2),
    "aten::baddbmm": _product(1, 2),
    "aten::convolution": _convolution,
    # tokens sorted by expert, the matrices of all experts: a token meets one
    "aten::_grouped_mm": _product(0, 1),
}


class Counter(TorchDispatchMode):
    """Counts what runs on the arguments or on what comes of them; products of constants are no work of a network.

    Attributes:
        macs: so far.
        live: the memories that depend on the arguments.
    """

    def __init__(self, arguments: Sequence[Any]) -> None:
        super().__init__()
        self.macs = 0
        self.live = _memories(arguments)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given, written = _memories((args, kwargs)), _memories(out)
        if self.live.isdisjoint(given):
            self.live -= written - given  # a new tensor, where one that depended on the arguments lay before
            return out
        self.live |= written
        if (formula := FORMULAS.get(func._schema.name)) is not None:
            self.macs += formula(out, *args)
        return out


def _memories(tensors: Any) -> set[int]:
    """Of all tensors in it; views share one."""
    leaves = tree_leaves(tensors)
    return {leaf.untyped_storage()._cdata for leaf in leaves if isinstance(leaf, torch.Tensor)}


def macs(module: nn.Module, arguments: Sequence[Any]) -> int:
    """Of one run in evaluation mode, attention spelled out."""
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), Counter(arguments) as counter:
        module.eval()(*arguments)
    return counter.macs
