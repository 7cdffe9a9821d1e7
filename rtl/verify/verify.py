"""Runs a program on the RTL and on the cycle engine and compares them word by word."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl.counters import COUNTERS
from rtl.geometry import Geometry
from rtl.verify import build, stimulus
from rtl.verify.random_layer import random_program
from sim import network as functional
from sim.accelerator import Accelerator
from sim.engine import LayerRun, run_program
from sim.errors import InputError
from sim.formats import stream_format
from sim.mapping import best_schedule
from sim.network import Conv, Network
from sim.program import Program, lower, token_ifmap
from sim.shapes import ConvShape


@dataclass(frozen=True)
class VerifyResult:
    """The comparison of one layer.

    Attributes:
        words_compared: psums, valid columns of every emitted row.
        mismatches: words that differ or are missing, rows in a wrong cycle or place, counters.
        cycles_model, cycles_rtl: `core_cycles` of both.
        counters_model, counters_rtl: by name.
        first_mismatch: says where, expected and found; "" if all is equal.
        wall_s: seconds in all; build_s of them exporting and building.
    """

    words_compared: int
    mismatches: int
    cycles_model: int
    cycles_rtl: int
    counters_model: dict[str, int]
    counters_rtl: dict[str, int]
    first_mismatch: str
    wall_s: float
    build_s: float

    @property
    def equal(self) -> bool:
        return self.mismatches == 0


def verify(
    accelerator: Accelerator, program: Program, token_ifmap: np.ndarray, *,
    simulator: str = "icarus", rtl_dir: str | Path | None = None,
) -> VerifyResult:
    """Compares every emitted psum row, the cycle it is visible in, and every counter.

    Args:
        program: a layer lowered for `accelerator`.
        token_ifmap: int8 [batch, C', H', W']; the first image runs.
        simulator: "icarus" or "verilator".
        rtl_dir: an export to simulate; otherwise the accelerator is exported afresh.

    Raises:
        InputError: the simulator or the export is missing, or the RTL does not have the machine or
            the stream format.
    """
    Geometry(accelerator)
    if program.schedule.format == "block":
        raise InputError("stream format", "block", "the RTL's loader does not place groups "
                         "on the array's diagonal", "verify a layer with groups = 1")
    begin = time.perf_counter()
    model = run_program(program, token_ifmap[:1], trace=True)
    built = build.build(accelerator, simulator, Path(rtl_dir) if rtl_dir else None)
    build_s = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        limit = 2 * model.counters["core_cycles"] + 1000
        stimulus.write(program, token_ifmap[0], limit, directory)
        capture = build.run(built, simulator, directory)
    words, mismatches, first = _compare(program, model, capture)
    expected = {name: model.counters[_ENGINE_NAMES.get(name, name)] for name in COUNTERS}
    for name in COUNTERS:
        if expected[name] != capture.counters[name]:
            mismatches += 1
            first = first or (f"counter {name}: expected {expected[name]}, "
                              f"found {capture.counters[name]}")
    return VerifyResult(words, mismatches, expected["cycles"], capture.counters["cycles"], expected,
                        capture.counters, first, time.perf_counter() - begin, build_s)


_ENGINE_NAMES = {"cycles": "core_cycles"}


def _compare(program: Program, model: LayerRun, capture: build.Capture) -> tuple[int, int, str]:
    """Words compared, mismatches, and the first of them in emission order."""
    where = stimulus.emission(program)
    count = len(where.chunk)
    common = min(count, len(capture.rows))
    valid = np.arange(model.rows.shape[1]) < where.columns[:, None]
    wrong = np.zeros((count, model.rows.shape[1]), bool)
    if common:
        wrong[:common] = (model.rows[:common] != capture.rows[:common]) & valid[:common]
    wrong[common:] = valid[common:]
    misplaced = np.zeros(count, bool)
    misplaced[:common] = ((model.row_cycles[:common] != capture.cycles[:common])
                          | (where.address[:common] != capture.addresses[:common])
                          | (where.final[:common] != capture.final[:common]))
    extra = len(capture.rows) - common
    mismatches = int(wrong.sum() + misplaced.sum()) + extra
    bad = np.flatnonzero(wrong.any(1) | misplaced)
    if not len(bad):
        first = f"{extra} rows more than the {count} expected" if extra else ""
        return int(valid.sum()), mismatches, first
    n = int(bad[0])
    column = int(wrong[n].argmax())
    place = (f"chunk {where.chunk[n]}, pixel {where.pixel[n]}, "
             f"output channel {where.output[n] + column}")
    if n >= common:
        return int(valid.sum()), mismatches, f"{place}: expected {model.rows[n, column]}, found no row"
    if wrong[n].any():
        return int(valid.sum()), mismatches, (
            f"{place}: expected {model.rows[n, column]}, found {capture.rows[n, column]}")
    return int(valid.sum()), mismatches, (
        f"{place}: expected in cycle {model.row_cycles[n]} at address {where.address[n]}, "
        f"found in cycle {capture.cycles[n]} at address {capture.addresses[n]}")


def verify_random(
    accelerator: Accelerator, seed: int, simulator: str = "icarus", rtl_dir: str | Path | None = None,
) -> VerifyResult:
    """`verify` on a random small layer."""
    program, ifmap = random_program(accelerator, seed)
    return verify(accelerator, program, ifmap, simulator=simulator, rtl_dir=rtl_dir)


def verify_layer(
    accelerator: Accelerator, network: Network, layer: str, image: np.ndarray | int = 0,
    simulator: str = "icarus", rtl_dir: str | Path | None = None,
) -> VerifyResult:
    """`verify` on a layer of a network, scheduled as `simulate` schedules it.

    Args:
        layer: name of a convolution or linear layer.
        image: int8 [1, C, H, W] of the network's input, or the seed of a random one.

    Raises:
        InputError: no such layer, or not one that runs on the array.
    """
    conv = network[layer]
    if not isinstance(conv, Conv):
        raise InputError("layer", layer, "runs on the storer lanes, not on the array",
                         "choose a convolution or linear layer")
    if isinstance(image, int):
        rng = np.random.default_rng(image)
        image = rng.integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    shape = next(shape for shape in network.shapes if shape.name == layer)
    assert isinstance(shape, ConvShape)
    form, codewords = stream_format(conv.weight, accelerator, shape)
    program = lower(conv, best_schedule(shape, accelerator, form, codewords))
    ifmap = functional.run(network, image[:1])[conv.input] if conv.input != "input" else image[:1]
    tokens = token_ifmap(ifmap, conv, program, network.zero_point(conv.input))
    return verify(accelerator, program, tokens, simulator=simulator, rtl_dir=rtl_dir)
