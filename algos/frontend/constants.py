"""A gain and an offset that no convolution before them takes in: a depth-wise layer of their own."""

from __future__ import annotations

import numpy as np
import torch

from algos.frontend.emit import Product
from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout
from algos.frontend.lower import Lowering, on_map, per_channel

HALF = 64.0
"""The integer weight that stands for a gain of 1: accumulators keep six bits below a step of the input."""


def affine_layer(to: Lowering, node: Node, source: Value, gain: torch.Tensor, offset: torch.Tensor) -> None:
    """result = gain * source + offset, both constant: one kernel of 1x1 a channel, or one an element."""
    layout = to.held[source].layout
    channel = [per_channel(part, node.out, layout) for part in (gain, offset)]
    if source.extent != node.out.extent:
        from algos.frontend.operator import Missing

        raise Missing("a constant makes the tensor larger", "repeat it beforehand")
    if channel[0] is None or channel[1] is None:
        flat = Layout(layout.order)
        channel = [on_map(part, node.out, flat)[:, 0, 0] for part in (gain, offset)]
        to.read(source, flat)
        layout = flat
    gains, offsets = channel
    assert gains is not None
    assert offsets is not None
    made = Product(node, None, torch.from_numpy(np.asarray(gains))[:, None, None, None], layout, layout)
    made.groups = len(gains)
    made.offset = offsets
    made.lower(to, source)
