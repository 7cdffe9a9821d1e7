"""The storer and the vector unit made of its lanes: requantization, tables, and passes over maps."""

from __future__ import annotations

import numpy as np
from numba import prange

from sim.kept import kept


@kept(inline="always")
def _finish(value, shift, zero_point, low, high):
    rounded = (value + (np.int64(1) << (shift - 1))) >> shift
    return np.int8(min(max(rounded + zero_point, low), high))


@kept(parallel=True)
def requantize(acc, bias, multiplier, shift, zero_point, low, high):
    """int32 [batch, pixels, K] -> int8 [batch, K, pixels]; per-channel bias, m and s."""
    batch, pixels, channels = acc.shape
    out = np.empty((batch, channels, pixels), np.int8)
    blocks = -(-pixels // 32)
    b, m, s = bias.astype(np.int64), multiplier.astype(np.int64), shift.astype(np.int64)
    for block in prange(batch * blocks):
        n, first = block // blocks, block % blocks * 32
        count = min(32, pixels - first)
        rows = np.empty((count, channels), np.int8)
        for i in range(count):
            for k in range(channels):
                rows[i, k] = _finish(
                    (np.int64(acc[n, first + i, k]) + b[k]) * m[k], s[k], zero_point, low, high
                )
        for k in range(channels):
            for i in range(count):
                out[n, k, first + i] = rows[i, k]
    return out


@kept(parallel=True)
def channels_last(x, out):
    """int8 [batch, C, H, W] -> out int16 [batch, H, W, C]."""
    batch, channels, height, width = x.shape
    for row in prange(batch * height):
        n, y = row // height, row % height
        for c in range(channels):
            for z in range(width):
                out[n, y, z, c] = x[n, c, y, z]


@kept(parallel=True)
def add(a, b, multipliers, zeros, shift, zero_point, low, high):
    """int8 [batch, n] twice -> int8 [batch, n]."""
    out = np.empty(a.shape, np.int8)
    left, right, sums = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    for block in prange(-(-a.size // 4096)):
        for i in range(block * 4096, min(block * 4096 + 4096, a.size)):
            total = (np.int64(left[i]) - zeros[0]) * multipliers[0]
            total += (np.int64(right[i]) - zeros[1]) * multipliers[1]
            sums[i] = _finish(total, shift, zero_point, low, high)
    return out


@kept(parallel=True)
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


@kept()
def lookup(x, table):
    """int8 [n] -> int8 [n]; entry x + 128 of int8 [256]."""
    out = np.empty(x.shape, np.int8)
    for i in range(x.size):
        out[i] = table[np.int64(x[i]) + 128]
    return out


@kept()
def rescale(x, zero_in, multiplier, shift, zero_point, low, high):
    """int8 [n] -> int8 [n] in another scale."""
    out = np.empty(x.shape, np.int8)
    for i in range(x.size):
        out[i] = _finish((np.int64(x[i]) - zero_in) * multiplier, shift, zero_point, low, high)
    return out


@kept()
def multiply(a, b, zeros, multiplier, shift, zero_point, low, high):
    """int8 [rows, n] times int8 [rows, n] -> int8 [rows, n]."""
    out = np.empty(a.shape, np.int8)
    for r in range(a.shape[0]):
        for i in range(a.shape[1]):
            factor = np.int64(b[r, i]) - zeros[1]
            value = (np.int64(a[r, i]) - zeros[0]) * factor * multiplier
            out[r, i] = _finish(value, shift, zero_point, low, high)
    return out


@kept(parallel=True)
def max_pool(x, out, kernel, stride, padding, low, high):
    """int8 [planes, H, W] -> out int8 [planes, OH, OW]; positions outside the map do not take part."""
    planes, height, width = x.shape
    for p in prange(planes):
        tops = np.empty(width, np.int8)  # of the lines under a row of windows
        for oy in range(out.shape[1]):
            y0 = oy * stride[0] - padding[0]
            tops[:] = -128
            for y in range(max(y0, 0), min(y0 + kernel[0], height)):
                for z in range(width):
                    tops[z] = max(tops[z], x[p, y, z])
            for ox in range(out.shape[2]):
                x0 = ox * stride[1] - padding[1]
                best = np.int8(-128)
                for z in range(max(x0, 0), min(x0 + kernel[1], width)):
                    best = max(best, tops[z])
                out[p, oy, ox] = min(max(best, low), high)


@kept(parallel=True)
def pool_lines(x, size, reach, stride, padding):
    """int8 [batch, C, H, W] -> [batch, C, OH, W]: each line in turn, against the one that is kept."""
    first = reach - 1 - padding
    out = np.empty((*x.shape[:2], (size - 1 - first) // stride + 1, x.shape[3]), np.int8)
    for plane in prange(x.shape[0] * x.shape[1]):
        n, c = plane // x.shape[1], plane % x.shape[1]
        line = np.empty(x.shape[3], np.int8)
        fresh, left, written = True, first, 0
        for y in range(size):
            for z in range(x.shape[3]):
                value = x[n, c, y, z]
                best = value if fresh else max(line[z], value)
                if left == 0:
                    out[n, c, written, z] = best
                line[z] = value if left == 0 else best
            fresh = left == 0 and reach == stride
            written += left == 0
            left = stride - 1 if left == 0 else left - 1
    return out


@kept()
def window_average(x, out, kernel, stride, padding, multiplier, shift, zero_in, zero_point, low, high):
    """int8 [planes, H, W] -> out int8 [planes, OH, OW]; positions outside the map add nothing."""
    planes, height, width = x.shape
    for p in range(planes):
        for oy in range(out.shape[1]):
            y0 = oy * stride[0] - padding[0]
            for ox in range(out.shape[2]):
                x0 = ox * stride[1] - padding[1]
                total = np.int64(0)
                for y in range(max(y0, 0), min(y0 + kernel[0], height)):
                    for z in range(max(x0, 0), min(x0 + kernel[1], width)):
                        total += np.int64(x[p, y, z]) - zero_in
                out[p, oy, ox] = _finish(total * multiplier, shift, zero_point, low, high)


@kept()
def upsample(x, factor):
    """int8 [planes, H, W] -> int8 [planes, H f_y, W f_x]."""
    planes, height, width = x.shape
    out = np.empty((planes, height * factor[0], width * factor[1]), np.int8)
    for p in range(planes):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                out[p, y, z] = x[p, y // factor[0], z // factor[1]]
    return out


@kept()
def softmax(x, table, masks, shift, zero_point, low, high):
    """int8 [runs, n, positions] -> the same, softmax over n; exponents uint16 [256].

    Args:
        masks: uint8 [groups, n, positions], taken in turn by the runs: 0 where a value takes no part.
    """
    out = np.empty(x.shape, np.int8)
    runs, n, positions = x.shape
    for r in range(runs):
        mask = masks[r % len(masks)]
        for p in range(positions):
            top = np.int64(-128)
            for i in range(n):
                if mask[i, p]:
                    top = max(top, np.int64(x[r, i, p]))
            total = np.int64(0)
            for i in range(n):
                if mask[i, p]:
                    total += np.int64(table[top - np.int64(x[r, i, p])])
            reciprocal = (np.int64(1) << 40) // total
            for i in range(n):
                value = np.int64(0)
                if mask[i, p]:
                    value = np.int64(table[top - np.int64(x[r, i, p])]) * reciprocal
                out[r, i, p] = _finish(value, shift, zero_point, low, high)
    return out


@kept()
def _root(value):
    """Integer square root by Newton's method from above; value of at least 1."""
    guess = np.int64(1)
    while guess < 2**31 and guess * guess < value:
        guess *= 2
    while True:
        better = (guess + value // guess) >> 1
        if better >= guess:
            return guess
        guess = better


@kept(inline="always")
def _inverse(count, total, squares, epsilon):
    """2^38 over the root of n^2 times the variance (plus epsilon), in as many bits as 64 leave."""
    spare = 16
    while spare > 0 and count > np.int64(1) << (15 + (16 - spare) // 2):
        spare -= 2
    spread = count * squares - total * total
    return (np.int64(1) << (38 + spare // 2)) // _root((spread + epsilon) << spare)


@kept(inline="always")
def _normalized(value, count, total, inverse):
    """In steps of 2^-12."""
    return ((count * value - total) * inverse + (np.int64(1) << 25)) >> 26


@kept()
def layer_norm(x, gain, bias, shift, epsilon, rms, zero_in, zero_point, low, high):
    """int8 [batch * groups, C / groups, positions] -> the same, normalized over the channels at each position;
    gain int16, bias int32 [C]."""
    out = np.empty(x.shape, np.int8)
    runs, n, positions = x.shape
    for r in range(runs):
        first = r * n % len(gain)
        for p in range(positions):
            total, squares = np.int64(0), np.int64(0)
            for c in range(n):
                value = np.int64(x[r, c, p]) - zero_in
                total += value
                squares += value * value
            if rms:
                total = np.int64(0)
            inverse = _inverse(n, total, squares, epsilon)
            for c in range(n):
                value = _normalized(np.int64(x[r, c, p]) - zero_in, n, total, inverse)
                value = value * np.int64(gain[first + c]) + np.int64(bias[first + c])
                out[r, c, p] = _finish(value, shift, zero_point, low, high)
    return out


@kept()
def group_norm(x, gain, bias, shift, epsilon, rms, zero_in, zero_point, low, high):
    """As `layer_norm`, over channels and positions together."""
    out = np.empty(x.shape, np.int8)
    runs, n, positions = x.shape
    count = n * positions
    for r in range(runs):
        first = r * n % len(gain)
        total, squares = np.int64(0), np.int64(0)
        for c in range(n):
            for p in range(positions):
                value = np.int64(x[r, c, p]) - zero_in
                total += value
                squares += value * value
        if rms:
            total = np.int64(0)
        inverse = _inverse(count, total, squares, epsilon)
        for c in range(n):
            g, b = np.int64(gain[first + c]), np.int64(bias[first + c])
            for p in range(positions):
                value = _normalized(np.int64(x[r, c, p]) - zero_in, count, total, inverse)
                out[r, c, p] = _finish(value * g + b, shift, zero_point, low, high)
    return out


@kept()
def _source(place, count, mode):
    """Where padding takes its value from along an axis, -1 for the zero point."""
    if 0 <= place < count:
        return place
    if mode == 0:
        return -1
    if mode == 1:
        return 0 if place < 0 else count - 1
    if mode == 2:
        return -place if place < 0 else 2 * (count - 1) - place
    return place % count


@kept()
def rearrange(x, out, sizes, strides, offset, padding, mode, zero):
    """int8 [batch, C, H, W] -> out int8 [batch, values]; padding [3, 2] and mode (zero, edge, reflect, wrap)."""
    batch, channels, height, width = x.shape
    tall = height + padding[1, 0] + padding[1, 1]
    wide = width + padding[2, 0] + padding[2, 1]
    count = np.zeros(len(sizes), np.int64)
    place = np.int64(offset)
    for i in range(out.shape[1]):
        c = _source(place // (tall * wide) - padding[0, 0], channels, mode)
        y = _source(place // wide % tall - padding[1, 0], height, mode)
        z = _source(place % wide - padding[2, 0], width, mode)
        for n in range(batch):
            out[n, i] = zero if min(c, y, z) < 0 else x[n, c, y, z]
        for k in range(len(sizes) - 1, -1, -1):
            count[k] += 1
            place += strides[k]
            if count[k] < sizes[k]:
                break
            place -= strides[k] * sizes[k]
            count[k] = 0


@kept()
def correct_product(raw, a, b, zeros, multiplier, shift, zero_point, low, high):
    """Requantizes raw products of two activations, zero points corrected by sums.

    Args:
        raw: int32 [heads, outputs, tokens], sums of a * b.
        a: int8 [heads, terms, tokens], what streamed.
        b: int8 [heads, outputs, terms], what stood in the place of the weights.
        zeros: of a and b.

    Returns:
        int8 [heads, outputs, tokens].
    """
    heads, outputs, tokens = raw.shape
    terms = a.shape[1]
    out = np.empty(raw.shape, np.int8)
    column = np.empty(tokens, np.int64)
    for h in range(heads):
        column[:] = 0
        for t in range(terms):
            for i in range(tokens):
                column[i] += np.int64(a[h, t, i])
        for o in range(outputs):
            row = np.int64(0)
            for t in range(terms):
                row += np.int64(b[h, o, t])
            constant = terms * zeros[0] * zeros[1] - zeros[0] * row
            for i in range(tokens):
                acc = np.int64(raw[h, o, i]) - zeros[1] * column[i] + constant
                out[h, o, i] = _finish(acc * multiplier, shift, zero_point, low, high)
    return out


@kept()
def scan(
    x,
    delta,
    b,
    c,
    zeros,
    decay,
    table,
    skip,
    decay_shift,
    step_multiplier,
    step_shift,
    multiplier,
    shift,
    reverse,
    zero_point,
    low,
    high,
):
    """Selective scan of x, delta int8 [batch, C, L] and b, c int8 [batch, N, L] -> int8 [batch, C, L].

    Args:
        zeros: of the four operands.
        decay: uint16 [C, N]; table: uint16 [256]; skip: int32 [C].
    """
    out = np.empty(x.shape, np.int8)
    batch, channels, tokens = x.shape
    states = b.shape[1]
    top = np.int64(2**31 - 1)
    decay_half, step_half = np.int64(1) << (decay_shift - 1), np.int64(1) << (step_shift - 1)
    for n in range(batch):
        for k in range(channels):
            held = np.zeros(states, np.int64)
            for i in range(tokens):
                t = tokens - 1 - i if reverse else i
                value = np.int64(x[n, k, t]) - zeros[0]
                width = max(np.int64(delta[n, k, t]) - zeros[1], 0)
                total = value * np.int64(skip[k])
                for e in range(states):
                    entry = min((width * np.int64(decay[k, e]) + decay_half) >> decay_shift, 255)
                    kept = (held[e] * np.int64(table[entry]) + 32768) >> 16
                    factor = width * value * (np.int64(b[n, e, t]) - zeros[2])
                    moved = kept + ((factor * step_multiplier + step_half) >> step_shift)
                    held[e] = min(max(moved, -top), top)
                    total += held[e] * (np.int64(c[n, e, t]) - zeros[3])
                out[n, k, t] = _finish(total * multiplier, shift, zero_point, low, high)
    return out
