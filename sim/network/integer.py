"""The integer semantics of a network, once: requantize, add, pool, normalize.

psums are 32-bit two's complement and wrap; the exporter proves that |acc + bias| < 2^31 at
the end, which makes wrapping on the way harmless. Activations and weights are INT8. The layers'
docstrings in `sim.network` are the definitions.
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


def add(
    a: np.ndarray,
    b: np.ndarray,
    multipliers: tuple[int, int],
    shift: int,
    zeros: tuple[int, int],
    zero_point: int,
    low: int,
    high: int,
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
    return scale(total, multiplier, shift, zero_point, low, high)


def scale(total: np.ndarray, multiplier: int, shift: int, zero_point: int, low: int, high: int) -> np.ndarray:
    """clamp(((total * m + 2^(s-1)) >> s) + z_y, low, high) of one m and s; int8."""
    scaled = rounding_shift(np.asarray(total, np.int64) * multiplier, shift)
    return np.clip(scaled + zero_point, low, high).astype(np.int8)


def windows(
    x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], fill: int
) -> np.ndarray:
    """View [..., OH, OW, Ky, Kx] of int16 [..., H, W] with `fill` around the map."""
    (py, px), (sy, sx) = padding, stride
    widths = [(0, 0)] * (x.ndim - 2) + [(py, py), (px, px)]
    padded = np.pad(x.astype(np.int16), widths, constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(padded, kernel, (-2, -1))[..., ::sy, ::sx, :, :]


def softmax(
    x: np.ndarray, table: np.ndarray, groups: int, zero_point: int, low: int, high: int
) -> np.ndarray:
    """Softmax over runs of channels; see `sim.network.Softmax`.

    Args:
        x: int8 [batch, C, H, W].
        table: uint16 [256].

    Returns:
        int8 [batch, C, H, W], scale 1/256.
    """
    runs = x.reshape(x.shape[0], groups, -1, *x.shape[2:]).astype(np.int64)
    exponents = table.astype(np.int64)[runs.max(2, keepdims=True) - runs]
    reciprocal = 2**40 // exponents.sum(2, keepdims=True)
    out = rounding_shift(exponents * reciprocal, 32) + zero_point
    return np.clip(out, low, high).astype(np.int8).reshape(x.shape)


def square_root(value: np.ndarray) -> np.ndarray:
    """Largest integer whose square is at most value; int64 below 2^62."""
    root = np.sqrt(value.astype(np.float64)).astype(np.int64)
    root -= root * root > value
    return root + ((root + 1) * (root + 1) <= value)


def layer_norm(
    x: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray,
    shift: int,
    epsilon: int,
    rms: bool,
    zero_in: int,
    zero_point: int,
    low: int,
    high: int,
) -> np.ndarray:
    """Normalization over channels; see `sim.network.LayerNorm`.

    Args:
        x: int8 [batch, C, H, W].
        gain, bias: int16 and int32 [C].

    Returns:
        int8 [batch, C, H, W].
    """
    channels = x.shape[1]
    u = x.astype(np.int64) - zero_in
    total = 0 * u[:, :1] if rms else u.sum(1, keepdims=True)
    centred = channels * u - total
    spread = channels * (u * u).sum(1, keepdims=True) - total * total
    inverse = 2**46 // square_root((spread + epsilon) << 16)
    normalized = rounding_shift(centred * inverse, 26)
    scaled = normalized * gain.astype(np.int64)[:, None, None] + bias.astype(np.int64)[:, None, None]
    return np.clip(rounding_shift(scaled, shift) + zero_point, low, high).astype(np.int8)
