"""Cycles in which each unit plays alone: none begins or ends what another one waits for.

The rules of a cycle are those of the steps. Here is only until when units cannot meet: so long the loader takes its
cycles one after the other, and then the sequencer its slots.
"""

from __future__ import annotations

import numpy as np

from sim.systolic.engine.compiled import step
from sim.systolic.engine.counters import Cause
from sim.systolic.engine.decoding import Mode
from sim.systolic.engine.loader_step import begins
from sim.systolic.engine.memory_step import acts
from sim.systolic.engine.sequencer_step import begin_slot, end_slot, waits_for
from sim.systolic.engine.state import NEVER
from sim.systolic.engine.token import end_tokens


@step
def meeting(t, p, core):
    """The first cycle, t or later, in which units may meet."""
    end = _sequencer_meets(t, p, core)
    if end > t and p.memory:
        end = min(end, acts(p, core))
    return min(end, 0) if t < 0 else end


@step
def _sequencer_meets(t, p, core):
    """The same for the sequencer and any other unit."""
    sequencer, loader = core.sequencer[0], core.loader[0]
    if sequencer.drained != NEVER:
        return sequencer.drained
    if not sequencer.in_slot:
        sequencer.stall, until = waits_for(t, p, core, False)
        return t if sequencer.stall == Cause.WEIGHT and p.mode == Mode.ROM else until
    left = core.layer.chunks[sequencer.chunk].pixels - 1 - sequencer.pixel
    waiting = max(sequencer.tokens - sequencer.elapsed, 0) + left * sequencer.tokens
    if waiting == 0:
        return t + sequencer.length - sequencer.elapsed
    if (loader.job - sequencer.chunk) & (p.banks - 1) == 0 and (loader.active or begins(p, core) < NEVER):
        return t  # it must not write what tokens use: if it does, cycle by cycle
    return t + waiting - 1


@step
def sequence_alone(t, end, p, core, counters):
    """The sequencer from t up to `end`: it waits, or goes on with the slots of its chunk."""
    sequencer = core.sequencer[0]
    if sequencer.drained != NEVER:
        counters.spent[Cause.DRAIN] += end - t
    elif sequencer.in_slot:
        _slots_alone(t, end, p, core, counters)
    elif t >= 0:
        counters.spent[sequencer.stall] += end - t


@step
def _slots_alone(t, end, p, core, counters):
    """Slots of the chunk at hand from t up to `end`."""
    sequencer = core.sequencer[0]
    while t < end:
        if sequencer.elapsed == 0:
            t = _equal_slots(t, end, p, core, counters)
        if sequencer.elapsed < sequencer.tokens:
            cycles = min(end - t, sequencer.tokens - sequencer.elapsed)
            sequencer.issued += cycles
            cause = np.int64(Cause.COMPUTE)
        elif sequencer.elapsed < sequencer.length:
            cycles = min(end - t, sequencer.length - sequencer.elapsed)
            cause = sequencer.stall
        else:
            end_slot(t, core)
            begin_slot(p, core, counters)
            continue
        counters.spent[cause] += cycles
        sequencer.elapsed += cycles
        t += cycles
        if cause == Cause.COMPUTE and sequencer.elapsed == sequencer.tokens:
            end_tokens(t - 1, p, core)


@step
def _equal_slots(t, end, p, core, counters):
    """Slots that begin in t and are as long as the next one: those inside a row but its last two; returns their end."""
    sequencer = core.sequencer[0]
    width = np.int64(core.layer.chunks[sequencer.chunk].width)
    slots = min(width - 2 - sequencer.pixel % width, (end - t) // sequencer.length)
    if slots <= 0:
        return t
    for n in range(slots):
        end_tokens(t + n * sequencer.length + sequencer.tokens - 1, p, core)
        sequencer.pixel += 1
    sequencer.issued += slots * sequencer.tokens
    counters.spent[Cause.COMPUTE] += slots * sequencer.tokens
    counters.spent[sequencer.stall] += slots * (sequencer.length - sequencer.tokens)
    return t + slots * sequencer.length
