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

    Elsewhere a convolution in bfloat16 runs PyTorch's `_slow_conv2d`, nine times as long as one in float32.
    PyTorch's and oneDNN's own switches count (ATEN_CPU_CAPABILITY, DNNL_MAX_CPU_ISA), as they do for the
    kernels; the processor's flags alone would not see them.
    """
    multiplies = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
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
