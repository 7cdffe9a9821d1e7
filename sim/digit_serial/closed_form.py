"""Cycles and accesses of a layer by formulas, from its weights' shapes; shares no code with lowering and engine.

Whether a block of weights needs a high part is the only thing that it asks of their values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.convert import SpikingLayer, SpikingNetwork, Synapses
from sim.digit_serial.header import STREAM_BITS, WORDS
from sim.results import LayerCounts
from sim.shapes import Axis

CAUSES = ("compute", "currents", "neurons", "load", "input", "drain")
ACCESSES = ("mac", "tap", "neuron", "l1", "store", "wrf", "l2", "dram")
DRAIN = 7
"""Cycles from the last operation to the end beside those of words and of L2 (docs/spikes.md 3)."""
EXPECTED = ("mac", "tap", "neuron")
"""What depends on digits: additions as `density` expects them, the others as if no word of digits were all zero."""


class _Group(NamedTuple):
    """S outputs of a layer.

    Attributes:
        taps: by WRF entry.
        reads: words of digits that all positions read in a step, what lies in the padding left out.
    """

    outputs: int
    taps: list[int]
    reads: int


def counts(net: SpikingNetwork, acc: DigitSerial) -> tuple[LayerCounts, ...]:
    """Of every layer, in execution order; `mac` as `density` expects it."""
    found = [_layer(layer, net, acc) for layer in net.layers]
    channels, height, width = net.source.input.shape
    words = acc.steps * height * width * -(-channels // acc.lanes)
    stream = WORDS + words * -(-2 * acc.lanes // STREAM_BITS)
    first, output = found[0], 4 * len(net.layers[-1].bias)
    first.cycles["input"] = stream
    first.accesses["l1"] += words * acc.lanes // 4
    first.accesses["l2"] += 2 * 8 * stream
    first.accesses["dram"] += 8 * stream
    found[-1].accesses["dram"] += output
    words = acc.lanes * (4 if acc.charge_bits <= 32 else 8) // 8
    found[-1].cycles["drain"] = DRAIN + words + acc.l2_latency
    return tuple(found)


def _layer(layer: SpikingLayer, net: SpikingNetwork, acc: DigitSerial) -> LayerCounts:
    lanes, steps = acc.lanes, acc.steps
    _, height, width = net.source.maps[layer.name]
    speaks = layer.threshold is not None
    places = height * width if speaks else 1
    cycles, accesses = dict.fromkeys(CAUSES, 0), dict.fromkeys(ACCESSES, 0)
    outputs = len(layer.bias)
    for first in range(0, outputs, lanes):
        group = _group(layer, net, acc, first, min(lanes, outputs - first))
        parts = _parts(group.taps, acc)
        tiles = 1 if len(parts) == 1 else -(-places // (acc.store_words // steps))
        entries, taps = sum(entries for entries, _ in parts), sum(taps for _, taps in parts)
        stored = 2 * steps * places * (len(parts) - 1)
        load = len(parts) * (WORDS + lanes) + taps + entries * lanes * -(-lanes // 8)
        cycles["compute"] += steps * places * taps
        cycles["currents"] += stored
        cycles["neurons"] += steps * places if speaks else 1
        cycles["load"] += tiles * load
        digits = steps * (group.reads + (places if speaks else 0))
        accesses["mac"] += round(acc.density * steps * group.reads * lanes * group.outputs)
        accesses["tap"] += lanes * lanes * steps * group.reads
        accesses["neuron"] += lanes * (steps * places * taps + stored // 2 + steps * places * speaks)
        accesses["l1"] += digits * lanes // 4
        accesses["store"] += 4 * lanes * stored
        accesses["wrf"] += tiles * entries * lanes * lanes
        accesses["l2"] += 8 * load * (1 + tiles)
        accesses["dram"] += 8 * load
    return LayerCounts(layer.name, _macs(layer, places, net), cycles, accesses)


def _macs(layer: SpikingLayer, places: int, net: SpikingNetwork) -> int:
    """Dense-equivalent: of the convolutions that the network of integers has."""
    convs = {shape.name: shape.macs for shape in net.source.shapes}
    own = 0
    for one in layer.synapses:
        if one.groups == 1 or one.weights[0, 0].size > 1:
            own += one.weights.size * places
    return convs.get(layer.name, own) if len(layer.synapses) == 1 else own


def _group(layer: SpikingLayer, net: SpikingNetwork, acc: DigitSerial, first: int, outputs: int) -> _Group:
    taps: list[int] = []
    reads = 0
    for one in layer.synapses:
        channels, *size = net.source.maps[one.source]
        for block in range(0, channels, acc.lanes):
            own = _met(one, first, outputs, block, min(acc.lanes, channels - block))
            if own is None:
                continue
            if layer.pooled:
                halves = _halves(own)
                taps += [size[0] * size[1]] * halves
                reads += halves * size[0] * size[1]
                continue
            for ky, kx in np.ndindex(own.shape[2:]):
                halves = _halves(own[:, :, ky, kx])
                taps += [1] * halves
                reads += halves * _inside(one, size, 0, ky) * _inside(one, size, 1, kx)
    return _Group(outputs, taps, reads)


def _met(one: Synapses, first: int, outputs: int, block: int, channels: int) -> np.ndarray | None:
    """Weights of some outputs that meet a block of channels; a grouped layer's are those of the groups in it."""
    if one.groups == 1:
        return one.weights[first : first + outputs, block : block + channels]
    each, own = len(one.weights) // one.groups, one.weights.shape[1]
    k = np.arange(first, first + outputs)
    inputs = k[:, None] // each * own + np.arange(own)
    inside = (inputs >= block) & (inputs < block + channels)
    if not inside.any():
        return None
    return np.where(inside[:, :, None, None], one.weights[first : first + outputs], 0)


def _halves(weights: np.ndarray) -> int:
    """WRF entries of a block of weights: one, or a low and a high one; multiples of 128 have no low one."""
    if weights.min() >= -128 and weights.max() <= 127:
        return 1
    return 1 + bool((weights % 128).any())


def _inside(one: Synapses, size: list[int], axis: int, at: int) -> int:
    """Positions along an axis whose tap at `at` of the kernel lies in the map."""
    reach = (one.weights.shape[2 + axis] - 1) * one.dilation[axis] + 1
    count = (size[axis] + 2 * one.padding[axis] - reach) // one.stride[axis] + 1
    shifted = Axis(size[axis], 1, one.stride[axis], one.padding[axis] - at * one.dilation[axis])
    return sum(len(shifted.read(n, 1)) for n in range(count))


def _parts(taps: list[int], acc: DigitSerial) -> list[tuple[int, int]]:
    """Entries and taps of each part: as many as WRF and table hold; an entry with many taps goes on in the next one."""
    found = [[0, 0]]
    for many in taps:
        left = many
        while left:
            if found[-1][0] == acc.wrf_depth or found[-1][1] == acc.tap_depth:
                found.append([0, 0])
            now = min(left, acc.tap_depth - found[-1][1])
            found[-1][0] += 1
            found[-1][1] += now
            left -= now
    return [(entries, many) for entries, many in found]
