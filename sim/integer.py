"""The integer semantics of a network, once: accumulate, requantize, add, pool.

psums are 32-bit two's complement and wrap; the exporter proves that |acc + bias| < 2^31 at
the end, which makes wrapping on the way harmless. Activations and weights are INT8.
"""

from __future__ import annotations

import numpy as np


def rounding_shift(value: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """(value + 2^(s-1)) >> s on int64: round half towards +infinity, s from 1 to 47."""
    value = np.asarray(value, np.int64)
    shift = np.asarray(shift, np.int64)
    return (value + (np.int64(1) << (shift - 1))) >> shift


def requantize(
    acc: np.ndarray, bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray,
    zero_point: int, low: int, high: int,
) -> np.ndarray:
    """y = clamp((((acc + bias) * m + 2^(s-1)) >> s) + z_y, low, high), per output channel.

    Args:
        acc: int32 [..., K].
        bias: int32 [K]; it contains the fold of the input's zero point.
        multiplier: uint16 [K].
        shift: [K], 1..47.
        zero_point, low, high: of the output; ReLU is low = zero_point.

    Returns:
        int8 [..., K].
    """
    total = np.asarray(acc, np.int64) + np.asarray(bias, np.int64)
    scaled = rounding_shift(total * np.asarray(multiplier, np.int64), shift)
    return np.clip(scaled + zero_point, low, high).astype(np.int8)


def add(
    a: np.ndarray, b: np.ndarray, multipliers: tuple[int, int], shift: int,
    zeros: tuple[int, int], zero_point: int, low: int, high: int,
) -> np.ndarray:
    """Residual: clamp((((a-z_a) m_a + (b-z_b) m_b + 2^(s-1)) >> s) + z_y), one rounding; int8."""
    total = (np.asarray(a, np.int64) - zeros[0]) * multipliers[0]
    total = total + (np.asarray(b, np.int64) - zeros[1]) * multipliers[1]
    return np.clip(rounding_shift(total, shift) + zero_point, low, high).astype(np.int8)


def average_pool(
    x: np.ndarray, multiplier: int, shift: int, zero_in: int, zero_point: int, low: int, high: int
) -> np.ndarray:
    """Global average over the map: ((sum (x-z_x)) * m + 2^(s-1)) >> s, then clamp.

    Args:
        x: int8 [..., C, H, W].

    Returns:
        int8 [..., C, 1, 1]. 1/(H W) is part of the multiplier.
    """
    total = (np.asarray(x, np.int64) - zero_in).sum((-2, -1), keepdims=True)
    return np.clip(rounding_shift(total * multiplier, shift) + zero_point, low, high).astype(np.int8)
