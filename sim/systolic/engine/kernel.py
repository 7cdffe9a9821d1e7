"""The machine, one cycle after another (docs/timing.md).

Two depths share this loop. At value level a token's psum row comes from what the loader has written into the WRF
when it issues (`engine.values`), and units play alone while none waits for another (`engine.skip`); at register level
`engine.registers` clocks every register, in every cycle.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from sim.kept import kept
from sim.systolic.engine.compiled import SOURCES, step
from sim.systolic.engine.counters import Cause
from sim.systolic.engine.loader_step import load
from sim.systolic.engine.memory_step import bring_tiles, read_dram
from sim.systolic.engine.sequencer_step import begin_slot, end_slot, stall_of_slot, waits_for
from sim.systolic.engine.skip import meeting, sequence_alone
from sim.systolic.engine.state import NEVER, Maps, Trace, hand_over, reset, take_over
from sim.systolic.engine.token import clock_array, end_tokens, issue
from sim.systolic.engine.values import compute


@kept(error_model="numpy")
def run_core(p, layer, found, maps, acc, gated, trace, counters, sources=SOURCES):
    """Runs one layer on the ifmaps of a batch, which share every cycle; at register level on one.

    Args:
        p: Parameters.
        layer: Layer.
        found: HANDOVER that the layer finds; receives the one that it leaves.
        maps: Maps.
        acc: int32 [images, OH * OW * K], receives the finished psums.
        gated: int64 [images], receives the multiplications that a zero operand gates.
        trace: Trace, receives every emitted row of the first image while there is room.
        counters: COUNTERS.
        sources: to be left out; see `compiled.SOURCES`.
    """
    core = reset(p, layer, maps, acc, gated, trace)
    sequencer = core.sequencer[0]
    alone = not p.registers and not p.pool and len(trace.cycles) == 0
    t = take_over(p, core, found)
    while True:
        end = meeting(t, p, core) if alone else t
        meets = end <= t
        if meets:
            end = t + 1
            if p.registers:
                clock_array(t, core)
            end_slot(t, core)
            if p.memory:
                bring_tiles(t, p, core)
                read_dram(t, p, core)
        end, rom_serves = load(t, end, p, core, counters)
        if meets:
            cause = np.int64(Cause.DRAIN)
            if sequencer.drained == NEVER:
                cause = _sequence(t, p, core, rom_serves, counters)
            if t >= 0:
                counters.spent[cause] += 1
            if t == sequencer.drained:
                break
        else:
            sequence_alone(t, end, p, core, counters)
        t = end
    counters.core_cycles = t + 1
    hand_over(t, p, core, found)


@step
def _sequence(t, p, core, rom_serves, counters):
    """A cycle of the sequencer: at most a slot begins and a token issues; returns what it goes to."""
    sequencer, chunks = core.sequencer[0], core.layer.chunks
    if not sequencer.in_slot:
        cause, _ = waits_for(t, p, core, rom_serves)
        if cause != Cause.COMPUTE:
            return cause
        begin_slot(p, core, counters)
    cause = stall_of_slot(t, p, core)
    if sequencer.elapsed < sequencer.tokens:
        cause = np.int64(Cause.COMPUTE)
        issue(p, core, counters)
        if sequencer.elapsed == sequencer.tokens - 1:
            end_tokens(t, p, core)
        if not p.registers and (
            len(core.trace.cycles) > 0
            or sequencer.issued == sequencer.tokens * chunks[sequencer.chunk].pixels
        ):
            compute(t, p, core, counters)
    sequencer.elapsed += 1
    return cause


@kept(parallel=True, error_model="numpy")
def run_registers(p, layer, found, maps, acc, gated, counters, sources=SOURCES):
    """`run_core` at register level on each image of a batch: HANDOVER [images], COUNTERS [images]."""
    nothing = Trace(np.zeros((0, 1), np.int32), np.zeros(0, np.int64))
    for n in prange(len(acc)):
        one = Maps(maps.ifmap[n : n + 1], maps.flat)
        run_core(p, layer, found[n], one, acc[n : n + 1], gated[n : n + 1], nothing, counters[n])
