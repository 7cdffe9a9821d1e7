"""A spiking network, layer by layer, and what it takes: steps, spikes, additions, updates of neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from algos.spikes.convert import SpikingLayer, SpikingNetwork, Synapses
from algos.spikes.neuron import Neuron, encoded, fire
from sim.digit_serial.convert import LEAST, input_one
from sim.errors import InputError

_USUAL = Neuron()


@dataclass(frozen=True)
class Activity:
    """Of one layer, for all images.

    Attributes:
        neurons: of one image.
        spikes: digits that are not 0.
        additions: of a weight each; the paper's synaptic operations, edges counted as they are.
        updates: of a neuron's charge in a step; the paper does not count them.
    """

    name: str
    neurons: int
    spikes: int
    additions: int
    updates: int


@dataclass(frozen=True)
class Spiked:
    """What a spiking network says.

    Attributes:
        outputs: charge of the last layer at the weight of its last step, float64 [batch, classes].
        digits: int8 [T, batch, C, H, W] by layer, where they were asked for; `input` among them.
        latency: steps from the first digit of the input to the last output: T + L Tc, L layers of neurons on the
            longest way.
    """

    outputs: Tensor
    activities: tuple[Activity, ...]
    digits: dict[str, Tensor]
    latency: int


def run(
    net: SpikingNetwork, images: np.ndarray, *, steps: int = 8, neuron: Neuron = _USUAL, keep: bool = False
) -> Spiked:
    """Runs int8 images [batch, C, H, W]; layer by layer, which changes no digit, since a layer reads in order.

    Args:
        steps: T, digits of a value.
        keep: the digits of all layers.

    Raises:
        InputError: too few steps, or images of another shape.
    """
    if not 1 <= steps <= 24:
        raise InputError("steps", steps, "a value has 1 to 24 digits", "use 8")
    if images.shape[1:] != tuple(net.source.input.shape) or images.dtype != np.int8:
        wanted = list(net.source.input.shape)
        raise InputError(
            "images", [*images.shape, str(images.dtype)], f"the network takes int8 {wanted}", "quantize them"
        )
    zero = net.source.input.zero_point
    values = torch.from_numpy(images.astype(np.int64) - zero) / input_one(zero)
    digits = {"input": encoded(values, steps, signed=zero != LEAST)}
    depth = {"input": 0}
    readers = {layer.name: [s.source for s in layer.synapses] for layer in net.layers}
    activities, outputs = [], torch.empty(0)
    for layer in net.layers:
        depth[layer.name] = max(depth[source] for source in readers[layer.name]) + (
            layer.threshold is not None
        )
        currents = _currents(layer, digits)
        if layer.threshold is None:
            weights = torch.pow(2.0, -torch.arange(1, steps + 1, dtype=torch.float64))
            outputs = torch.tensordot(weights, currents.to(torch.float64), dims=1).flatten(1)
            made = None
        else:
            made, _ = fire(currents, layer.threshold.reshape(-1, 1, 1), neuron, signed=layer.signed)
            digits[layer.name] = made
        activities.append(_activity(layer, digits, currents, made, steps + neuron.silent))
        if not keep:
            _forget(digits, layer.name, readers)
    latency = steps + max(depth.values()) * neuron.silent
    return Spiked(outputs, tuple(activities), digits if keep else {}, latency)


def _currents(layer: SpikingLayer, digits: dict[str, Tensor]) -> Tensor:
    parts = (synapses.current(_read(layer, digits[synapses.source])) for synapses in layer.synapses)
    currents = sum(parts, torch.zeros((), dtype=torch.int32))
    currents[0] += layer.bias.reshape(-1, 1, 1)
    return currents


def _read(layer: SpikingLayer, digits: Tensor) -> Tensor:
    return digits.sum((3, 4), keepdim=True, dtype=torch.int64) if layer.pooled else digits


def _activity(
    layer: SpikingLayer, digits: dict[str, Tensor], currents: Tensor, made: Tensor | None, updates: int
) -> Activity:
    additions = 0
    for synapses in layer.synapses:
        spikes = digits[synapses.source].count_nonzero((0, 1)) if not layer.pooled else None
        if spikes is None:
            additions += int(digits[synapses.source].count_nonzero()) * len(synapses.weights)
        else:
            additions += int((spikes * _reach(synapses, spikes.shape[1:])).sum())
    neurons, images = currents[0, 0].numel(), currents.shape[1]
    said = 0 if made is None else int(made.count_nonzero())
    return Activity(layer.name, neurons, said, additions, neurons * images * updates)


def _reach(synapses: Synapses, size: torch.Size) -> Tensor:
    """How many weights a spike of each place meets, int64 [H, W]."""
    outputs = len(synapses.weights) // synapses.groups
    height, width = synapses.weights.shape[2:]
    ones = torch.ones(1, 1, height, width, dtype=torch.float64)
    place = torch.zeros(1, 1, *size, dtype=torch.float64, requires_grad=True)
    seen = F.conv2d(place, ones, None, synapses.stride, synapses.padding, synapses.dilation)
    (reached,) = torch.autograd.grad(seen.sum(), place)
    return (outputs * reached[0, 0]).to(torch.int64)


def _forget(digits: dict[str, Tensor], done: str, readers: dict[str, list[str]]) -> None:
    """Digits that no later layer reads go."""
    names = list(readers)
    still = {source for name in names[names.index(done) + 1 :] for source in readers[name]}
    for name in [name for name in digits if name not in still and name != done]:
        del digits[name]


def accuracy(
    net: SpikingNetwork, batches: Iterator[tuple[np.ndarray, np.ndarray]], steps: int, neuron: Neuron
) -> float:
    """Share of images whose largest output is their class."""
    right = seen = 0
    for images, labels in batches:
        said = run(net, images, steps=steps, neuron=neuron).outputs.argmax(1).numpy()
        right += int((said == labels).sum())
        seen += len(labels)
    return right / seen
