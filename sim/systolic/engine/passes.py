"""What the vector unit, which is the storer's lanes, computes: a kernel for each kind of layer.

It shares no arithmetic with the functional model. Products of two activations run on the array:
`stationary` gives their weights and `finish_product` turns the array's raw sums into the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim.network import (
    Add,
    AveragePool,
    Concat,
    Constant,
    Conv,
    Layer,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Pool,
    Rearrange,
    Reshape,
    Scan,
    Softmax,
    Table,
    Upsample,
    by_kind,
)
from sim.systolic.engine import storer

Kernel = Callable[[Any, list[np.ndarray], tuple[int, ...]], np.ndarray]
"""Of a layer, the tensors it reads (int8 [batch, C, H, W], contiguous) and their zero points: int8 values
in the order of the output, in any shape."""


def run_pass(network: Network, layer: Layer, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """One layer of the vector unit: int8 [batch, C, H, W].

    Args:
        tensors: int8 [batch, C, H, W] by name, with `input` and those that the layer reads.

    Raises:
        InputError: the vector unit has no kernel for this kind of layer.
    """
    kernel = by_kind(KERNELS, layer, "the vector unit, sim.systolic.engine.passes.KERNELS")
    zeros = tuple(network.zero_point(name) for name in layer.inputs)
    operands = [np.ascontiguousarray(tensors[name]) for name in layer.inputs]
    ofmap = layer.ofmap(*(x.shape[1:] for x in operands))
    found = kernel(layer, operands, zeros).reshape(-1, *ofmap)
    return found if operands else found.repeat(len(tensors["input"]), 0)


def _limits(layer: Any) -> tuple[int, int, int]:
    return layer.zero_point, layer.low, layer.high


def _channels(x: np.ndarray, runs: int = 1) -> np.ndarray:
    """[batch * runs, C / runs, pixels] of [batch, C, H, W]."""
    return x.reshape(len(x) * runs, x.shape[1] // runs, -1)


def _reshape(layer: Reshape, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    return operands[0]


def _table(layer: Table, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    return storer.lookup(operands[0].ravel(), layer.table)


def _upsample(layer: Upsample, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    return storer.upsample(operands[0].reshape(-1, *operands[0].shape[2:]), layer.factor)


def _softmax(layer: Softmax, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    runs = _channels(operands[0], layer.groups)
    masks = np.ones((layer.groups, *runs.shape[1:]), np.uint8)
    if layer.mask is not None:
        each = layer.groups // len(layer.mask)
        masks = np.stack([layer.mask[g // each].reshape(runs.shape[1:]) for g in range(layer.groups)])
    return storer.softmax(runs, layer.table, masks, layer.shift, *_limits(layer))


def _layer_norm(layer: LayerNorm, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    constants = (layer.gain, layer.bias, layer.shift, layer.epsilon, layer.rms)
    runs = _channels(operands[0], layer.groups)
    kernel = storer.group_norm if layer.spatial else storer.layer_norm
    return kernel(runs, *constants, zeros[0], *_limits(layer))


def _pool(layer: Pool, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    planes = operands[0].reshape(-1, *operands[0].shape[2:])
    out = np.empty((len(planes), *layer.ofmap((1, *planes.shape[1:]))[1:]), np.int8)
    window = (layer.kernel, layer.stride, layer.padding)
    if layer.mode == "max":
        storer.max_pool(planes, out, *window, layer.low, layer.high)
    else:
        scale = (layer.multiplier, layer.shift)
        storer.window_average(planes, out, *window, *scale, zeros[0], *_limits(layer))
    return out


def _average_pool(layer: AveragePool, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    scale = (layer.multiplier, layer.shift)
    return storer.average_pool(_channels(operands[0]), *scale, zeros[0], *_limits(layer))


def _beside(operands: list[np.ndarray]) -> list[np.ndarray]:
    """Both operands [batch, values], the second one repeated along its sizes of 1."""
    repeated = np.broadcast_to(operands[1], operands[0].shape)
    return [np.ascontiguousarray(x).reshape(len(x), -1) for x in (operands[0], repeated)]


def _rearrange(layer: Rearrange, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    sizes, strides = np.array(layer.sizes), np.array(layer.strides)
    out = np.empty((len(operands[0]), sizes.prod()), np.int8)
    mode = ("zero", "edge", "reflect", "wrap").index(layer.mode)
    storer.rearrange(
        operands[0], out, sizes, strides, layer.offset, np.array(layer.padding), mode, np.int8(zeros[0])
    )
    return out


def _constant(layer: Constant, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    return layer.values


def _multiply(layer: Multiply, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    a, b = _beside(operands)
    return storer.multiply(a, b, zeros, layer.multiplier, layer.shift, *_limits(layer))


def _add(layer: Add, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    a, b = _beside(operands)
    return storer.add(a, b, layer.multipliers, zeros, layer.shift, *_limits(layer))


def _concat(layer: Concat, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    parts = [
        storer.rescale(x.ravel(), zero, multiplier, layer.shift, *_limits(layer)).reshape(x.shape)
        for x, zero, multiplier in zip(operands, zeros, layer.multipliers, strict=True)
    ]
    return np.concatenate(parts, 1 + layer.axis)


def _scan(layer: Scan, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    x, delta, b, c = (operand[..., 0] for operand in operands)
    constants = (layer.decay, layer.table, layer.skip)
    rounding = (layer.decay_shift, layer.step_multiplier, layer.step_shift, layer.multiplier, layer.shift)
    rest = (layer.reverse, *_limits(layer))
    return storer.scan(x, delta, b, c, np.array(zeros), *constants, *rounding, *rest)


KERNELS: dict[type[Layer], Kernel] = {
    Reshape: _reshape,
    Table: _table,
    Upsample: _upsample,
    Softmax: _softmax,
    LayerNorm: _layer_norm,
    Pool: _pool,
    AveragePool: _average_pool,
    Multiply: _multiply,
    Add: _add,
    Concat: _concat,
    Scan: _scan,
    Rearrange: _rearrange,
    Constant: _constant,
}
"""Kernels by kind of layer; the array's kinds are in `simulate`."""


def finish_convolution(layer: Conv, acc: np.ndarray) -> np.ndarray:
    """Bias, requantization and table of int32 accumulators [batch, K, OH, OW]."""
    q = layer.requantization
    if q is None:
        return acc + layer.bias[:, None, None]
    flat = np.ascontiguousarray(np.moveaxis(acc, 1, -1)).reshape(len(acc), -1, acc.shape[1])
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
