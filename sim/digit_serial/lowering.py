"""From spiking layers to packets: what the sequencer walks, with the weights that it walks over.

The order is the contract of docs/spikes.md: for each group of S outputs, for each tile of positions, for each part of
the weights that fits the WRF, one packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.bounds import require_runs
from sim.digit_serial.convert import SpikingLayer, SpikingNetwork, Synapses
from sim.digit_serial.maps import Place, placed
from sim.errors import InputError

HIGH = 7
"""Bits by which sums of a high tap are shifted: a weight of more than 8 bits has a low and a high part."""


class Tap(NamedTuple):
    """A word of digits that a position reads, and the WRF entry that it meets.

    Attributes:
        source: 0 or 1, which map.
        dy, dx: from the position times the stride.
        block: of S channels.
        entry: in the WRF.
        high: its sums count 2^HIGH times.
    """

    source: int
    dy: int
    dx: int
    block: int
    entry: int
    high: int


@dataclass(frozen=True, eq=False)
class Source:
    """A map of digits that a packet reads."""

    place: Place
    stride: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Packet:
    """What the machine does between two loads of the WRF.

    Attributes:
        layer: name.
        group: which S of the outputs.
        first, count: positions in raster order.
        width: positions of a row.
        sources: one or two maps.
        target: map that the digits go to; None where charges are read.
        taps: in the order of the walk.
        weights: int8 [entries, S rows, S columns].
        begins: this is the first part of its outputs' weights; `ends`: the last one, after which neurons speak.
        bias: int64 [S], V before the first step, doubled; `threshold`: v = theta 2^Tc, int64 [S].
        outputs: of the S columns that are real.
        signed: neurons say -1 before any 1.
        again: the same weights came before, for another tile.
        closes: the last packet of its layer.
    """

    layer: str
    group: int
    first: int
    count: int
    width: int
    sources: tuple[Source, ...]
    target: Place | None
    taps: tuple[Tap, ...]
    weights: np.ndarray
    begins: bool
    ends: bool
    bias: np.ndarray
    threshold: np.ndarray
    outputs: int
    signed: bool
    again: bool
    closes: bool


@dataclass(frozen=True, eq=False)
class Program:
    """A network on a machine.

    Attributes:
        places: where the digits of each map lie in L1; a later map may lie where an earlier one was.
        packets: in order.
    """

    network: SpikingNetwork
    accelerator: DigitSerial
    places: dict[str, Place]
    packets: tuple[Packet, ...]


def lower(net: SpikingNetwork, acc: DigitSerial) -> Program:
    """Packets of a network.

    Raises:
        InputError: a charge that the accumulator may not hold, weights of more than 15 bits, or maps that L1 does not
            hold.
    """
    require_runs(net, acc)
    places = placed(net, acc)
    packets = [packet for layer in net.layers for packet in _layer(layer, places, acc)]
    return Program(net, acc, places, tuple(packets))


def _layer(layer: SpikingLayer, places: dict[str, Place], acc: DigitSerial) -> Iterator[Packet]:
    lanes, target = acc.lanes, places.get(layer.name)
    sources = tuple(Source(places[one.source], one.stride) for one in layer.synapses)
    outputs = len(layer.bias)
    height, width = (1, 1) if target is None else (target.height, target.width)
    for group in range(-(-outputs // lanes)):
        real = min(lanes, outputs - group * lanes)
        parts = _parts(list(_entries(layer, group, places, acc)), acc)
        tile = height * width if len(parts) == 1 else acc.store_words // acc.steps
        for first in range(0, height * width, tile):
            for part, (taps, weights) in enumerate(parts):
                yield Packet(
                    layer.name,
                    group,
                    first,
                    min(tile, height * width - first),
                    width,
                    sources,
                    target,
                    taps,
                    weights,
                    part == 0,
                    part == len(parts) - 1,
                    _lane_values(layer.bias, group, lanes, 0),
                    _lane_values(_full(layer, acc), group, lanes, 1),
                    real,
                    layer.signed,
                    first > 0,
                    closes=(group + 1) * lanes >= outputs
                    and first + tile >= height * width
                    and part == len(parts) - 1,
                )


def _full(layer: SpikingLayer, acc: DigitSerial) -> np.ndarray:
    """v of each output; of one that is read it is not used."""
    return np.ones_like(layer.bias) if layer.threshold is None else layer.threshold << acc.silent


def _lane_values(values: np.ndarray, group: int, lanes: int, beyond: int) -> np.ndarray:
    found = np.full(lanes, beyond, np.int64)
    own = np.broadcast_to(values, (len(values),))[group * lanes : (group + 1) * lanes]
    found[: len(own)] = own
    return found


def _entries(
    layer: SpikingLayer, group: int, places: dict[str, Place], acc: DigitSerial
) -> Iterator[tuple[np.ndarray, list[Tap]]]:
    """Weights [S, S] of each WRF entry, and its taps, whose `entry` is not known yet."""
    for source, synapses in enumerate(layer.synapses):
        place = places[synapses.source]
        for block in range(place.blocks):
            for ky, kx in np.ndindex(*synapses.weights.shape[2:]):
                dense = _dense(synapses, group, block, (ky, kx), acc.lanes)
                if dense is None:
                    continue
                dy, dx = (
                    at * step - pad
                    for at, step, pad in zip((ky, kx), synapses.dilation, synapses.padding, strict=True)
                )
                where = (
                    list(np.ndindex(place.height, place.width)) if layer.pooled else [(dy, dx)]
                )  # of a pool every position meets the same weights
                for high, weights in enumerate(_halves(dense, layer.name)):
                    if weights is not None:
                        yield weights, [Tap(source, int(y), int(x), block, 0, high) for y, x in where]


def _dense(synapses: Synapses, group: int, block: int, at: tuple[int, int], lanes: int) -> np.ndarray | None:
    """Weights [S inputs, S outputs] of a block of channels, zeros where groups keep them apart; None if all do."""
    outputs, own = synapses.weights.shape[:2]
    found = np.zeros((lanes, lanes), np.int64)
    columns = range(group * lanes, min(outputs, (group + 1) * lanes))
    met = False
    for k in columns:
        first = k // (outputs // synapses.groups) * own
        low, high = max(first, block * lanes), min(first + own, (block + 1) * lanes)
        if low < high:
            met = True
            taken = synapses.weights[k, low - first : high - first, at[0], at[1]]
            found[low - block * lanes : high - block * lanes, k - group * lanes] = taken
    return found if met else None


def _halves(dense: np.ndarray, layer: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Weights as they are, or a low part below 2^6 and a high one."""
    if dense.min() >= -128 and dense.max() <= 127:
        return dense.astype(np.int8), None
    high = (dense + (1 << (HIGH - 1))) >> HIGH
    low = dense - (high << HIGH)
    if high.min() < -128 or high.max() > 127:
        most = int(np.abs(dense).max())
        raise InputError(
            f"layers.{layer}.weights",
            most,
            "is more than 15 bits hold",
            "scale the branches of the addition alike",
        )
    return (low.astype(np.int8) if low.any() else None), high.astype(np.int8)


def _parts(
    entries: list[tuple[np.ndarray, list[Tap]]], acc: DigitSerial
) -> list[tuple[tuple[Tap, ...], np.ndarray]]:
    """Entries that WRF and table hold at once; the taps of an entry may go on in a new part."""
    parts: list[tuple[list[Tap], list[np.ndarray]]] = [([], [])]
    for weights, taps in entries:
        left = taps
        while left:
            room = acc.tap_depth - len(parts[-1][0])
            if len(parts[-1][1]) == acc.wrf_depth or room == 0:
                parts.append(([], []))
                continue
            now, left = left[:room], left[room:]
            parts[-1][0].extend(tap._replace(entry=len(parts[-1][1])) for tap in now)
            parts[-1][1].append(weights)
    return [(tuple(taps), np.stack(weights)) for taps, weights in parts]
