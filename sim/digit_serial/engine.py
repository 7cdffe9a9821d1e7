"""The machine cycle by cycle: L1, WRF, table of taps, store of currents, charges, all as they are in the Verilog.

A cycle is one operation of the sequencer, or one word of the stream. What it changes is there `PIPELINE` cycles later,
sooner than the next packet could read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.header import STREAM_BITS, WORDS
from sim.digit_serial.lowering import HIGH, Packet, Program, Source
from sim.digit_serial.maps import Place

_compiled: Any = njit(cache=True)

PIPELINE = 4
"""Cycles from an operation to what it does to the neurons, as in the Verilog."""
CAUSES = ("compute", "currents", "neurons", "load", "input", "drain")
"""Of a cycle: a tap; a row of currents read or written; neurons that say a digit or give their charge; the packets; the
input; charges on their way to memory."""
EVENTS = ("mac", "l1_read", "l1_write", "store", "wrf", "updates", "busy")
"""Additions of real outputs; words of digits; rows of currents; weights; operations that change the neurons; taps
whose digits are not all 0.
"""
COMPUTE, CURRENTS, NEURONS, LOAD, INPUT, DRAIN, MAC, READ, WRITE, STORE, WRF, UPDATES, BUSY = range(13)
"""Places in a row of counts."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What leaves the neurons, in order.

    Attributes:
        cycles: of the operation, from the first word of the stream on, int64 [n].
        addresses: in L1, or -1 where charges are given, int64 [n].
        values: digits, or charges, int64 [n, S].
    """

    cycles: np.ndarray
    addresses: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Ran:
    """A run of one image.

    Attributes:
        maps: digits by layer, int8 [T, C, H, W]; charges of the last one, int64 [classes].
        counts: by packet, the input first: CAUSES then EVENTS, int64 [packets + 1, ...].
    """

    maps: dict[str, np.ndarray]
    counts: np.ndarray
    trace: Trace


def run(program: Program, digits: np.ndarray) -> Ran:
    """Runs the digits of one image, int8 [T, C, H, W]."""
    acc = program.accelerator
    l1 = np.zeros((acc.l1_words, acc.lanes), np.int8)
    store = np.zeros((acc.store_words, acc.lanes), np.int64)
    counts = np.zeros((len(program.packets) + 1, len(CAUSES) + len(EVENTS)), np.int64)
    place = program.places["input"]
    _write(l1, place, digits)
    words = acc.steps * place.plane
    counts[0, INPUT] = WORDS + words * -(-2 * acc.lanes // STREAM_BITS)
    counts[0, WRITE] = words
    maps: dict[str, np.ndarray] = {"input": digits}
    traces = []
    for n, packet in enumerate(program.packets):
        cycles, addresses, values = _outputs(packet, acc)
        begin = int(counts[:, : len(CAUSES)].sum())
        _run(*_arguments(packet, acc), l1, store, counts[n + 1], cycles, addresses, values)
        traces.append((begin + cycles, addresses, values))
        if packet.ends and (n + 1 == len(program.packets) or program.packets[n + 1].layer != packet.layer):
            # The map is whole, and nothing has been written over it.
            maps[packet.layer] = _map(packet, acc, l1, traces)
    counts[-1, DRAIN] = _last_row_written(acc)
    return Ran(maps, counts, Trace(*(np.concatenate(part) for part in zip(*traces, strict=True))))


def _last_row_written(acc: DigitSerial) -> int:
    """Cycles behind the last operation: charges leave the neurons, word by word, and memory says that it has them."""
    kept = PIPELINE
    read = kept + acc.lanes // (1 if acc.charge_bits > 32 else 2)
    sent = read + 2
    answered = sent + acc.l2_latency
    return answered + 1


def _outputs(packet: Packet, acc: DigitSerial) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = 0 if not packet.ends else packet.count * (1 if packet.target is None else acc.steps)
    return np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros((count, acc.lanes), np.int64)


def _map(
    packet: Packet, acc: DigitSerial, l1: np.ndarray, traces: Sequence[tuple[np.ndarray, ...]]
) -> np.ndarray:
    if packet.target is None:
        charges = np.concatenate([values[addresses < 0].ravel() for _, addresses, values in traces])
        return charges[: packet.group * acc.lanes + packet.outputs]
    place = packet.target
    words = l1[place.base : place.base + acc.steps * place.plane]
    whole = words.reshape(acc.steps, place.height, place.width, place.blocks * acc.lanes)
    return np.moveaxis(whole[..., : place.channels], 3, 1).copy()


def _write(l1: np.ndarray, place: Place, digits: np.ndarray) -> None:
    steps, lanes = len(digits), l1.shape[1]
    whole = np.zeros((steps, place.height, place.width, place.blocks * lanes), np.int8)
    whole[..., : place.channels] = np.moveaxis(digits, 1, 3)
    l1[place.base : place.base + steps * place.plane] = whole.reshape(-1, lanes)


def _arguments(packet: Packet, acc: DigitSerial) -> tuple[object, ...]:
    """Plain values for the compiled part, constants of other files among them: it is kept on disk by this file."""
    sources = np.array([_numbers(source) for source in (*packet.sources, *packet.sources)[:2]], np.int64)
    place, taps = packet.target, np.array(packet.taps, np.int64)
    taps[:, -1] *= HIGH
    target = (-1, 0, 0) if place is None else (place.base + packet.group, place.plane, place.blocks)
    flags = (packet.begins, packet.ends, acc.steps, acc.silent, packet.outputs, packet.signed)
    walk = (packet.first, packet.count, packet.width)
    return WORDS, flags, walk, target, sources, taps, packet.weights, packet.bias, packet.threshold


def _numbers(source: Source) -> tuple[int, ...]:
    place = source.place
    return (place.base, place.plane, place.height, place.width, place.blocks, *source.stride)


@_compiled
def _run(
    header,
    flags,
    walk,
    target,
    sources,
    taps,
    weights,
    bias,
    full,
    l1,
    store,
    counts,
    cycles,
    addresses,
    values,
):
    begins, ends, steps, silent, outputs, signed = flags
    first, count, width = walk
    base, plane, pitch = target
    lanes = l1.shape[1]
    at = header + len(taps) + lanes + len(weights) * lanes * ((lanes + 7) // 8)
    counts[LOAD] += at
    counts[WRF] += len(weights) * lanes * lanes
    charge = np.zeros(lanes, np.int64)
    spoke = np.zeros(lanes, np.bool_)
    said = 0
    for local in range(count):
        y, x = (first + local) // width, (first + local) % width
        charge[:] = bias * ends
        spoke[:] = signed
        for t in range(steps + silent):
            if t:
                if ends:
                    charge *= 2
                else:
                    charge[:] = 0
            if t < steps:
                row = local * steps + t
                parts = (begins, ends, outputs)
                at += _step(t, row, y, x, parts, sources, taps, weights, l1, store, charge, counts)
            if ends and base >= 0 and t >= silent:
                counts[NEURONS] += 1
                cycles[said] = at
                address = base + (t - silent) * plane + (first + local) * pitch
                addresses[said] = address
                for c in range(lanes):
                    digit = _says(charge[c], full[c], spoke[c])
                    spoke[c] |= digit == 1
                    charge[c] -= digit * full[c]
                    l1[address, c] = digit if c < outputs else 0
                    values[said, c] = l1[address, c]
                counts[WRITE] += 1
                counts[UPDATES] += 1
                said += 1
                at += 1
            elif ends and base < 0 and t == steps - 1:
                counts[NEURONS] += 1
                cycles[said], addresses[said] = at, -1
                values[said] = charge
                said += 1
                at += 1
                break


@_compiled
def _says(charge, full, spoke):
    if 2 * charge >= full:
        return 1
    if spoke and 2 * charge <= -full:
        return -1
    return 0


@_compiled
def _step(t, row, y, x, parts, sources, taps, weights, l1, store, charge, counts):
    """Taps of a step, after the stored currents and before they are stored; how many cycles that takes."""
    begins, ends, outputs = parts
    taken = len(taps)
    if not begins:
        charge += store[row]
        taken += 1
        counts[UPDATES] += 1
    for n in range(len(taps)):
        which, dy, dx, block, entry, shift = taps[n]
        base, plane, height, columns, pitch, stride_y, stride_x = sources[which]
        at_y, at_x = y * stride_y + dy, x * stride_x + dx
        opens = begins and n == 0  # the first operation of a step doubles the charge, or begins it
        if at_y < 0 or at_y >= height or at_x < 0 or at_x >= columns:
            counts[UPDATES] += opens
            continue
        counts[READ] += 1
        address = base + t * plane + (at_y * columns + at_x) * pitch + block
        some = False
        for r in range(l1.shape[1]):
            digit = l1[address, r]
            if digit:
                some = True
                counts[MAC] += outputs
                for c in range(l1.shape[1]):
                    charge[c] += digit * (np.int64(weights[entry, r, c]) << shift)
        counts[BUSY] += some
        counts[UPDATES] += opens or some
    if not ends:
        store[row] = charge
        taken += 1
    counts[COMPUTE] += len(taps)
    counts[CURRENTS] += taken - len(taps)
    counts[STORE] += taken - len(taps)
    return taken
