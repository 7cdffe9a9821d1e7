"""Other codings on the same network, to compare with: rate, phase and time to first spike.

- rate: a neuron adds its currents, fires at theta and takes theta away (Rueckauer et al., Front. Neurosci. 2017);
  value = spikes / T.
- phase: spikes of step k weigh 2^-(1 + k mod 8), currents and threshold alike (Kim et al., Neurocomputing 2018);
  T counts whole periods of 8.
- first: a layer waits for all of the one before it and then fires once, the earlier the larger the value, in T levels
  (the linear kernel of time-to-first-spike coding); latency T a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algos.spikes.convert import SpikingLayer, SpikingNetwork, Synapses
from sim.digit_serial.convert import LEAST
from sim.errors import InputError, nearest

PERIOD = 8
"""Steps of a phase (Kim et al. 2018)."""


@dataclass(frozen=True)
class Compared:
    """What a network says in some coding.

    Attributes:
        outputs: float64 [batch, classes].
        spikes: of all images.
        neurons: of one image.
        latency: steps until the last layer has heard all.
    """

    outputs: Tensor
    spikes: int
    neurons: int
    latency: int


def rate(currents: Tensor, layer: SpikingLayer) -> Tensor:
    """Spikes of neurons that get these currents, int8 [T, ...]; all doubled, since the bias counts halves."""
    threshold = 2 * _threshold(layer)
    charge, spikes = torch.zeros_like(currents[0]), torch.zeros(currents.shape, dtype=torch.int8)
    for t, current in enumerate(currents):
        charge += 2 * current + layer.bias.reshape(-1, 1, 1)
        spikes[t] = charge >= threshold
        charge -= threshold * spikes[t]
    return spikes


def phase(currents: Tensor, layer: SpikingLayer) -> Tensor:
    """Likewise with the weights of the phase; the bias counts once a period, at its first step."""
    threshold = 2 * _threshold(layer)
    charge, spikes = torch.zeros_like(currents[0]), torch.zeros(currents.shape, dtype=torch.int8)
    for t, current in enumerate(currents):
        weight = 1 << (PERIOD - 1 - t % PERIOD)  # of 2^PERIOD
        charge += 2 * weight * current
        if t % PERIOD == 0:
            charge += layer.bias.reshape(-1, 1, 1) << PERIOD
        spikes[t] = charge >= weight * threshold
        charge -= weight * threshold * spikes[t]
    return spikes


def _threshold(layer: SpikingLayer) -> Tensor:
    assert layer.threshold is not None
    return layer.threshold.reshape(-1, 1, 1)


def run_rate(net: SpikingNetwork, values: Tensor, steps: int) -> Compared:
    """values: float64 [batch, C, H, W] in [0, 1]."""
    times = torch.arange(steps + 1, dtype=torch.float64).reshape(-1, 1, 1, 1, 1)
    heard = torch.floor(values * times + 0.5)
    spikes = (heard[1:] - heard[:-1]).to(torch.int8)
    return _synchronous(
        net, spikes, rate, lambda found, layer: found.to(torch.float64).mean(0) + _bias(layer)
    )


def run_phase(net: SpikingNetwork, values: Tensor, steps: int) -> Compared:
    if steps % PERIOD:
        raise InputError("steps", steps, f"is no whole number of periods of {PERIOD}", f"use {PERIOD}")
    whole = torch.round(values * 2**PERIOD).clamp(max=2**PERIOD - 1).to(torch.int64)
    bits = torch.stack([(whole >> (PERIOD - 1 - k)) & 1 for k in range(PERIOD)]).to(torch.int8)
    weights = torch.pow(2.0, -(1.0 + torch.arange(steps) % PERIOD)).to(torch.float64) * PERIOD / steps

    def read(found: Tensor, layer: SpikingLayer) -> Tensor:
        return torch.tensordot(weights, found.to(torch.float64), dims=1) + _bias(layer)

    return _synchronous(net, bits.repeat(steps // PERIOD, 1, 1, 1, 1), phase, read)


def run_first(net: SpikingNetwork, values: Tensor, steps: int) -> Compared:
    said = {"input": torch.round(values * steps) / steps}
    spikes, neurons, layers, outputs = 0, 0, 0, torch.empty(0)
    for layer in net.layers:
        parts = (_linear(synapses, _pooled(layer, said[synapses.source])) for synapses in layer.synapses)
        charge = sum(parts, torch.zeros((), dtype=torch.float64)) + _bias(layer)
        if layer.threshold is None:
            outputs = charge.flatten(1)
            continue
        levels = torch.round(charge / _threshold(layer) * steps).clamp(0, steps)
        said[layer.name] = levels / steps
        spikes, neurons, layers = (
            spikes + int(levels.count_nonzero()),
            neurons + levels[0].numel(),
            layers + 1,
        )
    return Compared(outputs, spikes, neurons, steps * (layers + 1))


CODINGS: dict[str, Callable[[SpikingNetwork, Tensor, int], Compared]] = {
    "rate": run_rate,
    "phase": run_phase,
    "first": run_first,
}


def run_coded(net: SpikingNetwork, images: np.ndarray, coding: str, steps: int) -> Compared:
    """Runs int8 images [batch, C, H, W] in another coding.

    Raises:
        InputError: no such coding, or steps that it does not take.
    """
    if coding not in CODINGS:
        raise InputError("coding", coding, "unknown", nearest(coding, CODINGS))
    if steps < 1:
        raise InputError("steps", steps, "must be at least 1", "use 8")
    _require_unsigned(net, coding)
    values = torch.from_numpy(images.astype(np.float64) - net.source.input.zero_point) / 256
    return CODINGS[coding](net, values, steps)


def _require_unsigned(net: SpikingNetwork, coding: str) -> None:
    signed = [layer.name for layer in net.layers if layer.signed]
    if net.source.input.zero_point != LEAST:
        signed.insert(0, "input")
    if signed:
        raise InputError("coding", coding, f"has no sign, and {signed[0]} says values below 0", "use sws")


def _synchronous(
    net: SpikingNetwork,
    spikes: Tensor,
    neurons: Callable[[Tensor, SpikingLayer], Tensor],
    read: Callable[[Tensor, SpikingLayer], Tensor],
) -> Compared:
    """Every layer hears what the one before it says in the same step."""
    said, count, size, outputs = {"input": spikes}, 0, 0, torch.empty(0)
    for layer in net.layers:
        parts = (synapses.current(_pooled(layer, said[synapses.source])) for synapses in layer.synapses)
        currents = sum(parts, torch.zeros((), dtype=torch.int64))
        if layer.threshold is None:
            outputs = read(currents, layer).flatten(1)
            continue
        said[layer.name] = neurons(currents, layer)
        count, size = count + int(said[layer.name].count_nonzero()), size + currents[0, 0].numel()
    return Compared(outputs, count, size, len(spikes))


def _pooled(layer: SpikingLayer, values: Tensor) -> Tensor:
    if not layer.pooled:
        return values
    return values.sum(
        (-2, -1), keepdim=True, dtype=torch.int64 if values.dtype == torch.int8 else values.dtype
    )


def _linear(synapses: Synapses, values: Tensor) -> Tensor:
    return torch.nn.functional.conv2d(
        values,
        synapses.weights.to(values.dtype),
        None,
        synapses.stride,
        synapses.padding,
        synapses.dilation,
        synapses.groups,
    )


def _bias(layer: SpikingLayer) -> Tensor:
    return layer.bias.reshape(-1, 1, 1).to(torch.float64) / 2
