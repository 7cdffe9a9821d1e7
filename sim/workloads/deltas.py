"""Two branches that share weights, the second as what its operands differ by: what streaming deltas takes and saves.

W x' = y + W (x' - x) for a layer with constant weights. A product of two activations has no such form with fewer
products (q'k' = qk + q'(k' - k) + (q' - q)k has one more), and no norm, softmax or function has one at all: before each
of them the second branch is whole again, and behind it the first one is read once more and subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.shapes import ConvShape
from sim.workloads.workload import Workload

SUM = 4
"""Bytes of a psum."""


@dataclass(frozen=True)
class Deltas:
    """Of one evaluation of both branches.

    Attributes:
        macs: all of them, the same with deltas as without: the array skips no zero, it gates it.
        linear: those of the second branch in layers with constant weights, whose operands become deltas.
        whole_bytes: of the operands and results of these layers, of both branches, each written and read once.
        subtracted_bytes: operands of the first branch that are read again to make deltas.
        sum_bytes: psums of the first branch, written and read, on which the deltas add up.
        weight_bytes: INT8 weights that come twice where psums stay in the array instead: it holds those of one
            tile, through the first branch and then the second, so that no weight serves both.
    """

    macs: int
    linear: int
    whole_bytes: int
    subtracted_bytes: int
    sum_bytes: int
    weight_bytes: int

    @property
    def added_bytes(self) -> int:
        """Of what deltas move beyond whole operands, by the cheaper way."""
        return self.subtracted_bytes + min(self.sum_bytes, self.weight_bytes)

    def saved_bytes(self, bits: float) -> float:
        """Of operands, where a delta takes so many bits in the place of 8."""
        return self.subtracted_bytes * (1 - bits / 8)


def deltas(workload: Workload) -> Deltas:
    """Of a workload that is one branch."""
    layers = [shape for shape in workload.shapes if isinstance(shape, ConvShape) and not shape.dynamic]
    read = sum(shape.channels * shape.size[0] * shape.size[1] for shape in layers)
    made = sum(shape.outputs * shape.out_h * shape.out_w for shape in layers)
    return Deltas(
        macs=2 * workload.macs,
        linear=sum(shape.macs for shape in layers),
        whole_bytes=2 * (read + made),
        subtracted_bytes=read,
        sum_bytes=2 * SUM * made,
        weight_bytes=sum(shape.weights for shape in layers),
    )
