"""Constants that no convolution takes in: a depth-wise layer of their own, or a tensor of the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from algos.frontend.calibrate import Activation, Histogram
from algos.frontend.emit import Product
from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout, strides
from algos.frontend.lower import Held, Lowering, on_map, per_channel, ratio, ratios
from algos.frontend.movement import gathered, positions
from algos.frontend.operator import Missing
from sim.network import Add, Constant, Multiply


def affine_layer(to: Lowering, node: Node, source: Value, gain: torch.Tensor, offset: torch.Tensor) -> None:
    """result = gain * source + offset, both constant: one kernel of 1x1 a channel, or operands of the vector unit.

    Raises:
        Missing: both differ within channels.
    """
    held = expanded(to, source, node.out)
    layout = held.layout
    gains, offsets = (per_channel(part, node.out, layout) for part in (gain, offset))
    if gains is not None and offsets is not None:
        made = Product(node, None, torch.from_numpy(gains)[:, None, None, None], layout, layout)
        made.groups, made.offset = len(gains), offsets
        if source.extent == node.out.extent:
            made.lower(to, source)
            return
        to.held[node.out] = held  # what the layer reads; its own result may be a later value
        made.lower(to, node.out)
        if to.held[node.out] is held:
            del to.held[node.out]
        return
    if gain.numel() > 1 and bool((offset != 0).any()):
        raise Missing("a gain and an offset that differ within channels", "apply them one after the other")
    tail = to.tail(node.out, layout)
    out, name = to.emitted(tail), to.name(node.name)
    if gain.numel() > 1:
        factor = stored(to, on_map(gain, node.out, layout), name)
        m, s = ratio(held.scale * factor.scale / out.scale)
        to.add(Multiply(name, (held.tensor, factor.tensor), m, s, out.zero_point, out.low, out.high))
    else:
        held = to.turned(held, float(gain) < 0)
        summand = stored(to, on_map(offset, node.out, layout), name)
        (one, two), s = ratios([held.scale * abs(float(gain)) / out.scale, summand.scale / out.scale])
        to.add(Add(name, (held.tensor, summand.tensor), (one, two), s, out.zero_point, out.low, out.high))
    to.settle(tail, name, out)


def stored(to: Lowering, real: np.ndarray, name: str) -> Held:
    """A constant of the file, float64 [C, H, W]; along an axis on which it does not change it has size 1."""
    for axis in range(3):
        first = real.take([0], axis)
        real = first if np.array_equal(np.broadcast_to(first, real.shape), real) else real
    seen = Histogram()
    seen.add(torch.from_numpy(real))
    a = replace(to.scheme.activation(seen), low=-128, high=127)
    values = np.clip(np.rint(real / a.scale) + a.zero_point, -128, 127).astype(np.int8)
    name = to.name(f"{name}.constant")
    to.add(Constant(name, values, a.zero_point))
    return Held(name, a, Layout(()))


def operand(to: Lowering, value: Value, layout: Layout) -> Held:
    """A value in a layout; a constant becomes a tensor of the file."""
    if not value.constant:
        return to.read(value, layout)
    real = value.data.detach().double().reshape(-1).numpy()[layout.index()]
    seen = Histogram()
    seen.add(torch.from_numpy(real))
    a: Activation = to.scheme.activation(seen)
    values = np.clip(np.rint(real / a.scale) + a.zero_point, -128, 127).astype(np.int8)
    name = to.name(value.origin or value.name.replace("/", "."))
    to.add(Constant(name, values, a.zero_point))
    return Held(name, a, layout)


def expanded(to: Lowering, value: Value, out: Value) -> Held:
    """A value as large as another one that it broadcasts to."""
    held = to.held[value]
    if value.extent == out.extent:
        return held
    numbers = torch.arange(value.elements).reshape(value.extent).expand(out.extent)
    places = positions(held.layout)[numbers.reshape(-1).numpy()]
    rows = tuple((stride, size) for stride, size in zip(strides(out.extent), out.extent, strict=True))
    return gathered(to, held, places, Layout(rows[-1:], rows[:-1]), f"{held.tensor}.repeated")
