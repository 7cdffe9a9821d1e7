"""Runs networks on the RTL and on the cycle engine and compares memory, cycles and counters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtl.compiler import Image, compile
from rtl.geometry import Geometry
from rtl.verify import build, model, simulators
from rtl.verify.locate import Case, engine_file, write_waves
from rtl.verify.looking import require_form
from rtl.verify.random_network import random_case
from rtl.verify.result import LayerResult, VerifyResult
from rtl.verify.run import Conditions, Run, run_image
from sim import network as functional
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.network import Conv, Network, TensorSpec
from sim.systolic.engine import Simulation, simulate
from sim.systolic.schedule import Schedule, Source

TIMED = ("cycles", "drain", "dma", "rom", "weight", "psum", "store", "ifmap")
"""Counters that a bus which stalls changes."""


def verify_network(
    accelerator: Accelerator,
    network: Network,
    images: np.ndarray,
    simulator: str = "auto",
    rtl_dir: str | Path | None = None,
    *,
    objective: str = "edp",
    plans: Sequence[Schedule | Source] | None = None,
    stalls: int | None = None,
    l2_holds_all: bool = False,
    waves: Path | None = None,
    window: range = range(0),
) -> VerifyResult:
    """Compares every value that every layer writes, its cycles and its counters.

    Args:
        images: int8 [batch, C, H, W]; the first one runs.
        simulator: "icarus", "verilator", "cxxrtl", or "auto" for what is done sooner.
        rtl_dir: an export to simulate; otherwise the accelerator is exported afresh.
        plans: how each of `network.shapes` runs; by default what `sim.systolic.plan` says.
        stalls: seed of random stalls on every channel of the bus; cycles are then not compared.
        l2_holds_all: no packet waits for DRAM, in RTL and engine.
        waves: file (.fst or .vcd) for the signals of the RTL; those of the engine go to NAME.engine.vcd beside it.
        window: cycles of the network that they show; by default those around the first difference.

    Raises:
        InputError: the hardware cannot run a layer, or the simulator or the export is missing.
    """
    begin = time.perf_counter()
    image = compile(network, accelerator, objective, plans, l2_holds_all)
    expected = simulate(
        network,
        accelerator,
        images[:1],
        compare=False,
        objective=objective,
        plans=plans,
        l2_holds_all=l2_holds_all,
    )
    cycles = sum(layer.total_cycles for layer in expected.layers)
    chosen = simulators.choose(simulator, accelerator, cycles)
    given, limit = Path(rtl_dir) if rtl_dir else None, 4 * cycles + 5_000
    if waves is not None:
        require_form(waves, chosen, window)
    found = run_image(image, images[0], limit, chosen, given, Conditions(stalls))
    result = compare(image, expected, found, stalls is not None, chosen, begin)
    idle = build.idle_ports(accelerator, chosen, given, found.changed) if result.equal else None
    if waves is None:
        return replace(result, idle=idle)
    conditions = Conditions(stalls)
    case = Case(image, images[:1], objective, plans, l2_holds_all, chosen, given, conditions, limit)
    shown, first = write_waves(case, waves, window, result.equal)
    files = (str(waves), str(engine_file(waves)))
    return replace(result, idle=idle, waves=files, shown=(shown.start, shown.stop), first_cycle=first)


def verify_random(
    accelerator: Accelerator,
    seed: int,
    simulator: str = "auto",
    rtl_dir: str | Path | None = None,
    stalls: int | None = None,
    l2_holds_all: bool = False,
    waves: Path | None = None,
    window: range = range(0),
) -> VerifyResult:
    """`verify_network` on a random small network with random schedules."""
    Geometry(accelerator)
    case = random_case(accelerator, seed)
    return verify_network(
        accelerator,
        case.network,
        case.images,
        simulator,
        rtl_dir,
        plans=case.plans,
        stalls=stalls,
        l2_holds_all=l2_holds_all,
        waves=waves,
        window=window,
    )


def verify_layer(
    accelerator: Accelerator,
    network: Network,
    layer: str,
    image: np.ndarray | int = 0,
    simulator: str = "auto",
    rtl_dir: str | Path | None = None,
    stalls: int | None = None,
    l2_holds_all: bool = False,
    waves: Path | None = None,
    window: range = range(0),
) -> VerifyResult:
    """`verify_network` on one layer of a network, with the ifmap that it has there.

    Args:
        layer: name of a convolution or linear layer.
        image: int8 [1, C, H, W] of the network's input, or the seed of a random one.

    Raises:
        InputError: no such layer, or not one that runs on the array.
    """
    alone, ifmap = layer_alone(network, layer, image)
    return verify_network(
        accelerator,
        alone,
        ifmap,
        simulator,
        rtl_dir,
        stalls=stalls,
        l2_holds_all=l2_holds_all,
        waves=waves,
        window=window,
    )


def layer_alone(network: Network, layer: str, image: np.ndarray | int = 0) -> tuple[Network, np.ndarray]:
    """One layer as a network, and the ifmap that it has in its own, int8 [1, C, H, W].

    Args:
        image: int8 [1, C, H, W] of the network's input, or the seed of a random one.

    Raises:
        InputError: no such layer, or not one that runs on the array.
    """
    conv = network[layer]
    if not isinstance(conv, Conv):
        raise InputError(
            "layer",
            layer,
            "runs on the storer lanes, not on the array",
            "choose a convolution or linear layer",
        )
    if isinstance(image, int):
        rng = np.random.default_rng(image)
        image = rng.integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    ifmap = image[:1] if conv.input == "input" else functional.run(network, image[:1])[conv.input]
    spec = TensorSpec(network.maps[conv.input], zero_point=network.zero_point(conv.input))
    alone = Network(network.name, spec, (replace(conv, input="input"),))
    return alone, ifmap


def compare(
    image: Image, expected: Simulation, found: Run, stalled: bool, simulator: str, begin: float
) -> VerifyResult:
    """A run against the engine.

    Args:
        stalled: memory made it wait; then no cycles are compared.
        begin: `time.perf_counter` when all began.
    """
    mismatches = _Mismatches()
    layers, total = _layers(image, expected, found, stalled, mismatches)
    _whole_run(found, total, mismatches)
    return VerifyResult(
        words_compared=sum(layer.words_compared for layer in layers),
        mismatches=mismatches.count,
        cycles_model=sum(layer.cycles_model for layer in layers),
        cycles_rtl=sum(layer.cycles_rtl for layer in layers),
        counters_model=total,
        counters_rtl=found.counters[-1] if found.counters else {},
        layers=tuple(layers),
        first_mismatch=mismatches.first,
        simulator=simulator,
        wall_s=time.perf_counter() - begin,
        build_s=found.build_s,
        cycles_per_second=found.cycles / found.run_s,
        warnings=image.warnings,
    )


class _Mismatches:
    """How many there are, and what the first one is."""

    def __init__(self) -> None:
        self.count, self.first = 0, ""

    def add(self, count: int, what: str) -> None:
        if count:
            self.count += count
            self.first = self.first or what


def _layers(
    image: Image, expected: Simulation, found: Run, stalled: bool, mismatches: _Mismatches
) -> tuple[list[LayerResult], dict[str, int]]:
    """Values, cycles and counters layer by layer; the counters of the model over all layers."""
    layers = []
    before = dict.fromkeys(found.counters[0], 0) if found.counters else {}
    total: dict[str, int] = {}
    for n, (layer, counts) in enumerate(zip(image.layers, expected.layers, strict=True)):
        tensor = expected.tensors[layer.tensor][0]
        mismatches.add(*_tensor(layer.tensor, tensor, image.read(found.memory, layer.tensor)))
        counters = model.counters(layer, counts)
        total = {name: total.get(name, 0) + count for name, count in counters.items()}
        counted, cycles = {}, 0
        if n < len(found.counters):
            counted = {name: count - before[name] for name, count in found.counters[n].items()}
            before = found.counters[n]
            cycles = found.ends[n] - found.begins[n]
        seen = [name for name in counters if name not in model.AHEAD and not (stalled and name in TIMED)]
        layers.append(
            LayerResult(
                layer.name,
                tensor.size,
                counts.total_cycles,
                cycles,
                {name: counters[name] for name in seen},
                {name: counted.get(name, 0) for name in seen},
            )
        )
        mismatches.add(*_counters(layers[-1], stalled))
    return layers, total


def _whole_run(found: Run, total: dict[str, int], mismatches: _Mismatches) -> None:
    """Counters and their registers at the end of the run, and what must not happen in it."""
    last = found.counters[-1] if found.counters else {}
    for name in model.AHEAD:
        wrong = last.get(name) != total[name]
        mismatches.add(wrong, f"counter {name}: expected {total[name]}, found {last.get(name, 0)}")
    for name, count in last.items():
        read = found.registers.get(f"count_{name}_lo", 0) | found.registers.get(f"count_{name}_hi", 0) << 32
        wrong = not found.limited and read != count
        mismatches.add(wrong, f"register of counter {name}: expected {count}, found {read}")
    mismatches.add(
        found.protocol_errors + found.overflows + found.limited + found.strays,
        "the run did not end"
        if found.limited
        else "a word beyond the maps has changed"
        if found.strays
        else "a write burst ends elsewhere than its length says, an address lies beyond memory, "
        "or the storer lost a row",
    )


def _tensor(name: str, expected: np.ndarray, found: np.ndarray) -> tuple[int, str]:
    """How many values differ, and the first of them in memory; both [C, H, W]."""
    wrong = np.argwhere((expected != found).transpose(1, 2, 0))
    if not len(wrong):
        return 0, ""
    y, x, channel = wrong[0].tolist()
    return len(wrong), (
        f"{name}, y {y}, x {x}, channel {channel}: expected {expected[channel, y, x]}, "
        f"found {found[channel, y, x]}"
    )


def _counters(layer: LayerResult, stalled: bool) -> tuple[int, str]:
    wrong = [
        f"{layer.name}, counter {name}: expected {count}, found {layer.counters_rtl[name]}"
        for name, count in layer.counters_model.items()
        if layer.counters_rtl[name] != count
    ]
    if not stalled and layer.cycles_rtl != layer.cycles_model:
        wrong.append(f"{layer.name}: expected {layer.cycles_model} cycles, found {layer.cycles_rtl}")
    return len(wrong), wrong[0] if wrong else ""
