"""One scheduled layer on the cycle engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats import encoding
from sim.systolic.engine import kernel, storer
from sim.systolic.engine.counters import COUNTERS, named
from sim.systolic.engine.parameters import parameters
from sim.systolic.engine.state import HANDOVER, TIMES, VISIT_TIMES, Layer, Maps, Trace, Waves, nothing, reset
from sim.systolic.program import Program
from sim.systolic.results import Handover


@dataclass(frozen=True, eq=False)
class LayerRun:
    """What one layer did.

    Attributes:
        acc: int32 [batch, K, OH, OW], psums without bias.
        gated: int64 [batch], multiplications that a zero operand gates.
        counters: by name, of the first image; `core_cycles` and the cycles by cause among them.
        handover: what the next layer finds, after the first image.
        rows, row_cycles: with `trace`, int32 [emitted, L] and int64 [emitted]: every psum row of
            the first image in emission order and the cycle in which it is visible.
        trace: what else was recorded of it.
        times, visit_times: TIMES [1 + chunks] and VISIT_TIMES [visits] of `sim.systolic.engine.state`; empty where
            registers of several images run.
    """

    acc: np.ndarray
    gated: np.ndarray
    counters: dict[str, int]
    handover: Handover
    rows: np.ndarray
    row_cycles: np.ndarray
    trace: Trace
    times: np.ndarray
    visit_times: np.ndarray


def run_program(
    program: Program,
    token_ifmap: np.ndarray,
    trace: bool = False,
    found: Handover | None = None,
    registers: bool = False,
    arbitrated: bool = False,
    window: range = range(0),
) -> LayerRun:
    """Runs a layer cycle by cycle.

    Args:
        program: from `sim.systolic.program.lower`.
        token_ifmap: int8 [batch, C', H', W'] from `sim.systolic.program.token_ifmap`.
        trace: record every emitted psum row (first image only).
        found: what the layer before left; None runs the core alone: weights and
            ifmap are there in time, and nothing follows.
        registers: clock every register of the array.
        arbitrated: DMA, psums and fetches share all banks of L1, first come by that priority, instead of
            owning a group each. There is no closed form of it.
        window: cycles of the layer whose causes, and with `registers` whose registers, are recorded (first image
            only). It may begin before the layer does.

    Raises:
        InputError: registers of an idealised array, which has other ones.
    """
    if registers and not program.schedule.accelerator.edge_registers:
        raise InputError(
            "edge_registers",
            False,
            "an idealised array has no registers to clock",
            "set edge_registers = true",
        )
    shape, columns = program.schedule.shape, program.schedule.accelerator.columns
    maps = _maps(token_ifmap)
    batch = len(token_ifmap)
    acc = np.zeros((batch, shape.out_h * shape.out_w * shape.outputs), np.int32)
    gated = np.zeros(batch, np.int64)
    counts = np.zeros(batch, COUNTERS).view(np.recarray)
    left = np.array([found or Handover()] * batch, HANDOVER).view(np.recarray)
    emitted = int((program.chunks["pixels"] * program.chunks["A"]).sum()) if trace else 0
    recorded = nothing(columns)._replace(
        rows=np.zeros((emitted, columns), np.int32), cycles=np.zeros(emitted, np.int64)
    )
    if len(window):
        recorded = _windowed(recorded, window, program.schedule.accelerator, registers)
    numbers = parameters(program, found is not None, registers, arbitrated)
    layer = _layer(program, numbers.eights)
    times, visit_times = np.zeros(0, TIMES), np.zeros(0, VISIT_TIMES)
    if registers and not trace and not len(window):
        kernel.run_registers(numbers, layer, left, maps, acc, gated, counts)
    else:
        core = reset(numbers, layer, maps, acc, gated, recorded)
        times, visit_times = core.times, core.visit_times
        array = kernel.array_of(numbers, layer) if registers else None
        kernel.run_core(numbers, core, array, left[0], counts[0])
    counters = named(counts[0]) | {"gated": int(gated[0])}
    psums = acc.reshape(batch, shape.out_h, shape.out_w, shape.outputs).transpose(0, 3, 1, 2)
    handover = Handover(*left[0].item())
    return LayerRun(
        psums, gated, counters, handover, recorded.rows, recorded.cycles, recorded, times, visit_times
    )


def _windowed(trace: Trace, window: range, acc: Accelerator, registers: bool) -> Trace:
    """The trace with room for a window of cycles."""
    n, down, right = len(window), acc.row_stages, acc.column_stages
    shown = trace.registers
    if registers:
        shown = Waves(
            valid=np.zeros((n, down, right), np.int64),
            address=np.zeros((n, down, right), np.int64),
            operand=np.zeros((n, down, right, acc.tile_rows), np.int8),
            psum=np.zeros((n, down, acc.columns), np.int32),
            sums=np.zeros((n, acc.columns), np.int32),
            row=np.zeros((n, acc.columns), np.int32),
        )
    causes = np.full(n, -1, np.int8)
    return trace._replace(since=np.array([window.start], np.int64), causes=causes, registers=shown)


def _maps(token_ifmap: np.ndarray) -> Maps:
    """Channels last, as 16-bit integers for `engine.pairs`, which may read one beyond the end."""
    batch, channels, height, width = token_ifmap.shape
    flat = np.empty(token_ifmap.size + 1, np.int16)
    flat[-1] = 0
    ifmap = flat[:-1].reshape(batch, height, width, channels)
    storer.channels_last(np.ascontiguousarray(token_ifmap), ifmap)
    return Maps(ifmap, flat)


def _layer(program: Program, eights: int) -> Layer:
    acc, masked = program.schedule.accelerator, program.schedule.stream.masks
    masks = _masks(acc.keep, acc.group) if masked else np.zeros((1, 8), np.int8)
    chunks = program.chunks
    psums = np.where(chunks["last"], 1, chunks["pixels"].astype(np.int64) * chunks["A"])
    return Layer(
        chunks=chunks.view(np.recarray),
        visits=program.visits.view(np.recarray),
        words=_flat(program.beats),
        codebook=_flat(program.codebook),
        masks=masks,
        mask_eights=masks.view(np.uint64) if eights else np.zeros((1, 1), np.uint64),
        rom=program.rom,
        prf_words=int(chunks["A"].max()),
        stored_words=int(psums.max()),
    )


def _flat(beats: np.ndarray) -> np.ndarray:
    return np.append(beats.ravel(), np.uint64(0))


@cache
def _masks(keep: int, group: int) -> np.ndarray:
    """int8 [C(M, N), M]: -1 where a mask keeps an element."""
    table = encoding.mask_table(keep, group)
    return -(table[:, None] >> np.arange(group, dtype=np.uint32) & 1).astype(np.int8)
