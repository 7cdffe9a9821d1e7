"""`python -m rtl.digit_serial.power --liberty FILE...`: coefficients for sim/digit_serial/sg13g2.toml.

Array and neuron of sws-8 are synthesized with clock gates and evaluated on real spikes: weights and digits of the
shipped ResNet-20, each of 64 patterns another position of a layer. Minutes.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rtl.block import Block, module_name
from rtl.digit_serial import export
from rtl.digit_serial.array import TernaryArray
from rtl.digit_serial.neuron import Neuron
from rtl.digit_serial.ternary_tile import COLUMNS
from rtl.power.characterize import joined
from rtl.power.energy import Energy, EnergyModel
from rtl.power.evaluator import LANES, words
from rtl.power.netlist import flatten
from rtl.power.streams import sample_images
from rtl.power.tables import Tables
from rtl.synth import Library, Synthesis, read, synthesize_modules
from sim.accelerator import preset
from sim.digit_serial import functional
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.convert import convert
from sim.digit_serial.lowering import HIGH, Packet, lower
from sim.errors import InputError

PRESET = "sws-8"
LAYERS = ("block0.conv1", "block2.conv1", "block4.conv1", "block5.add", "block8.conv1")


class Sample(NamedTuple):
    """What a packet's positions do, one position in each pattern.

    Attributes:
        digits: int64 [cycles, patterns, S], of each tap of each step.
        entry, high, first: int64 [cycles]; the last says that a step begins.
        sums: int64 [cycles, patterns, S], of the columns.
        density: share of digits that are not 0.
    """

    packet: Packet
    digits: np.ndarray
    entry: np.ndarray
    first: np.ndarray
    sums: np.ndarray
    density: float


class Measured(NamedTuple):
    """Joules: of an addition, of a tap with digits at each adder, of a byte of weights, of an operation of a neuron."""

    addition: float
    tap: float
    weight: float
    operation: float
    error: float


def samples(acc: DigitSerial) -> list[Sample]:
    """Of packets of several layers of the shipped network, on one of its test images each."""
    network, images = sample_images(len(LAYERS))
    net = convert(network)
    said = functional.spoken(net, images, acc.steps, acc.silent)
    program = lower(net, acc)
    random = np.random.default_rng(0)
    found = []
    for n, name in enumerate(LAYERS):
        packets = [packet for packet in program.packets if packet.layer == name and packet.begins]
        chosen = packets[random.integers(len(packets))]
        maps = [said[one.source][:, n] for one in next(x for x in net.layers if x.name == name).synapses]
        found.append(_sample(chosen, maps, acc, random))
    return found


def _sample(
    packet: Packet, maps: Sequence[np.ndarray], acc: DigitSerial, random: np.random.Generator
) -> Sample:
    lanes, taps = acc.lanes, packet.taps
    places = packet.first + random.integers(packet.count, size=LANES)
    y, x = np.divmod(places, packet.width)
    digits = np.zeros((acc.steps, len(taps), LANES, lanes), np.int64)
    for n, tap in enumerate(taps):
        digits_of, (stride_y, stride_x) = maps[tap.source], packet.sources[tap.source].stride
        channels = digits_of[:, tap.block * lanes : (tap.block + 1) * lanes]
        at_y, at_x = y * stride_y + tap.dy, x * stride_x + tap.dx
        inside = (at_y >= 0) & (at_y < channels.shape[2]) & (at_x >= 0) & (at_x < channels.shape[3])
        digits[:, n, inside, : channels.shape[1]] = channels[:, :, at_y[inside], at_x[inside]].transpose(
            0, 2, 1
        )
    entry = np.array([tap.entry for tap in taps])
    high = np.array([tap.high for tap in taps])
    weights = packet.weights[entry].astype(np.int64) << (HIGH * high)[:, None, None]
    sums = np.einsum("tnpr,nrc->tnpc", digits, weights)
    first = np.tile(np.arange(len(taps)) == 0, acc.steps)
    flat = digits.reshape(-1, LANES, lanes)
    return Sample(
        packet,
        flat,
        np.tile(entry, acc.steps),
        first,
        sums.reshape(-1, LANES, lanes),
        float((flat != 0).mean()),
    )


def measure(library: Library) -> tuple[Measured, dict[str, Synthesis]]:
    """Energies of events, and what was synthesized."""
    acc: Any = preset(PRESET)
    tables, found = Tables(library), samples(acc)
    array = TernaryArray(lanes=acc.lanes, depth=acc.wrf_depth)
    neuron = Neuron(charge_bits=acc.charge_bits)
    made, rows, writes, operations = {}, [], [], []
    for block, measured in ((array, _array), (neuron, _neuron)):
        made[block.kind] = _synthesized(block, acc, library)
        netlist = flatten(made[block.kind].netlist, module_name(block.kind), library)
        model = EnergyModel(netlist, tables)
        for sample in found:
            before, after, counts = measured(model, sample, acc)
            joules = after.total - before.total
            if block is array:
                writes.append(before.total / counts["weights"])
                rows.append((counts["additions"], counts["adders"], joules))
            else:
                operations.append(joules / counts["operations"])
    table = np.array(rows)
    solution = np.linalg.lstsq(table[:, :2], table[:, 2], rcond=None)[0]
    error = float(np.mean(np.abs(table[:, :2] @ solution - table[:, 2]) / table[:, 2]))
    parts = (*solution.tolist(), float(np.mean(writes)), float(np.mean(operations)), error)
    return Measured(*parts), made


def _synthesized(block: Block, acc: DigitSerial, library: Library) -> Synthesis:
    return synthesize_modules(
        export.modules(acc), module_name(block.kind), library, 1e9 / acc.clock_hz, gated=True
    )


def _array(model: EnergyModel, sample: Sample, acc: DigitSerial) -> tuple[Energy, Energy, dict[str, int]]:
    """Weights, then taps."""
    weights = sample.packet.weights
    entries, lanes = len(weights), acc.lanes
    words_of = lanes // COLUMNS
    entry, row, word = np.unravel_index(np.arange(entries * lanes * words_of), (entries, lanes, words_of))
    data = weights.reshape(-1, 1, COLUMNS).astype(np.int64)

    def same(values: np.ndarray, bits: int) -> np.ndarray:
        return words(np.broadcast_to(values[:, None, None], (len(values), LANES, 1)), bits)

    loads = {
        "write": same(np.ones(len(data), np.int64), 1),
        "write_address": same(entry, len(model.netlist.inputs["write_address"])),
        "write_row": same(row, len(model.netlist.inputs["write_row"])),
        "write_word": same(word, len(model.netlist.inputs["write_word"])),
        "write_data": words(np.broadcast_to(data, (len(data), LANES, COLUMNS)), 8),
    }
    live = (sample.digits != 0).any(2)
    # The word register in front of the array keeps what it had where a word is all zero.
    held, address = _held(sample.digits, live), _held(np.tile(sample.entry[:, None], LANES), live)
    taps = {
        "write": np.zeros((len(live), 1), np.uint64),
        "valid": words(live[..., None].astype(np.int64), 1),
        "digits": words(held & 3, 2),
        "address": words(address[..., None], len(model.netlist.inputs["address"])),
    }
    before, after = _energies(model, [loads, taps])
    outputs = sample.packet.outputs
    counts = {
        "weights": entries * lanes * lanes * LANES,
        "additions": int((sample.digits != 0).sum()) * outputs,
        "adders": int(live.sum()) * lanes * lanes,
    }
    return before, after, counts


def _held(values: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Values [cycles, patterns, ...], the last live one in place of those that are not."""
    last = np.maximum.accumulate(np.where(live, np.arange(len(live))[:, None], 0), 0)
    return values[last, np.arange(values.shape[1])[None]]


def _neuron(model: EnergyModel, sample: Sample, acc: DigitSerial) -> tuple[Energy, Energy, dict[str, int]]:
    """Parameters; then what a column's neuron does, a column in each pattern."""
    packet, columns = sample.packet, np.arange(LANES) % sample.packet.outputs
    taps = len(packet.taps)
    sums = sample.sums[:, np.arange(LANES), columns].reshape(acc.steps, taps, LANES)
    live = (sample.digits != 0).any(2).reshape(acc.steps, taps, LANES)
    controls: list[tuple[np.ndarray, np.ndarray, int, int, int]] = []  # enable, operand, start, double, fire
    none = np.zeros(LANES, np.int64)
    for t in range(acc.steps + acc.silent):
        for n in range(taps if t < acc.steps else 0):
            acts = live[t, n] | (n == 0)
            controls.append((acts, np.where(live[t, n], sums[t, n], 0), t == n == 0, n == 0 < t, 0))
        if t >= acc.silent:
            controls.append((none == 0, none, 0, t >= acc.steps, 1))
    enable, operand, start, double, fire = (np.array(part) for part in zip(*controls, strict=True))

    def shared(values: np.ndarray) -> np.ndarray:
        return words(np.broadcast_to(values[:, None, None], (len(values), LANES, 1)).astype(np.int64), 1)

    parameters = np.stack([packet.bias[columns], packet.threshold[columns]], 1)[None]
    load = {"load": words(np.ones((1, LANES, 1), np.int64), 1), "parameters": words(parameters, 32)}
    work = {
        "load": np.zeros((len(enable), 1), np.uint64),
        "enable": words(enable[..., None].astype(np.int64), 1),
        "operand": words(operand[..., None], acc.charge_bits),
        "start": shared(start),
        "biased": shared(np.ones_like(start)),
        "double": shared(double),
        "fire": shared(fire),
    }
    before, after = _energies(model, [load, work])
    return before, after, {"operations": int(enable.sum())}


def _energies(model: EnergyModel, phases: list[dict[str, np.ndarray]]) -> tuple[Energy, Energy]:
    """Up to the end of each of two phases."""
    ends = np.cumsum([len(next(iter(phase.values()))) for phase in phases]).tolist()
    first, second = model.evaluator.runs(joined(phases, model.netlist.inputs), ends)
    return model.energy(first), model.energy(second)


def toml(library: Library, found: Measured) -> str:
    """Prices of events."""
    source = (
        f"evaluation of our netlists of {PRESET} on {library.name}, gated clocks included, spikes of resnet20-fashion "
        f"at T = 8, {len(LAYERS)} layers, {datetime.date.today().isoformat()}"
    )
    lines = []
    rows = (
        ("mac", found.addition, "array, an addition of a weight"),
        ("tap", found.tap, "array, each adder at a tap whose digits are not all 0"),
        ("neuron", found.operation, "neuron, an operation"),
        ("wrf", found.weight, "array, a byte of weights written"),
    )
    for name, joules, what in rows:
        lines += [f"[energy.{name}]", f"value = {1e12 * joules:.4g}", 'label = "measured"']
        lines += [f'source = "{what}: {source}"']
        lines += [f'uncertainty = "fit within {found.error:.0%} of the layers; no glitches, no wires"', ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m rtl.digit_serial.power", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--liberty", nargs="+", required=True, metavar="FILE", help="files of one library")
    given = parser.parse_args(arguments)
    try:
        library = read(*given.liberty)
        found, _ = measure(library)
        print(found)
        print(toml(library, found))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
