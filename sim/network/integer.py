"""Integer arithmetic that the definitions of several layers share.

psums are 32-bit two's complement and wrap; the exporter proves that |acc + bias| < 2^31 at
the end, which makes wrapping on the way harmless. Activations and weights are INT8. The layers'
docstrings in `sim.network.layers` are the definitions.
"""

from __future__ import annotations

import numpy as np


def rounding_shift(value: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """(value + 2^(s-1)) >> s on int64: round half towards +infinity, s from 1 to 47."""
    value = np.asarray(value, np.int64)
    shift = np.asarray(shift, np.int64)
    return (value + (np.int64(1) << (shift - 1))) >> shift


def requantize(
    acc: np.ndarray,
    bias: np.ndarray,
    multiplier: np.ndarray,
    shift: np.ndarray,
    zero_point: int,
    low: int,
    high: int,
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


def square_root(value: np.ndarray) -> np.ndarray:
    """Largest integer whose square is at most value; int64 below 2^62."""
    root = np.sqrt(value.astype(np.float64)).astype(np.int64)
    root -= root * root > value
    return root + ((root + 1) * (root + 1) <= value)


def pad(ifmap: np.ndarray, padding: tuple[int, int], value: int) -> np.ndarray:
    """ifmap [..., H, W] with rows and columns of one value around it, padding (y, x)."""
    py, px = padding
    widths = [(0, 0)] * (ifmap.ndim - 2) + [(py, py), (px, px)]
    return np.pad(ifmap, widths, constant_values=value)
