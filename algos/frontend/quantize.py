"""From real scales to the integers of `sim.network`: static INT8 activations, m and s."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sim.errors import InputError
from sim.network import Requantization


@dataclass(frozen=True)
class Activation:
    """real = scale * (q - zero_point); the integer clamp of the tensor."""

    scale: float
    zero_point: int = 0
    low: int = -128
    high: int = 127


def calibrate(values: Tensor, clamp: tuple[float, float]) -> Activation:
    """Per-tensor symmetric INT8 with the scale of least squared error, zero point 0.

    Args:
        values: float samples of the tensor.
        clamp: the range that an activation leaves; from 0 on only 0..127 is used.
    """
    sample = values.flatten()
    sample = sample[:: max(1, len(sample) // 200_000)]
    low = 0 if clamp[0] == 0 else -128
    top = float(sample.abs().max()) / 127 or 1.0
    scales = [top * f for f in np.linspace(0.3, 1.0, 36)]
    errors = [float((((sample / s).round().clamp(low, 127) * s - sample) ** 2).mean()) for s in scales]
    scale = scales[int(np.argmin(errors))]
    return Activation(scale, 0, low, round(min(127.0, clamp[1] / scale)))


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
