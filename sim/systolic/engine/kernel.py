"""The machine, one cycle after another (docs/timing.md).

Two depths share this loop. At value level a token's psum row is computed when it issues, from what the
loader has written into the WRF by then; at register level `engine.registers` clocks every register.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from sim.kept import kept
from sim.systolic.engine.compiled import SOURCES, step
from sim.systolic.engine.counters import Cause
from sim.systolic.engine.loader_step import load_rows, receive
from sim.systolic.engine.memory_step import bring_tiles, read_dram
from sim.systolic.engine.sequencer_step import begin_slot, end_slot, stall_of_slot, waits_for
from sim.systolic.engine.state import NEVER, Trace, hand_over, reset, take_over
from sim.systolic.engine.token import clock_array, end_tokens, issue


@kept(error_model="numpy")
def run_core(p, layer, found, x, acc, trace, counters, sources=SOURCES):
    """Runs one layer on one ifmap.

    Args:
        p: Parameters.
        layer: Layer.
        found: HANDOVER that the layer finds; receives the one that it leaves.
        x: int8 [H', W', C'], padded ifmap, channels last.
        acc: int32 [OH, OW, K], receives the finished psums.
        trace: Trace, receives every emitted row while there is room.
        counters: COUNTERS.
        sources: to be left out; see `compiled.SOURCES`.
    """
    core = reset(p, layer, x, acc, trace)
    loader, sequencer = core.loader[0], core.sequencer[0]
    t = take_over(p, core, found)
    while True:
        if p.registers:
            clock_array(t, core)
        end_slot(t, core)
        if p.memory:
            bring_tiles(t, p, core)
            read_dram(t, p, core)
        receive(t, p, core, counters)
        rom_serves = load_rows(t, p, core, counters)
        cause = np.int64(Cause.DRAIN)
        if sequencer.drained == NEVER:
            cause = _sequence(t, p, core, rom_serves, counters)
        if t >= 0:
            counters.spent[cause] += 1
        loader.visible = loader.sent * p.port
        if t == sequencer.drained:
            break
        t += 1
    counters.core_cycles = t + 1
    hand_over(t, p, core, found)


@step
def _sequence(t, p, core, rom_serves, counters):
    """A cycle of the sequencer: at most a slot begins and a token issues; returns what it goes to."""
    sequencer = core.sequencer[0]
    if not sequencer.in_slot:
        cause = waits_for(t, p, core, rom_serves)
        if cause != Cause.COMPUTE:
            return np.int64(cause)
        begin_slot(p, core, counters)
    cause = stall_of_slot(t, p, core)
    if sequencer.elapsed < sequencer.tokens:
        cause = np.int64(Cause.COMPUTE)
        issue(t, p, core, counters)
        if sequencer.elapsed == sequencer.tokens - 1:
            end_tokens(t, p, core)
    sequencer.elapsed += 1
    return cause


@kept(parallel=True, error_model="numpy")
def run_batch(p, layer, found, x, acc, counters, sources=SOURCES):
    """`run_core` on a batch: HANDOVER [n], int8 [n, H', W', C'], int32 [n, OH, OW, K], COUNTERS [n]."""
    nothing = Trace(np.zeros((0, 1), np.int32), np.zeros(0, np.int64))
    for n in prange(len(x)):
        run_core(p, layer, found[n], x[n], acc[n], nothing, counters[n])
