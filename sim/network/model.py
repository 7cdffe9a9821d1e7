"""The functional model: every tensor of a network, layer by layer, as the kinds of `layers` define it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sim.network.graph import Network
from sim.network.layers import Layer, Operand


def run(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """Functional model: every tensor of the network for a batch of images.

    Args:
        images: int8 [batch, C, H, W], quantized as `network.input` says.

    Returns:
        int8 [batch, C, H, W] by layer name; int32 where a layer has no requantization.
    """
    tensors = {"input": images}
    for layer in network.layers:
        found = run_layer(network, layer, tensors)
        tensors[layer.name] = found if layer.inputs else found.repeat(len(images), 0)
    return tensors


def run_layer(network: Network, layer: Layer, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """One layer of the functional model, from the tensors it reads."""
    return layer.compute(*(Operand(tensors[name], network.zero_point(name)) for name in layer.inputs))
