"""A network on an accelerator becomes memory: maps, weights and packet streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtl.compiler.chunks import chunks
from rtl.compiler.image import Image, Layer, Stream, Window
from rtl.compiler.inputs import Fold, InputMap, fold_of
from rtl.compiler.jobs import jobs
from rtl.compiler.memory import Map, Memory
from rtl.compiler.port import slow_packets
from rtl.compiler.steps import Step, resolve, steps
from rtl.compiler.stripes import pass_stripe, stripes
from rtl.compiler.tiles import tiles, visits
from rtl.geometry import Geometry
from rtl.packets import STREAMS
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, Network, TensorSpec
from sim.systolic.plan import plan
from sim.systolic.program import lower
from sim.systolic.schedule import Schedule, Source
from sim.systolic.streams import network_formats

Packets = dict[str, list[np.ndarray]]
Copies = dict[tuple[Fold | None, tuple[int, int, int]], InputMap]
"""Of the network's input."""


def compile(
    network: Network,
    accelerator: Accelerator,
    objective: str = "edp",
    plans: Sequence[Schedule | Source] | None = None,
    l2_holds_all: bool = False,
) -> Image:
    """The memory image of a network.

    Args:
        plans: how each of `network.shapes` runs; by default what `sim.systolic.plan` says.
        l2_holds_all: L2 holds weights and maps before the run: no packet waits for DRAM.

    Raises:
        InputError: the hardware cannot run a layer; the message names the layer, why, and what would do.
    """
    Geometry(accelerator)
    if plans is None:
        plans = plan(network.shapes, network_formats(network, accelerator), accelerator, objective)
    memories = {name: Memory(name) for name in ("maps", "weights", "commands")}
    copies: Copies = {}
    maps: dict[str, Map] = {}
    streams: Packets = {name: [] for name in STREAMS}
    layers = []
    for step in steps(network, plans):
        maps[step.tensor] = memories["maps"].map(step.ofmap(network), step.wide)
        found = _packets(network, step, accelerator, memories, maps, copies, l2_holds_all=l2_holds_all)
        layers.append(found[0])
        for name in STREAMS:
            streams[name] += found[1][name]
    placed = {name: np.concatenate([np.zeros(0, np.uint64), *found]) for name, found in streams.items()}
    ranges = {name: Stream(memories["commands"].place(words), len(words)) for name, words in placed.items()}
    memory, windows = _joined(memories)
    return Image(
        network,
        accelerator,
        memory,
        windows,
        ranges,
        maps,
        tuple(copies.values()),
        tuple(layers),
        universal_codebook(network) if accelerator.weights.universal else None,
        slow_packets(accelerator, layers, list(ranges.values())),
    )


def _joined(memories: dict[str, Memory]) -> tuple[np.ndarray, dict[str, Window]]:
    """One window behind the other."""
    parts = {name: memory.words() for name, memory in memories.items()}
    windows, offset = {}, 0
    for name, words in parts.items():
        windows[name] = Window(offset, 8 * len(words))
        offset += 8 * len(words)
    return np.concatenate(list(parts.values())), windows


def universal_codebook(network: Network) -> np.ndarray | None:
    """The one codebook of all vector-quantized layers, int8 [k, d], or None without such a layer.

    Raises:
        InputError: a layer has another codebook than those before it, and a ROM holds one.
    """
    found: np.ndarray | None = None
    for layer in network.layers:
        if not isinstance(layer, Conv) or not isinstance(layer.weight, CodebookWeight):
            continue
        if found is None:
            found = layer.weight.codebook
        elif not np.array_equal(found, layer.weight.codebook):
            raise InputError(
                f"{layer.name}.codebook",
                list(layer.weight.codebook.shape),
                "another one than in the layers before it, and the ROM holds one",
                "compress with a universal codebook",
            )
    return found


def compile_layer(layer: Conv, schedule: Schedule, size: tuple[int, int], zero: int = 0) -> Image:
    """The image of one convolution on an ifmap of `size`, with a schedule of its own."""
    channels = layer.weight.shape[1] * layer.groups
    network = Network("layer", TensorSpec((channels, *size), zero_point=zero), (layer,))
    return compile(network, schedule.accelerator, plans=[schedule])


def _packets(
    network: Network,
    step: Step,
    accelerator: Accelerator,
    memories: dict[str, Memory],
    maps: dict[str, Map],
    copies: Copies,
    *,
    l2_holds_all: bool,
) -> tuple[Layer, Packets]:
    memory = memories["maps"]
    ofmap = maps[step.tensor]
    found: Packets = {name: [] for name in STREAMS}
    if not isinstance(step.layer, Conv):
        ifmap = _map(network, step, step.layer.input, memory, maps, copies)
        found["units"] = pass_stripe(network, step, accelerator, ifmap, ofmap)
        return Layer(step.name, step.tensor, step.how, None, 0, 0, 0, 1), found
    assert isinstance(step.how, Schedule)
    program = lower(step.layer, step.how, l2_holds_all)
    ifmap = _map(network, step, step.layer.input, memory, maps, copies)
    residual = None
    if step.add is not None:
        other = step.add.inputs[1 - step.add.inputs.index(step.name)]
        residual = _map(network, None, other, memory, maps, copies)
    brought = visits(program, ifmap, residual)
    zero = network.zero_point(step.layer.input)
    found["jobs"] = jobs(step.name, program, memories["weights"])
    found["tiles"] = tiles(step.name, program, brought)
    found["chunks"] = chunks(step.name, program, brought, step.reads, zero)
    found["units"] = stripes(network, step, program, brought, ofmap)
    # A packet of each stripe has its parameters behind it.
    return Layer(
        step.name,
        step.tensor,
        step.how,
        program,
        len(found["jobs"]),
        len(found["tiles"]),
        len(found["chunks"]),
        len(found["units"]) // 2,
    ), found


def _map(
    network: Network, reader: Step | None, tensor: str, memory: Memory, maps: dict[str, Map], copies: Copies
) -> Map:
    """Where a tensor lies as a layer (None: the storer) reads it; the input may lie folded."""
    if tensor not in network.maps:  # what a storer pooled
        return maps[tensor]
    shape = network.maps[tensor]
    source = resolve(network, tensor)
    if source != "input":
        return Map(maps[source].address, shape)
    fold = None
    if reader is not None and isinstance(reader.layer, Conv) and isinstance(reader.how, Schedule):
        fold = fold_of(reader.layer, reader.how.shape, network.input.zero_point)
    if (fold, shape) not in copies:
        folded = shape if fold is None else fold.shape(shape[0])
        copies[fold, shape] = InputMap(memory.map(folded), shape, fold)
    return copies[fold, shape].map
