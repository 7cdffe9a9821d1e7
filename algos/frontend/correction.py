"""Biases that make up for what rounding shifts on average (Nagel et al. 2019, Data-Free Quantization, sec. 4.2,
by data: the mean of each channel before its activation becomes the float network's)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from algos.frontend.graph import Value
from algos.frontend.layout import Layout
from sim.network import Conv, Layer, Network, convolve, run_layer

LEAST = 1000
"""Sums a channel from which on their mean is corrected: that of few would be fitted to them."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What the sums of a convolution are.

    Attributes:
        value: of the float network, before the activation.
        layout: where it lies.
        step: float64 [K], real value of the integer 1.
    """

    value: Value
    layout: Layout
    step: np.ndarray


def corrected(
    network: Network, images: np.ndarray, floats: Mapping[Value, torch.Tensor], sums: Mapping[str, Sums]
) -> Network:
    """The network with other biases; layer by layer, each behind the corrected ones before it.

    Args:
        images: real, [n, C, H, W].
        floats: [n, ...] of each value.
        sums: of layers by name.
    """
    tensors = {"input": network.input.quantize(images)}
    layers: list[Layer] = []
    for layer in network.layers:
        if isinstance(layer, Conv) and layer.name in sums:
            layer = _corrected(layer, tensors[layer.input], network.zero_point(layer.input), floats, sums)
        tensors[layer.name] = run_layer(network, layer, tensors)
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def _corrected(
    layer: Conv,
    ifmap: np.ndarray,
    zero_point: int,
    floats: Mapping[Value, torch.Tensor],
    sums: Mapping[str, Sums],
) -> Conv:
    of = sums[layer.name]
    acc = convolve(ifmap, layer, zero_point)
    if acc[:, 0].size < LEAST:
        return layer
    whole = floats[of.value].double().numpy().reshape(len(ifmap), -1)
    wanted = whole[:, of.layout.index()].mean((0, 2, 3)) / of.step
    found = acc.mean((0, 2, 3)) + layer.bias
    bias = layer.bias + np.rint(np.clip(wanted - found, -(2**30), 2**30))
    return replace(layer, bias=np.clip(bias, -(2**31 - 1), 2**31 - 1).astype(np.int32))
