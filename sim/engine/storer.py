"""The storer and its passes: bias, requantization, clamp, residual addition, pooling."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, inline="always")
def _finish(value, shift, zero_point, low, high):
    rounded = (value + (np.int64(1) << (shift - 1))) >> shift
    return np.int8(min(max(rounded + zero_point, low), high))


@njit(cache=True, parallel=True)
def requantize(acc, bias, multiplier, shift, zero_point, low, high):
    """int32 [batch, K, pixels] -> int8 [batch, K, pixels]; per-channel bias, m and s."""
    batch, channels, pixels = acc.shape
    out = np.empty(acc.shape, np.int8)
    for n in prange(batch):
        for k in range(channels):
            b, m, s = np.int64(bias[k]), np.int64(multiplier[k]), np.int64(shift[k])
            for i in range(pixels):
                out[n, k, i] = _finish((np.int64(acc[n, k, i]) + b) * m, s, zero_point, low, high)
    return out


@njit(cache=True, parallel=True)
def add(a, b, multipliers, zeros, shift, zero_point, low, high):
    """int8 [batch, n] twice -> int8 [batch, n]."""
    out = np.empty(a.shape, np.int8)
    for n in prange(a.shape[0]):
        for i in range(a.shape[1]):
            total = (np.int64(a[n, i]) - zeros[0]) * multipliers[0]
            total += (np.int64(b[n, i]) - zeros[1]) * multipliers[1]
            out[n, i] = _finish(total, shift, zero_point, low, high)
    return out


@njit(cache=True, parallel=True)
def average_pool(x, multiplier, shift, zero_in, zero_point, low, high):
    """int8 [batch, C, pixels] -> int8 [batch, C, 1]."""
    out = np.empty((x.shape[0], x.shape[1], 1), np.int8)
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            total = np.int64(0)
            for i in range(x.shape[2]):
                total += np.int64(x[n, c, i]) - zero_in
            out[n, c, 0] = _finish(total * multiplier, shift, zero_point, low, high)
    return out
