"""Weights of torchao in few bits, taken as they are where our formats hold them.

Tensors are known by the names of their classes, so that torchao need not be installed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos.weights.codebook import IntegerWeight, attach
from algos.weights.scalar import KINDS, ScalarWeight
from algos.weights.scaled import ScaledPart
from sim.errors import InputError
from sim.network import Mxfp4Weight, Nvfp4Weight
from sim.network.blocks import exactly


def opened(module: nn.Module) -> nn.Module:
    """The module itself, or a copy whose layers hold torchao's integers as ours.

    Raises:
        InputError: a tensor of torchao that no format of ours holds, and what does not fit.
    """
    if not any(_foreign(parameter) for parameter in module.parameters()):
        return module
    module = copy.deepcopy(module)
    for name, layer in module.named_modules():
        weight = getattr(layer, "weight", None)
        if weight is None or not _foreign(weight):
            continue
        if not isinstance(layer, nn.Linear):
            kind = type(layer).__name__
            raise InputError(
                f"{name}.weight", kind, "no layer of few bits but Linear is read", "leave it in float"
            )
        part = _taken(f"{name}.weight", weight)
        layer.weight = nn.Parameter(part(torch.zeros(weight.shape)), requires_grad=False)
        attach(layer, part)
    return module


def _foreign(value: Any) -> bool:
    return isinstance(value, Tensor) and type(value).__module__.startswith("torchao.")


def _taken(name: str, weight: Any) -> IntegerWeight:
    kind = type(weight).__name__
    if kind not in READERS:
        raise InputError(name, kind, "is no tensor that is read", f"use one of {', '.join(READERS)}")
    return READERS[kind](name, weight)


def _floats(name: str, weight: Any, kind: type[Mxfp4Weight | Nvfp4Weight], scales: Tensor) -> IntegerWeight:
    """Two codes of E2M1 a byte, the first one low."""
    if weight.is_swizzled_scales:
        raise InputError(
            name, "scales", "are in the order of a GPU's kernels (swizzled)", "keep them in rows"
        )
    packed = weight.qdata.view(torch.uint8).cpu().numpy()
    codes = np.stack([packed & 15, packed >> 4], -1).reshape(len(packed), -1)
    real = scales.double().cpu().numpy().reshape(len(codes), -1)
    found, units = exactly(kind, codes, real, weight.block_size, name)
    return ScaledPart(found, units, weight.shape)


def _mx(name: str, weight: Any) -> IntegerWeight:
    """Blocks of a power of two (E8M0)."""
    if weight.elem_dtype != torch.float4_e2m1fn_x2:
        raise InputError(name, str(weight.elem_dtype), "is no element of MXFP4", "use torch.float4_e2m1fn_x2")
    return _floats(name, weight, Mxfp4Weight, weight.scale.float())


def _nv(name: str, weight: Any) -> IntegerWeight:
    """Blocks of 16 with a scale of E4M3, on top of one of the tensor."""
    whole = 1.0 if weight.per_tensor_scale is None else weight.per_tensor_scale.double()
    return _floats(name, weight, Nvfp4Weight, weight.scale.double() * whole)


_BITS = {torch.int8: 8, **{getattr(torch, f"int{bits}"): bits for bits in (2, 3, 4)}}


def _intx(name: str, weight: Any) -> IntegerWeight:
    """Integers of 2 to 8 bits, one a byte, with scales and zero points of blocks of inputs."""
    bits = _BITS.get(weight.target_dtype)
    if bits is None:
        fix = f"use one of {', '.join(map(str, _BITS))}"
        raise InputError(name, str(weight.target_dtype), "is no type that is read", fix)
    scale, zero = weight.scale, weight.zero_point
    codes, group = weight.qdata, weight.block_size[-1]
    if scale.shape[1] == 1:
        whole = codes.to(torch.int16) - zero.to(torch.int16)
        if not -128 <= int(whole.min()) <= int(whole.max()) <= 127:
            raise InputError(name, "zero_point", "moves levels out of int8", "quantize it symmetrically")
        return ScalarWeight(whole, scale.float(), torch.zeros_like(zero, dtype=torch.int16), weight.shape, 8)
    if zero.any():
        problem = "levels of groups have zero points"
        raise InputError(name, "zero_point", problem, "quantize it symmetrically (MappingType.SYMMETRIC)")
    if bits not in KINDS:
        problem = f"levels of {bits} bits have scales of groups"
        raise InputError(name, "block_size", problem, "use one scale an output, or 2, 3 or 4 bits")
    real = scale.cpu()
    given = real.numpy() if real.dtype in (torch.float16, torch.float32) else real.double().numpy()
    found, units = exactly(KINDS[bits], codes.cpu().numpy(), given, group, name)
    return ScaledPart(found, units, weight.shape)


READERS: dict[str, Callable[[str, Any], IntegerWeight]] = {
    "MXTensor": _mx,
    "NVFP4Tensor": _nv,
    "IntxUnpackedToInt8Tensor": _intx,
}
"""By the class."""
