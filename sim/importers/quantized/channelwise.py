"""A gain and an offset of each channel: a depth-wise 1x1 convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.importers.quantized.builder import Builder
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.rounding import nearest
from sim.importers.quantized.values import CODES, Comparison, Pending, Quantizer, Tensor
from sim.network import Conv, DenseWeight, Requantization

_FINE = 127
"""The weight where there are offsets, which are rounded to steps of the sums."""


@dataclass(frozen=True)
class Affine:
    """scale * (code - zero point) * gain + offset.

    Attributes:
        scale: of the tensor.
        gain, offset: float32 [C].
    """

    node: GraphNode
    tensor: Tensor
    scale: np.float32
    gain: np.ndarray
    offset: np.ndarray

    def pending(self, builder: Builder) -> Pending:
        """The layer, once its scale is known."""
        return Pending(
            self.node.name, self.node.operator, self.tensor.layout, lambda it, q: self._emit(builder, it, q)
        )

    def _emit(self, builder: Builder, it: Pending, q: Quantizer) -> Tensor:
        """Every code of every channel is compared with float32."""
        t = self.tensor
        codes = CODES[t.low + 128 : t.high + 129]
        x = (codes - t.zero_point).astype(np.float32) * self.scale
        wanted = q.codes(x * self.gain[:, None] + self.offset[:, None])
        size = _FINE if self.offset.any() else 1
        weight = np.where(self.gain < 0, -size, size)
        step = np.maximum(np.abs(self.gain).astype(np.float64) * float(self.scale) / size, 2.0**-40)
        bias = np.rint(np.clip(self.offset / step, -(2.0**30), 2.0**30)).astype(np.int64)
        first = np.array([nearest(float(s)) for s in step / float(q.scale)], np.int64).reshape(-1, 2)
        sums = weight[:, None] * (codes - t.zero_point) + bias[:, None]
        best, found = np.full(len(weight), 2**62), first[:, 0].copy()
        for change in (0, 1, -1):
            m = np.clip(first[:, 0] + change, 1, 2**16 - 1)
            shift = first[:, 1:]
            rounded = (sums * m[:, None] + (np.int64(1) << (shift - 1))) >> shift
            apart = (np.clip(rounded + q.zero_point, q.low, q.high) != wanted).sum(1)
            found, best = np.where(apart < best, m, found), np.minimum(apart, best)
        name = builder.named(it.label)
        builder.comparisons.append(Comparison(name, int(best.sum()), wanted.size))
        layer = Conv(
            name,
            t.name,
            DenseWeight(weight.astype(np.int8)[:, None, None, None]),
            (bias - t.zero_point * weight).astype(np.int32),
            requantization=Requantization(
                found.astype(np.uint16), first[:, 1].astype(np.uint8), q.zero_point, q.low, q.high
            ),
            groups=len(weight),
        )
        return builder.add(layer, it.layout, q.low, q.high)
