"""Weights with a scale for each block of inputs: MatMulNBits of ONNX Runtime, DequantizeLinear with block_size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.errors import InputError
from sim.importers.quantized.builder import Builder
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.products import linear
from sim.importers.quantized.values import Parameter, Value, Weight, refusal
from sim.network import Int2Weight, Int4Weight, ScaledWeight
from sim.network.blocks import exactly

KINDS: dict[int, type[ScaledWeight]] = {2: Int2Weight, 4: Int4Weight}
"""By bits; of 8 bits only weights of one block an output are INT8."""


def matmul_n_bits(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """com.microsoft MatMulNBits: A [..., K] by the transpose of packed B [N, blocks, bytes], the first weight lowest.

    Raises:
        InputError: other bits, an order of its inputs, zero points beside those of symmetric levels, or scales that
            our formats do not hold.
    """
    inputs, outputs, bits, size = (node.attributes.get(name, 0) for name in ("K", "N", "bits", "block_size"))
    bits = bits or 4
    packed, scale, zero, order, bias = (*values[1:], None, None, None, None)[:5]
    if order is not None:
        raise refusal(
            node.name, node.operator, "its inputs have an order (g_idx)", "quantize without act-order"
        )
    if not isinstance(packed, Parameter) or not isinstance(scale, Parameter):
        raise refusal(node.name, node.operator, "its weight is computed", "make it a constant")
    if bits not in (2, 4, 8):
        raise refusal(node.name, node.operator, f"its weights have {bits} bits", "use 2, 4 or 8")
    blocks = -(-inputs // size)
    levels = unpacked(packed.array.reshape(outputs, -1), bits)[:, : blocks * size].reshape(
        outputs, blocks, size
    )
    points = _points(node, zero, bits, (outputs, blocks))
    elements = (levels - points[:, :, None]).reshape(outputs, -1)[:, :inputs]
    scales = scale.array.reshape(outputs, blocks)
    weight = of_blocks(node, elements, scales, size, bits)
    return linear(builder, node, values[0], weight, bias)


def unpacked(array: np.ndarray, bits: int) -> np.ndarray:
    """int64 [rows, 8 / bits * bytes], the lowest bits of each byte first."""
    shifts = np.arange(0, 8, bits)
    found = array.astype(np.int64)[:, :, None] >> shifts & (1 << bits) - 1
    return found.reshape(len(array), -1)


def _points(node: GraphNode, zero: Value | None, bits: int, shape: tuple[int, int]) -> np.ndarray:
    """int64 [N, blocks]; half of the range where none are given."""
    if zero is None:
        return np.full(shape, 1 << bits - 1, np.int64)
    if not isinstance(zero, Parameter) or zero.array.dtype != np.uint8:
        raise refusal(node.name, node.operator, "its zero points are no constant integers", "leave them out")
    return unpacked(zero.array.reshape(shape[0], -1), bits)[:, : shape[1]]


def of_blocks(node: GraphNode, elements: np.ndarray, scales: np.ndarray, size: int, bits: int) -> Weight:
    """Elements less their zero points [K, C] with real scales [K, blocks], as integers of 8 bits.

    Raises:
        InputError: levels beyond the format's, or scales that it does not hold.
    """
    if scales.shape[1] == 1:
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise refusal(
                node.name, node.operator, "a scale of its weight is no positive number", "quantize it again"
            )
        return Weight(elements, scales[:, 0].astype(np.float32), 0)
    kind = KINDS.get(bits)
    if kind is None:
        problem = f"weights of {bits} bits have a scale for each block of {size} inputs"
        raise refusal(node.name, node.operator, problem, "use 2 or 4 bits, or one block an output")
    low, high = kind.bounds
    if elements.min() < low or elements.max() > high:
        problem = f"a level less its zero point is beyond {low}..{high}"
        raise refusal(node.name, node.operator, problem, "quantize symmetrically, without zero points")
    try:
        whole, units = exactly(kind, elements.astype(np.int8), scales, size)
    except InputError as error:
        raise refusal(node.name, node.operator, f"its {error.problem}", error.fix) from None
    return Weight(whole.decode()[:, :, 0, 0].astype(np.int64), units.astype(np.float32), 0, whole)
