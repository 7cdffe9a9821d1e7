"""The machine, one cycle after another (docs/timing.md).

Two depths share this loop. At value level a token's psum row comes from what the loader has written into the WRF
when it issues (`engine.values`), and units play alone while none waits for another (`engine.skip`); at register level
`engine.registers` clocks every register, in every cycle.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.kept import kept
from sim.systolic.engine import registers
from sim.systolic.engine.compiled import SOURCES, step
from sim.systolic.engine.counters import Cause
from sim.systolic.engine.loader_step import load
from sim.systolic.engine.memory_step import bring_tiles, read_dram
from sim.systolic.engine.sequencer_step import begin_slot, end_slot, stall_of_slot, waits_for
from sim.systolic.engine.skip import meeting, sequence_alone
from sim.systolic.engine.state import NEVER, Maps, hand_over, nothing, reset, take_over
from sim.systolic.engine.token import clock_array, end_tokens, issue, watch
from sim.systolic.engine.values import compute


def array_of(p, layer):
    """The registers of the array. Python runs it, or Numba."""
    return registers.reset(p.rows, p.columns, p.tile_rows, p.tile_columns, layer.prf_words, p.operand_stages)


@kept(error_model="numpy")
def run_core(p, core, array, found, counters, sources=SOURCES):
    """Runs one layer on the ifmaps of a batch, which share every cycle; at register level on one.

    Args:
        p: Parameters.
        core: Core after `state.reset`.
        array: Registers; None at value level, for which Numba leaves out what clocks them.
        found: HANDOVER that the layer finds; receives the one that it leaves.
        counters: COUNTERS.
        sources: to be left out; see `compiled.SOURCES`.
    """
    sequencer = core.sequencer[0]
    trace = core.trace
    alone = array is None and not p.pool and len(trace.cycles) == 0
    since, until = trace.since[0], trace.since[0] + len(trace.causes)
    t = take_over(p, core, found)
    while True:
        end = meeting(t, p, core) if alone and not since <= t < until else t
        if t < since:
            end = min(end, since)
        meets = end <= t
        if meets:
            end = t + 1
            if array is not None:
                watch(t, core, array)
                clock_array(t, core, array)
            end_slot(t, core)
            if p.memory:
                bring_tiles(t, p, core)
                read_dram(t, p, core)
        end, rom_serves = load(t, end, p, core, counters)
        if meets:
            cause = np.int64(Cause.DRAIN)
            if sequencer.drained == NEVER:
                cause = _sequence(t, p, core, array, rom_serves, counters)
            if t >= 0:
                counters.spent[cause] += 1
                if since <= t < until:
                    trace.causes[t - since] = cause
            if t == sequencer.drained:
                break
        else:
            sequence_alone(t, end, p, core, counters)
        t = end
    counters.core_cycles = t + 1
    hand_over(t, p, core, found)


@step
def _sequence(t, p, core, array, rom_serves, counters):
    """A cycle of the sequencer: at most a slot begins and a token issues; returns what it goes to."""
    sequencer, chunks = core.sequencer[0], core.layer.chunks
    if not sequencer.in_slot:
        cause, _ = waits_for(t, p, core, rom_serves)
        if cause != Cause.COMPUTE:
            return cause
        begin_slot(p, core, counters)
        if sequencer.pixel == 0:
            core.times[sequencer.chunk + 1].tokens[0] = t
    cause = stall_of_slot(t, p, core)
    if sequencer.elapsed < sequencer.tokens:
        cause = np.int64(Cause.COMPUTE)
        issue(p, core, array, counters)
        if sequencer.elapsed == sequencer.tokens - 1:
            end_tokens(t, p, core)
        if array is None and (
            len(core.trace.cycles) > 0
            or sequencer.issued == sequencer.tokens * chunks[sequencer.chunk].pixels
        ):
            compute(t, p, core, counters)
    sequencer.elapsed += 1
    return cause


_nothing = njit(nothing, error_model="numpy")
_reset = njit(reset, error_model="numpy")
_array_of = njit(array_of, error_model="numpy")


@kept(parallel=True, error_model="numpy")
def run_registers(p, layer, found, maps, acc, gated, counters, sources=SOURCES):
    """`run_core` at register level on each image of a batch: HANDOVER [images], COUNTERS [images]."""
    for n in prange(len(acc)):
        one = Maps(maps.ifmap[n : n + 1], maps.flat)
        core = _reset(p, layer, one, acc[n : n + 1], gated[n : n + 1], _nothing(1))
        run_core(p, core, _array_of(p, layer), found[n], counters[n])
