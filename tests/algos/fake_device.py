"""A GPU that is none: tensors that say they lie on `meta`, hold their values on the processor, and refuse to be
computed with tensors that lie there.

PyTorch's own FakeTensor has no values, so that k-means, which looks at them, cannot run on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE, CPU = torch.device("meta"), torch.device("cpu")
"""PyTorch initializes CUDA before it asks anyone, and aborts where it looks at a value of another device."""


class OnGpu(Tensor):
    """A tensor on the device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Strays(Exception):
    """Tensors of both devices in one operation."""


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on the device, or between the two where it is a copy."""
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    there = any(isinstance(one, OnGpu) for one in tensors)
    copies = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if there and not copies:
        stray = [one for one in tensors if not isinstance(one, OnGpu) and one.ndim]
        if stray:
            raise Strays(f"{func}: {[tuple(one.shape) for one in stray]} are not on the device")
    wanted = kwargs.get("device")
    if wanted is not None and torch.device(wanted).type == DEVICE.type:
        there, kwargs = True, kwargs | {"device": CPU}
    elif wanted is not None:
        there = False
    if func is torch.ops.aten.copy_.default:
        there = isinstance(args[0], OnGpu)
    bare = tree_map_only(OnGpu, lambda one: one.inner, (args, kwargs))
    found = func(*bare[0], **bare[1])
    if not there:
        return found
    found = tree_map_only(Tensor, lambda one: one if isinstance(one, OnGpu) else OnGpu(one), found)
    return return_and_correct_aliasing(func, args, kwargs, found) if tensors else found


class _Device(TorchDispatchMode):
    """Makes factories such as `torch.zeros(3, device="meta")` give tensors on the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Where the device is."""
    with _Device():
        yield


def moved(module: nn.Module) -> nn.Module:
    """The module with all its tensors on the device, in place."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(OnGpu(parameter.detach()), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = OnGpu(buffer)
    return module
