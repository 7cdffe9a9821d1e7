"""Selective scans (Mamba)."""

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


def token_by_token(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, reverse: bool = False
) -> Tensor:
    """`algos.models.scan.selective_scan`, in operators that a batch of images goes through."""
    states, found = torch.zeros_like(delta[:, 0, :, None] * a), []
    places = range(x.shape[1])
    for t in reversed(places) if reverse else places:
        step = (delta[:, t] * x[:, t])[..., None] * b[:, t, None]
        states = (delta[:, t, :, None] * a).exp() * states + step
        found.append((states * c[:, t, None]).sum(-1) + x[:, t] * skip)
    return torch.stack(found[::-1] if reverse else found, 1)


class SelectiveScan(Operator):
    """Of x and delta [1, L, C], b and c [1, L, N]; a [C, N] and skip [C] are constant."""

    namespace = "codeword"
    names = ("selective_scan",)
    function = staticmethod(token_by_token)

    def steps(self, call: Call) -> list[Step]:
        operands = [call[name] for name in ("x", "delta", "b", "c")]
        return [work(call.name, "scan", operands, call.out, call.out.elements * call["a"].extent[-1])]

    def lower(self, node: Node, to: Lowering) -> None:
        """States in units of the products delta x B, or so many of them that no sum reaches 2^31."""
        if not node["a"].constant or not node["skip"].constant:
            raise Missing("decays that the network computes", "make them a parameter")
        operands = [node[name] for name in ("x", "delta", "b", "c")]
        x, delta, b, c = (to.read(value, of_axes(value.extent, [2], [1])) for value in operands)
        tail = to.tail(node.out, of_axes(node.out.extent, [2], [1]))
        out, name = to.emitted(tail), to.name(node.name)
        unit = max(0, math.ceil(math.log2(node.out.extent[1])) - 7)  # a product is below 2^24
        decay = -node["a"].data.double().numpy() * delta.scale / TABLE_STEP
        shift = min(47, 15 - math.floor(math.log2(decay.max())))
        product = delta.scale * b.scale * c.scale * 2.0**unit
        m, s = ratio(product * x.scale / out.scale)
        skip = np.round(node["skip"].data.double().numpy() / product)
        if np.abs(skip).max() >= 2**31:
            raise Missing("a skip beyond 32 bits of the steps' products", "calibrate on larger activations")
        to.add(
            Scan(
                name,
                (x.tensor, delta.tensor, b.tensor, c.tensor),
                np.minimum(np.round(decay * 2.0**shift), 65535).astype(np.uint16),
                exponent_table(TABLE_STEP),
                skip.astype(np.int32),
                shift,
                2,
                1 + unit,
                m,
                s,
                node["reverse"],
                out.zero_point,
                out.low,
                out.high,
            )
        )
        to.settle(tail, name, out)
