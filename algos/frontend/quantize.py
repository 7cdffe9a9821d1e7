"""From real scales to the integers of `sim.network`: INT8 weights, m and s."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from algos.frontend.calibrate import Activation
from sim.errors import InputError
from sim.network import Requantization


def multiplier_and_shift(ratios: np.ndarray, bits: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Unsigned m of `bits` and s in 1..47 with m / 2^s closest to each ratio.

    Returns:
        uint16 [n], uint8 [n].
    """
    m = np.zeros(len(ratios), np.uint16)
    s = np.ones(len(ratios), np.uint8)
    for i, ratio in enumerate(ratios):
        if ratio <= 0:
            continue
        shift = min(47, max(1, bits - 1 - math.floor(math.log2(ratio))))
        if round(ratio * 2**shift) >= 2**bits:
            shift -= 1
        if shift < 1:
            raise InputError(
                "scale ratio", float(ratio), f"above 2^{bits - 1}", "recalibrate the activations"
            )
        m[i], s[i] = round(ratio * 2**shift), shift
    return m, s


def int8_weight(weight: Tensor, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric INT8 of a float weight [K, ...]: int8 values and scales [K]."""
    w = weight.detach().double()
    flat = w.reshape(len(w), -1)
    top = flat.abs().amax(1) if per_channel else flat.abs().max().expand(len(w))
    scale = (top / 127).clamp(min=1e-12)
    q = (w / scale.reshape(-1, *[1] * (w.ndim - 1))).round().clamp(-128, 127)
    return q.to(torch.int8).numpy(), scale.numpy()


def requantization(ratios: np.ndarray, output: Activation) -> Requantization:
    """Requantization of accumulators whose real scale over the output's is `ratios` [K]."""
    m, s = multiplier_and_shift(ratios)
    return Requantization(m, s, output.zero_point, output.low, output.high)
