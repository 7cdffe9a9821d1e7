"""What numbers a training computes in: decided here alone."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from sim.errors import InputError, nearest

Precision = Literal["auto", "float32", "bfloat16"]
"""bfloat16: products in bfloat16, sums, weights and updates in float32 (torch.autocast)."""

PRECISIONS = get_args(Precision)


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 itself: AVX512-BF16 or AMX.

    Without, a training step takes twice as long in bfloat16 as in float32, and ten times where oneDNN has no
    bfloat16 either and PyTorch runs its `_slow_conv2d`.
    The switches of PyTorch and oneDNN count as well, ATEN_CPU_CAPABILITY and DNNL_MAX_CPU_ISA: the processor's
    flags know nothing of them, the kernels do.
    """
    multiplies = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return multiplies and wide and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def resolved(precision: Precision) -> Precision:
    """float32 or bfloat16; auto is bfloat16 where `bfloat16_is_fast`.

    Raises:
        InputError: no such precision.
    """
    if precision not in PRECISIONS:
        raise InputError("precision", precision, "unknown", nearest(precision, PRECISIONS))
    if precision == "auto":
        return "bfloat16" if bfloat16_is_fast() else "float32"
    return precision


def computing(precision: Precision) -> torch.autocast:
    """The context of a forward pass.

    Args:
        precision: float32 or bfloat16, as `resolved` gives it.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
