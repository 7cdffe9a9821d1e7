"""What the vector unit, which is the storer's lanes, computes: dispatch of layers to kernels.

It shares no arithmetic with the functional model. Products of two activations run on the array:
`stationary` gives their weights and `finish_product` turns the array's raw sums into the tensor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sim.errors import InputError
from sim.network import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Layer,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Pool,
    Reshape,
    Scan,
    Softmax,
    Table,
    Upsample,
)
from sim.systolic.engine import storer


def run_pass(network: Network, layer: Layer, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """One layer of the vector unit: int8 [batch, C, H, W].

    Args:
        tensors: int8 [batch, C, H, W] by name, with those that the layer reads.

    Raises:
        InputError: the layer is no pass over feature maps.
    """
    zeros = tuple(network.zero_point(name) for name in layer.inputs)
    operands = [np.ascontiguousarray(tensors[name]) for name in layer.inputs]
    first = operands[0]
    batch, channels, height, width = first.shape
    if isinstance(layer, Conv | MatMul):
        raise InputError(
            layer.name,
            type(layer).__name__,
            "runs on the array, not on the vector unit",
            "lower it to the array",
        )
    out = (batch, *layer.ofmap(*(x.shape[1:] for x in operands)))
    if isinstance(layer, Reshape):
        return first.reshape(out)
    if isinstance(layer, Table):
        return storer.lookup(first.ravel(), layer.table).reshape(out)
    if isinstance(layer, Upsample):
        return storer.upsample(first.reshape(-1, height, width), layer.factor).reshape(out)
    limits = (layer.zero_point, layer.low, layer.high)
    if isinstance(layer, Softmax):
        runs = first.reshape(batch * layer.groups, channels // layer.groups, -1)
        return storer.softmax(runs, layer.table, *limits).reshape(out)
    if isinstance(layer, LayerNorm):
        flat = first.reshape(batch, channels, -1)
        return storer.layer_norm(
            flat, layer.gain, layer.bias, layer.shift, layer.epsilon, layer.rms, zeros[0], *limits
        ).reshape(out)
    if isinstance(layer, Pool):
        return _pool(layer, first.reshape(-1, height, width), zeros[0]).reshape(out)
    if isinstance(layer, AveragePool):
        flat = first.reshape(batch, channels, -1)
        pooled = storer.average_pool(flat, layer.multiplier, layer.shift, zeros[0], *limits)
        return pooled.reshape(out)
    if isinstance(layer, Multiply):
        rows = [operand.reshape(batch * channels, -1) for operand in operands]
        return storer.multiply(rows[0], rows[1], zeros, layer.multiplier, layer.shift, *limits).reshape(out)
    if isinstance(layer, Add):
        rows = [operand.reshape(batch, -1) for operand in operands]
        return storer.add(rows[0], rows[1], layer.multipliers, zeros, layer.shift, *limits).reshape(out)
    if isinstance(layer, Scan):
        x, delta, b, c = (operand[..., 0] for operand in operands)
        return storer.scan(
            x,
            delta,
            b,
            c,
            np.array(zeros),
            layer.decay,
            layer.table,
            layer.skip,
            layer.decay_shift,
            layer.step_multiplier,
            layer.step_shift,
            layer.multiplier,
            layer.shift,
            layer.reverse,
            *limits,
        ).reshape(out)
    assert isinstance(layer, Concat)
    parts = [
        storer.rescale(x.ravel(), zero, multiplier, layer.shift, *limits).reshape(x.shape)
        for x, zero, multiplier in zip(operands, zeros, layer.multipliers, strict=True)
    ]
    return np.concatenate(parts, 1 + layer.axis)


def _pool(layer: Pool, planes: np.ndarray, zero_in: int) -> np.ndarray:
    out = np.empty((len(planes), *layer.ofmap((1, *planes.shape[1:]))[1:]), np.int8)
    window = (layer.kernel, layer.stride, layer.padding)
    if layer.mode == "max":
        storer.max_pool(planes, out, *window, layer.low, layer.high)
    else:
        storer.window_average(
            planes,
            out,
            *window,
            layer.multiplier,
            layer.shift,
            zero_in,
            layer.zero_point,
            layer.low,
            layer.high,
        )
    return out


def finish_convolution(layer: Conv, acc: np.ndarray) -> np.ndarray:
    """Bias, requantization and table of int32 accumulators [batch, K, OH, OW]."""
    q = layer.requantization
    if q is None:
        return acc + layer.bias[:, None, None]
    flat = acc.reshape(*acc.shape[:2], -1)
    out = storer.requantize(flat, layer.bias, q.multiplier, q.shift, q.zero_point, q.low, q.high)
    if q.table is not None:
        out = storer.lookup(out.ravel(), q.table)
    return out.reshape(acc.shape)


def stationary(layer: MatMul, b: np.ndarray) -> np.ndarray:
    """The second operand as weights of a grouped 1x1 convolution.

    Args:
        b: int8 [C, tokens, 1] of one image.

    Returns:
        int8 [outputs, channels/heads, 1, 1], raw values, zero point and all.
    """
    split = b.reshape(layer.heads, -1, b.shape[1])
    if layer.transpose_b:
        split = split.transpose(0, 2, 1)
    return np.ascontiguousarray(split).reshape(-1, split.shape[2], 1, 1)


def finish_product(
    layer: MatMul, raw: np.ndarray, a: np.ndarray, b: np.ndarray, zeros: tuple[int, int]
) -> np.ndarray:
    """Zero points and requantization of the array's raw sums of one image.

    Args:
        raw: int32 [outputs, tokens, 1], sums of a times `stationary(layer, b)` without zero points.
        a, b: int8 [C, tokens, 1].
        zeros: zero points of a and b.

    Returns:
        int8 [outputs, tokens, 1].
    """
    heads = layer.heads
    weights = stationary(layer, b).reshape(heads, -1, a.shape[0] // heads)
    flat = np.ascontiguousarray(a).reshape(heads, -1, a.shape[1])
    sums = np.ascontiguousarray(raw).reshape(heads, -1, a.shape[1])
    out = storer.correct_product(
        sums, flat, weights, zeros, layer.multiplier, layer.shift, layer.zero_point, layer.low, layer.high
    )
    return out.reshape(raw.shape)
