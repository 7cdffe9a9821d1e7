"""A network of integers becomes one of weighted spikes; nothing is trained.

An INT8 activation q stands for x = q / 128; a requantization by the factor m makes theta = 1 / m the threshold of its
neuron, since x_out = m * sum w x_in. Without a ReLU the neuron is signed: its first digit may be -1. An addition joins
its branches' currents: the branch that is no convolution itself becomes one more weight. Thresholds and these weights
are rounded to integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.errors import InputError
from sim.network import Add, AveragePool, Conv, Network
from sim.network.layers import Layer

ONE = 128
"""INT8 steps of the value 1."""


LEAST = -128
"""Of INT8: where what has no ReLU is clipped."""


def input_one(zero_point: int) -> int:
    """INT8 steps of the value 1 of an input; what lies around its middle needs half of them."""
    return 2 * ONE if zero_point else ONE


@dataclass(frozen=True, eq=False)
class Synapses:
    """Weights from one layer's neurons to another's.

    Attributes:
        source: name of the layer that speaks, or `input`.
        weights: int64 [outputs, inputs / groups, height, width].
    """

    source: str
    weights: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class SpikingLayer:
    """Neurons with a threshold, or the last layer, whose charge is read.

    Attributes:
        bias: int64 [outputs], twice what is added to V at the first step, as its weight is 1/2.
        threshold: theta, int64 [outputs]; None for the layer that is read.
        pooled: spikes of all positions of a channel count together.
        signed: -1 may be said before any 1.
    """

    name: str
    synapses: tuple[Synapses, ...]
    bias: np.ndarray
    threshold: np.ndarray | None
    pooled: bool = False
    signed: bool = False


@dataclass(frozen=True, eq=False)
class SpikingNetwork:
    """Layers in execution order; `source` is the network of integers that it was converted from."""

    name: str
    layers: tuple[SpikingLayer, ...]
    source: Network


def convert(net: Network) -> SpikingNetwork:
    """Spiking layers of a network of convolutions, additions, an average pool and a classifier.

    Raises:
        InputError: a layer that has no spikes.
    """
    return _Conversion(net).made()


class _Conversion:
    """A network under way.

    Attributes:
        one: by layer that speaks, INT8 steps of the value 1.
        joined: convolutions without a ReLU that an addition alone reads, and which it takes in.
        readers: by layer, those that read it.
        pooled: by average pool, the layer that it reads and its factor.
    """

    def __init__(self, net: Network) -> None:
        self.net = net
        self.one: dict[str, int] = {"input": input_one(net.input.zero_point)}
        self.joined: dict[str, Conv] = {}
        self.readers = {
            one.name: [other for other in net.layers if one.name in other.inputs] for one in net.layers
        }
        self.pooled: dict[str, tuple[str, float]] = {}
        self.layers: list[SpikingLayer] = []

    def made(self) -> SpikingNetwork:
        for layer in self.net.layers:
            self._take(layer)
        return SpikingNetwork(self.net.name, tuple(self.layers), self.net)

    def _take(self, layer: Layer) -> None:
        if isinstance(layer, Conv):
            self._convolution(layer)
        elif isinstance(layer, Add) and layer.zero_point == 0 and layer.low in (0, LEAST):
            self._addition(layer)
        elif isinstance(layer, AveragePool) and layer.zero_point == 0 and layer.input in self.one:
            self.pooled[layer.name] = (layer.input, layer.multiplier / 2**layer.shift)
        else:
            raise InputError(f"layers.{layer.name}", layer.kind, "has no spikes", _CAN)

    def _convolution(self, layer: Conv) -> None:
        after = layer.requantization
        if after is None:
            self._classifier(layer)
        elif after.table is None and after.low < 0 and self._only_added(layer.name):
            self.joined[layer.name] = layer
        elif after.table is None and after.zero_point == 0 and after.low in (0, LEAST):
            self._require_neurons(layer.input)
            scale = self.one[layer.input] / ONE * _factor(layer)
            self._add(layer.name, [self._synapses(layer)], self._bias(layer), 1 / scale, after.low < 0)
        else:
            raise InputError(f"layers.{layer.name}", "conv", "has neither a ReLU nor its whole range", _CAN)

    def _only_added(self, name: str) -> bool:
        return [type(reader) for reader in self.readers[name]] == [Add]

    def _classifier(self, layer: Conv) -> None:
        source, factor = self.pooled.get(layer.input, (layer.input, 1.0))
        weights = layer.weight.decode().astype(np.int64)
        synapses = replace(_window(layer), source=source, weights=weights)
        bias = 2 * layer.bias / (self.one[source] * factor)
        self.layers.append(
            SpikingLayer(layer.name, (synapses,), _whole(bias), None, layer.input in self.pooled)
        )

    def _addition(self, layer: Add) -> None:
        """Joins the currents in the units of the first operand: of a convolution those of its weights."""
        shares = [multiplier / 2**layer.shift for multiplier in layer.multipliers]
        convs = [self.joined.pop(name, None) for name in layer.inputs]
        for name in (conv.input for conv in convs if conv is not None):
            self._require_neurons(name)
        scales = [
            share if conv is None else share * self.one[conv.input] / ONE * _factor(conv)
            for share, conv in zip(shares, convs, strict=True)
        ]
        unit = next(
            (scale for scale, conv in zip(scales, convs, strict=True) if conv is not None), scales[0] / ONE
        )
        synapses, bias = [], np.zeros(1)
        for name, conv, scale in zip(layer.inputs, convs, scales, strict=True):
            ratio = scale / unit * np.ones_like(unit)
            if conv is None:
                synapses.append(self._alone(name, ratio))
            else:
                own = self._synapses(conv)
                scaled = own.weights * ratio.reshape(-1, 1, 1, 1)
                synapses.append(replace(own, weights=_whole(scaled)))
                bias = bias + self._bias(conv) * ratio
        self._add(layer.name, synapses, bias, 1 / unit, layer.low < 0)

    def _alone(self, name: str, ratio: np.ndarray) -> Synapses:
        """One weight from each neuron to that of the same place."""
        self._require_neurons(name)
        channels = self._channels(name)
        weights = _whole(np.broadcast_to(ratio, (channels,))).reshape(-1, 1, 1, 1)
        return Synapses(name, weights, groups=channels)

    def _require_neurons(self, name: str) -> None:
        if name not in self.one:
            raise InputError(f"layers.{name}", "operand", "is read and has no neurons", _CAN)

    def _channels(self, name: str) -> int:
        if name == "input":
            return int(self.net.input.shape[0])
        return len(next(one for one in self.layers if one.name == name).threshold)  # type: ignore[arg-type]

    def _synapses(self, layer: Conv) -> Synapses:
        self._require_neurons(layer.input)
        weights = layer.weight.decode().astype(np.int64)
        return replace(_window(layer), source=layer.input, weights=weights)

    def _bias(self, layer: Conv) -> np.ndarray:
        """Of V at the first step, in units of the weights; without the fold of the input's zero point."""
        zero = self.net.input.zero_point if layer.input == "input" else 0
        own = layer.bias + zero * layer.weight.decode().astype(np.int64).sum((1, 2, 3))
        return 2 * own / self.one[layer.input]

    def _add(
        self, name: str, synapses: list[Synapses], bias: np.ndarray, threshold: np.ndarray, signed: bool
    ) -> None:
        whole = _whole(np.broadcast_to(threshold, np.broadcast_shapes(threshold.shape, bias.shape)))
        self.layers.append(
            SpikingLayer(name, tuple(synapses), _whole(bias), np.maximum(whole, 1), signed=signed)
        )
        self.one[name] = ONE


_CAN = "convert convolutions and additions with a ReLU or nothing, a global average pool and a classifier"


def _factor(layer: Conv) -> np.ndarray:
    """Of the requantization, float64 [outputs]."""
    after = layer.requantization
    assert after is not None
    return after.multiplier.astype(np.float64) / np.exp2(after.shift.astype(np.float64))


def _window(layer: Conv) -> Synapses:
    none = np.empty(0)
    return Synapses("", none, layer.stride, layer.padding, layer.dilation, layer.groups)


def _whole(values: np.ndarray) -> np.ndarray:
    return np.round(values).astype(np.int64)
