"""A network on the Verilog and on the engine: every word that neurons say, every cycle, every counter."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl.digit_serial import bench
from rtl.digit_serial import image as images
from rtl.digit_serial.core import PIPELINE
from rtl.digit_serial.top import COUNTERS
from rtl.verify.result import LayerResult, VerifyResult
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.engine import CAUSES, Ran, run
from sim.digit_serial.lowering import Program
from sim.errors import InputError
from sim.network import Network

SIMULATORS = ("verilator", "icarus")
DONE, ENDED = 0b010, 0b111
"""Of the register `status`."""
WAITING = ("cycles", "fetch", "drain")
"""What grows when the bus stalls."""
_SHORT = 20_000
"""Cycles up to which Icarus is done before Verilator has built."""


def verify(
    acc: DigitSerial,
    network: Network,
    image: np.ndarray,
    simulator: str = "auto",
    rtl_dir: Path | None = None,
    stalls: int | None = None,
) -> VerifyResult:
    """Runs int8 [1, C, H, W]; with stalls cycles are not compared.

    Raises:
        InputError: a network that the machine does not run, or a simulator that is none of ours.
    """
    begin = time.perf_counter()
    model = expected(network, acc, image)
    chosen = _chosen(simulator, model.cycles)
    found = bench.run(model.image, model.inputs, 8 * model.cycles + 10_000, chosen, rtl_dir, stalls)
    wrong = differences(model, found, exact=stalls is None)
    return VerifyResult(
        words_compared=len(model.ran.trace.addresses) + len(found.memory),
        mismatches=len(wrong),
        cycles_model=model.cycles,
        cycles_rtl=found.counters["cycles"],
        counters_model=model.counters,
        counters_rtl=found.counters,
        layers=_layers(model.image.program, model.ran, found),
        first_mismatch=wrong[0] if wrong else "",
        simulator=chosen,
        wall_s=time.perf_counter() - begin,
        build_s=found.build_s,
        cycles_per_second=found.cycles / found.run_s,
    )


@dataclass(frozen=True, eq=False)
class Expected:
    """A network in memory, an input int8 [C, H, W], and what the engine says of it."""

    image: images.Image
    inputs: np.ndarray
    ran: Ran

    @property
    def cycles(self) -> int:
        return int(self.ran.counts[:, : len(CAUSES)].sum())

    @property
    def counters(self) -> dict[str, int]:
        causes = {cause: int(self.ran.counts[:, n].sum()) for n, cause in enumerate(CAUSES)}
        return causes | {"cycles": self.cycles, "fetch": 0}


def expected(network: Network, acc: DigitSerial, image: np.ndarray) -> Expected:
    """Of int8 [1, C, H, W]."""
    compiled = images.compiled(network, acc)
    return Expected(compiled, image[0], run(compiled.program, compiled.digits(image[0])))


def differences(model: Expected, found: bench.Ran, *, exact: bool) -> list[str]:
    """Where Verilog and engine are not equal, the first one first; `exact`: in cycles too."""
    counters = model.counters
    return [
        *_words(model.image.program, model.ran, found, exact),
        *_left(model.image, model.ran, found),
        *(
            f"counter {cause}: {found.counters[cause]}, expected {counters[cause]}"
            for cause in COUNTERS
            if found.counters[cause] != counters[cause] and (exact or cause not in WAITING)
        ),
    ]


def _left(compiled: images.Image, ran: Ran, found: bench.Ran) -> list[str]:
    """Where status and memory are not as they should be after a run."""
    wrong = []
    if found.status & ENDED != DONE:
        wrong.append(f"status {found.status:#x} after the run, expected done")
        return wrong
    charges = compiled.read(found.memory)
    expected = ran.maps[compiled.layers[-1].name]
    if not np.array_equal(charges, expected):
        wrong.append(f"charges in memory {charges.tolist()[:8]}, expected {expected.tolist()[:8]}")
    return wrong


def _chosen(simulator: str, cycles: int) -> str:
    if simulator == "auto":
        return "icarus" if cycles < _SHORT else "verilator"
    if simulator not in SIMULATORS:
        raise InputError(
            "simulator", simulator, "has no bench of this machine", f"use {' or '.join(SIMULATORS)}"
        )
    return simulator


def word_of(values: np.ndarray, bits: int) -> int:
    """Values side by side, the first lowest."""
    mask = (1 << bits) - 1
    return sum((int(value) & mask) << (bits * n) for n, value in enumerate(values))


def _words(program: Program, ran: Ran, found: bench.Ran, exact: bool) -> list[str]:
    """What neurons say."""
    trace, acc = ran.trace, program.accelerator
    wrong = []
    if len(trace.addresses) != len(found.said):
        wrong.append(f"{len(found.said)} words said, expected {len(trace.addresses)}")
    for n, (cycle, address) in enumerate(found.said[: len(trace.addresses)].tolist()):
        bits = 2 if address >= 0 else acc.charge_bits
        expected = (int(trace.cycles[n]) + PIPELINE, int(trace.addresses[n]), word_of(trace.values[n], bits))
        got = (cycle, address, found.words[n])
        if got[1:] != expected[1:] or (exact and got[0] != expected[0]):
            wrong.append(f"word {n}: cycle, address, value {got}, expected {expected}")
    return wrong


def _layers(program: Program, ran: Ran, found: bench.Ran) -> tuple[LayerResult, ...]:
    """By layer: words, and cycles from the first word of its first packet to that of the next layer's."""
    model = ran.counts[:, : len(CAUSES)].sum(1)
    ends = [*found.packets[1:].tolist(), found.counters["cycles"]]
    rtl = [end - begin for begin, end in zip(found.packets.tolist(), ends, strict=True)]
    names = [program.network.layers[0].name, *(packet.layer for packet in program.packets)]
    return tuple(
        LayerResult(
            layer.name,
            _said(program, layer.name),
            _sum(model, names, layer.name),
            _sum(rtl, names, layer.name),
            {},
            {},
        )
        for layer in program.network.layers
    )


def _said(program: Program, layer: str) -> int:
    each = program.accelerator.steps
    return sum(
        packet.count * (1 if packet.target is None else each)
        for packet in program.packets
        if packet.layer == layer and packet.ends
    )


def _sum(values: Sequence[int] | np.ndarray, names: Sequence[str], layer: str) -> int:
    return sum(int(value) for value, name in zip(values, names, strict=False) if name == layer)
