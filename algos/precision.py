"""What numbers a training computes in: decided here alone."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from sim.errors import InputError, nearest

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""Of products; sums, weights and updates stay in float32 (torch.autocast). float16 is for GPUs, whose gradients
are then scaled (Micikevicius et al. 2018)."""

CPU = torch.device("cpu")

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


def resolved(precision: Precision, device: torch.device = CPU) -> Precision:
    """float32, bfloat16 or float16; auto is what the device multiplies fast.

    On a processor that is bfloat16 where `bfloat16_is_fast`; on a CUDA device bfloat16 or, before Ampere,
    float16; elsewhere float32.

    Raises:
        InputError: no such precision, or float16 on a processor.
    """
    if precision not in PRECISIONS:
        raise InputError("precision", precision, "unknown", nearest(precision, PRECISIONS))
    if precision == "float16" and device.type == "cpu":
        raise InputError("precision", precision, "is for GPUs, not for a processor", "use bfloat16 or auto")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if device.type == "cpu" and bfloat16_is_fast() else "float32"


def computing(precision: Precision, device: torch.device = CPU) -> torch.autocast:
    """The context of a forward pass.

    Args:
        precision: as `resolved` gives it.
    """
    reduced = precision != "float32"
    return torch.autocast(device.type, getattr(torch, precision) if reduced else None, enabled=reduced)
