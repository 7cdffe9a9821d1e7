"""A network of spikes in PyTorch; `sim.digit_serial.convert` says how it follows from integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sim.digit_serial import convert as integers
from sim.network import Network


@dataclass(frozen=True)
class Synapses:
    """Weights from one layer's neurons to another's.

    Attributes:
        source: name of the layer that speaks, or `input`.
        weights: integers [outputs, inputs / groups, height, width].
    """

    source: str
    weights: Tensor
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def current(self, digits: Tensor) -> Tensor:
        """I of every step, int32 where |I| < 2^28, else int64; digits int8, or sums of some, [T, batch, C, H, W].

        A sum whose terms add up to less than 2^24 is exact in float32; larger ones are computed in float64.
        """
        steps, batch = digits.shape[:2]
        most = self.most * (1 if digits.dtype == torch.int8 else int(digits.abs().amax()))
        dtype = torch.float32 if most < 2**24 else torch.float64
        flat = digits.flatten(0, 1).to(dtype)
        found = F.conv2d(
            flat, self.weights.to(dtype), None, self.stride, self.padding, self.dilation, self.groups
        )
        whole = torch.int32 if most < 2**28 else torch.int64
        return found.reshape(steps, batch, *found.shape[1:]).to(whole)

    @property
    def most(self) -> int:
        """Most that |I| of a step can be."""
        return int(self.weights.abs().sum((1, 2, 3)).max())

    @property
    def fan_out(self) -> float:
        """Additions that a spike causes, without the edges."""
        outputs, _, height, width = self.weights.shape
        return outputs / self.groups * height * width / (self.stride[0] * self.stride[1])


@dataclass(frozen=True)
class SpikingLayer:
    """Neurons with a threshold, or the last layer, whose charge is read.

    Attributes:
        bias: integers [outputs], twice what is added to V at the first step, as its weight is 1/2.
        threshold: theta, integers [outputs]; None for the layer that is read.
        pooled: spikes of all positions of a channel count together.
        signed: -1 may be said before any 1.
    """

    name: str
    synapses: tuple[Synapses, ...]
    bias: Tensor
    threshold: Tensor | None
    pooled: bool = False
    signed: bool = False


@dataclass(frozen=True)
class SpikingNetwork:
    """Layers in execution order; `input` holds the shape, scale and zero point of the integers it came from."""

    name: str
    layers: tuple[SpikingLayer, ...]
    source: Network


def convert(net: Network) -> SpikingNetwork:
    """Spiking layers of a network of convolutions, additions, an average pool and a classifier.

    Raises:
        InputError: a layer that has no spikes.
    """
    found = integers.convert(net)
    return SpikingNetwork(found.name, tuple(_layer(layer) for layer in found.layers), net)


def _layer(layer: integers.SpikingLayer) -> SpikingLayer:
    synapses = tuple(
        Synapses(one.source, _tensor(one.weights), one.stride, one.padding, one.dilation, one.groups)
        for one in layer.synapses
    )
    threshold = None if layer.threshold is None else _tensor(layer.threshold)
    return SpikingLayer(layer.name, synapses, _tensor(layer.bias), threshold, layer.pooled, layer.signed)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values)
