"""The functional model: every tensor of a network, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from sim.network import integer
from sim.network.graph import Layer, Network
from sim.network.layers import Conv, MatMul
from sim.network.passes import (
    Add,
    AveragePool,
    Concat,
    LayerNorm,
    Multiply,
    Pool,
    Reshape,
    Scan,
    Softmax,
    Table,
)

COLUMNS = 2**22
"""Elements of an im2col block, which bounds the memory of a convolution."""


def run(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """Functional model: every tensor of the network for a batch of images.

    Args:
        images: int8 [batch, C, H, W], quantized as `network.input` says.

    Returns:
        int8 [batch, C, H, W] by layer name; int32 where a layer has no requantization.
    """
    tensors = {"input": images}
    for layer in network.layers:
        tensors[layer.name] = run_layer(network, layer, tensors)
    return tensors


def run_layer(network: Network, layer: Layer, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """One layer of the functional model, from the tensors it reads."""
    operands = [tensors[name] for name in layer.inputs]
    zeros = [network.zero_point(name) for name in layer.inputs]
    x, zero = operands[0], zeros[0]
    if isinstance(layer, Conv):
        return finish(layer, convolve(x, layer, zero))
    if isinstance(layer, Reshape):
        return x.reshape(len(x), *layer.to)
    if isinstance(layer, Table):
        return layer.table[x.astype(np.int16) + 128]
    if isinstance(layer, Pool):
        return pool(x, layer, zero)
    if isinstance(layer, MatMul | AveragePool | Multiply):
        limits = (layer.multiplier, layer.shift, layer.zero_point, layer.low, layer.high)
        if isinstance(layer, MatMul):
            return integer.scale(product(x, operands[1], layer, zero, zeros[1]), *limits)
        if isinstance(layer, AveragePool):
            return integer.average_pool(x, *limits[:2], zero, *limits[2:])
        return integer.scale((x.astype(np.int64) - zero) * (operands[1].astype(np.int64) - zeros[1]), *limits)
    if isinstance(layer, Add):
        return integer.add(
            x,
            operands[1],
            layer.multipliers,
            layer.shift,
            (zeros[0], zeros[1]),
            layer.zero_point,
            layer.low,
            layer.high,
        )
    if isinstance(layer, Concat):
        parts = [
            integer.scale(part.astype(np.int64) - z, m, layer.shift, layer.zero_point, layer.low, layer.high)
            for part, z, m in zip(operands, zeros, layer.multipliers, strict=True)
        ]
        return np.concatenate(parts, 1 + layer.axis)
    if isinstance(layer, Softmax):
        return integer.softmax(x, layer.table, layer.groups, layer.zero_point, layer.low, layer.high)
    if isinstance(layer, LayerNorm):
        return integer.layer_norm(
            x,
            layer.gain,
            layer.bias,
            layer.shift,
            layer.epsilon,
            layer.rms,
            zero,
            layer.zero_point,
            layer.low,
            layer.high,
        )
    if isinstance(layer, Scan):
        return scan(layer, [part.astype(np.int64) - z for part, z in zip(operands, zeros, strict=True)])
    return x.repeat(layer.factor[0], 2).repeat(layer.factor[1], 3)


def pad(ifmap: np.ndarray, padding: tuple[int, int], zero_point: int) -> np.ndarray:
    """ifmap [..., H, W] with the zero point around it."""
    py, px = padding
    widths = [(0, 0)] * (ifmap.ndim - 2) + [(py, py), (px, px)]
    return np.pad(ifmap, widths, constant_values=zero_point)


def pool(x: np.ndarray, layer: Pool, zero_point: int) -> np.ndarray:
    """int8 [batch, C, OH, OW] of windows of int8 [batch, C, H, W]."""
    fill = -128 if layer.mode == "max" else zero_point
    windows = integer.windows(x, layer.kernel, layer.stride, layer.padding, fill)
    if layer.mode == "max":
        return np.clip(windows.max((-2, -1)), layer.low, layer.high).astype(np.int8)
    total = windows.sum((-2, -1), dtype=np.int64) - zero_point * layer.kernel[0] * layer.kernel[1]
    return integer.scale(total, layer.multiplier, layer.shift, layer.zero_point, layer.low, layer.high)


def product(a: np.ndarray, b: np.ndarray, layer: MatMul, zero_a: int, zero_b: int) -> np.ndarray:
    """int64 accumulators [batch, outputs, tokens, 1] of a product of two activations.

    In float64, which is exact: sums stay below 2^31.
    """
    batch, tokens = len(a), a.shape[2]
    left = a.reshape(batch, layer.heads, -1, tokens).astype(np.float64) - zero_a
    right = b.reshape(batch, layer.heads, -1, b.shape[2]).astype(np.float64) - zero_b
    if layer.transpose_b:
        right = right.swapaxes(2, 3)
    return (right @ left).astype(np.int64).reshape(batch, -1, tokens, 1)


def scan(layer: Scan, operands: list[np.ndarray]) -> np.ndarray:
    """int8 [batch, C, L, 1] of a selective scan; operands int64 less their zero points."""
    x, delta, b, c = (part[..., 0] for part in operands)
    delta = np.maximum(delta, 0)
    decay, table = layer.decay.astype(np.int64), layer.table.astype(np.int64)
    state = np.zeros((len(x), *decay.shape), np.int64)
    sums = np.empty_like(x)
    order = range(x.shape[2])
    for t in reversed(order) if layer.reverse else order:
        index = np.minimum(integer.rounding_shift(delta[:, :, t, None] * decay, layer.decay_shift), 255)
        step = (delta[:, :, t] * x[:, :, t])[:, :, None] * b[:, None, :, t] * layer.step_multiplier
        state = integer.rounding_shift(state * table[index], 16) + integer.rounding_shift(
            step, layer.step_shift
        )
        state = np.clip(state, -(2**31 - 1), 2**31 - 1)
        sums[:, :, t] = (state * c[:, None, :, t]).sum(2) + x[:, :, t] * layer.skip
    return integer.scale(sums, layer.multiplier, layer.shift, layer.zero_point, layer.low, layer.high)[
        ..., None
    ]


def convolve(ifmap: np.ndarray, layer: Conv, zero_point: int) -> np.ndarray:
    """int32 accumulators [batch, K, OH, OW] of a convolution, without bias.

    Products are summed in float32 GEMMs, split where a partial sum might reach 2^24; below it all
    integers are exact, in any order. The parts add in int32.
    """
    weight = layer.weight.decode()
    outputs, c, ky, kx = weight.shape
    groups, (sy, sx), (dy, dx) = layer.groups, layer.stride, layer.dilation
    x = pad(ifmap, layer.padding, zero_point)
    oh = (x.shape[2] - (ky - 1) * dy - 1) // sy + 1
    ow = (x.shape[3] - (kx - 1) * dx - 1) // sx + 1
    taps = weight.reshape(groups, outputs // groups, c * ky * kx)
    if c == 1 and outputs <= 4 * groups:
        return _depthwise(x, taps, layer, oh, ow)
    matrix = taps.astype(np.float32)
    cuts = _cuts(taps)
    block = max(1, COLUMNS // (groups * c * ky * kx * ow))
    acc = np.empty((len(x), groups, outputs // groups, oh, ow), np.int32)
    for image, out in zip(x, acc, strict=True):
        for top in range(0, oh, block):
            rows = min(block, oh - top)
            columns = np.empty((groups * c, ky, kx, rows, ow), np.float32)
            for i in range(ky):
                for j in range(kx):
                    y = top * sy + i * dy
                    columns[:, i, j] = image[
                        :, y : y + (rows - 1) * sy + 1 : sy, j * dx : j * dx + (ow - 1) * sx + 1 : sx
                    ]
            flat = columns.reshape(groups, c * ky * kx, rows * ow)
            parts = [matrix[:, :, low:high] @ flat[:, low:high] for low, high in pairwise(cuts)]
            total = parts[0].astype(np.int32)
            for part in parts[1:]:
                total += part.astype(np.int32)
            out[:, :, top : top + rows] = total.reshape(groups, -1, rows, ow)
    return acc.reshape(len(x), outputs, oh, ow)


def _cuts(taps: np.ndarray) -> list[int]:
    """Where to cut the terms so that sum |w| * 128 of no output exceeds 2^24 within a part."""
    bound = 2**24 // 128
    reach = np.abs(taps, dtype=np.int16).max((0, 1)).astype(np.int64)
    if (total := np.abs(taps, dtype=np.int16).sum(2, dtype=np.int64).max(initial=0)) <= bound:
        return [0, taps.shape[2]]
    assert total < 2**31
    cuts, used = [0], 0
    for place, worst in enumerate(reach.tolist()):
        if used + worst > bound:
            cuts.append(place)
            used = 0
        used += worst
    return [*cuts, taps.shape[2]]


def _depthwise(x: np.ndarray, taps: np.ndarray, layer: Conv, oh: int, ow: int) -> np.ndarray:
    """One input channel a group: a product a tap, summed in int32."""
    (sy, sx), (dy, dx) = layer.stride, layer.dilation
    groups, each, _ = taps.shape
    acc = np.zeros((len(x), groups, each, oh, ow), np.int32)
    for place, (i, j) in enumerate(np.ndindex(*layer.weight.shape[2:])):
        window = x[
            :, :, i * dy : i * dy + (oh - 1) * sy + 1 : sy, j * dx : j * dx + (ow - 1) * sx + 1 : sx
        ].astype(np.int32)
        acc += window[:, :, None] * taps[:, :, place].astype(np.int32)[:, :, None, None]
    return acc.reshape(len(x), groups * each, oh, ow)


def finish(layer: Conv, acc: np.ndarray) -> np.ndarray:
    """Bias, requantization and table of accumulators [batch, K, OH, OW]."""
    rows = np.moveaxis(acc, 1, -1)
    q = layer.requantization
    if q is None:
        out = (rows.astype(np.int64) + layer.bias).astype(np.int32)
    else:
        out = integer.requantize(rows, layer.bias, q.multiplier, q.shift, q.zero_point, q.low, q.high)
        if q.table is not None:
            out = q.table[out.astype(np.int16) + 128]
    return np.ascontiguousarray(np.moveaxis(out, -1, 1))
