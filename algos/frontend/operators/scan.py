"""The selective scan, which modules call as `algos.models.scan.selective_scan`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from algos.frontend.graph import Node
from algos.frontend.layout import of_axes
from algos.frontend.lower import Lowering, ratio
from algos.frontend.operator import Call, Missing, Operator
from sim.importers.steps import Step, work
from sim.network import Scan, exponent_table

TABLE_STEP = 1 / 32
"""Of the decay table: exp(-8) = 0.0003 is its last entry."""


def _scan(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, reverse: bool = False
) -> Tensor:
    """y_t = sum_n C_t[n] h_t[n] + D x_t with h_t = exp(delta_t A) h_(t-1) + delta_t x_t B_t, token by token."""
    state, sums = torch.zeros_like(delta[..., 0, :, None] * a), []
    order = range(x.shape[-2])
    for t in reversed(order) if reverse else order:
        step = delta[..., t, :, None]
        state = (step * a).exp() * state + step * x[..., t, :, None] * b[..., t, None, :]
        sums.append((state * c[..., t, None, :]).sum(-1))
    return torch.stack(sums[::-1] if reverse else sums, -2) + x * skip


class SelectiveScan(Operator):
    """[1, L, C] along tokens."""

    names = ("codeword.selective_scan",)
    function = staticmethod(_scan)

    def steps(self, call: Call) -> list[Step]:
        operands = [call[name] for name in ("x", "delta", "b", "c")]
        return [work(call.name, "scan", operands, call.out, call.out.elements * call["a"].extent[-1])]

    def lower(self, node: Node, to: Lowering) -> None:
        """States in units of the products delta x B, or of as many as all tokens do not sum up to 2^31."""
        if not node["a"].constant or not node["skip"].constant:
            raise Missing("its rates are computed by the network", "make them a parameter")
        held = [to.read(v, of_axes(v.extent, [2], [1])) for v in (node[n] for n in ("x", "delta", "b", "c"))]
        tail = to.tail(node.out, of_axes(node.out.extent, [2], [1]))
        out = to.emitted(tail)
        of_x, of_delta, of_b, of_c = (one.scale for one in held)
        decay = -node["a"].data.double().numpy() * of_delta / TABLE_STEP
        decay_shift = min(47, 15 - math.floor(math.log2(decay.max())))
        coarser = max(0, math.ceil(math.log2(node.out.extent[1] * 255**3 / 2**31)))
        step = of_delta * of_b * of_c * 2**coarser
        skip = node["skip"].data.double().numpy() / step
        m, s = ratio(of_x * step / out.scale)
        name = to.name(node.name)
        x, delta, b, c = (one.tensor for one in held)
        to.add(
            Scan(
                name,
                (x, delta, b, c),
                np.minimum(np.round(decay * 2.0**decay_shift), 65535).astype(np.uint16),
                exponent_table(TABLE_STEP),
                np.round(skip).astype(np.int32),
                decay_shift,
                2,
                1 + coarser,
                m,
                s,
                node["reverse"],
                out.zero_point,
                out.low,
                out.high,
            )
        )
        to.settle(tail, name, out)
