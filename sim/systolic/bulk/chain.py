"""A network by its plans: every layer behind those before it, compiled."""

from __future__ import annotations

import numpy as np

from sim.shapes import WORD
from sim.systolic.bulk.accesses import ACCESSES, CORE, DRAM, L1, L2, core_of
from sim.systolic.bulk.compiled import SOURCES, entry, step
from sim.systolic.bulk.counts import layer
from sim.systolic.bulk.tiles import RUN, ceil_div, fits, prepare, words
from sim.systolic.bulk.walk import LEFT, SPENT
from sim.systolic.results import CONTROL_CYCLES, PASS_STAGES

HEAD = 2
"""Cycles, and those of them with a token, before the accesses of a network."""

_TOKENS = SPENT.index("compute")
_ROOM = 1024
"""Layers that are remembered in a call, by schedule and what they found."""


@step
def pass_counts(q, p, source, left, accesses):
    """Cycles of a pass over maps; `left` becomes what it leaves, int64 [ACCESSES] is filled in."""
    brought = dram_there = 0
    dram = left[4]
    size = q.operand if q.operand and q.under <= p.ifmap_bytes else q.read
    if source:
        beats = ceil_div(size * 8, p.dma_bits)
        brought = p.dma_start + beats + (ceil_div(beats, 16) - 1) * p.burst_gap
    if source == 2:
        rows = ceil_div(size, p.row_bytes)
        dram = max(dram, 0) + ceil_div(size * 8, p.dram_bits) + rows * p.row_cycles
        dram_there = dram + p.dram_latency + p.dma_start
    end = max(CONTROL_CYCLES + q.work, brought, dram_there)
    end = _sent(q, p, end) + p.dma_start
    moved = (size if source == 2 else 0) + (q.written if q.needed > p.map_bytes else 0)
    accesses[:] = 0
    accesses[DRAM] = moved
    accesses[L2] = moved + (size if source else 0) + q.written
    accesses[L1] = q.read + (size if source else 0) + 2 * q.written
    for n in range(4):
        left[n] -= end
    left[4] = max(dram - end, left[1] + 1)
    return end


@step
def _beats(q, p, channels, first):
    """Beats of the batch of results that begins with this channel."""
    return ceil_div(8 * WORD * words(first, min(q.lanes, channels - first), 1), p.dma_bits)


@step
def _earlier(q, p, channels, batches, n):
    """Beats of the batches of a pixel before number n."""
    total = 0
    for m in range(min(n, WORD)):
        times = 1 + (n - 1 - m) // WORD
        total += times * _beats(q, p, channels, m * q.lanes)
    return total


@step
def _sent(q, p, end):
    """When the last batch of results has left: only the first and the last of the first and last pixel can decide."""
    channels = q.channels if q.channels else min(q.lanes, q.results)
    pixels, batches = ceil_div(q.results, channels), ceil_div(channels, q.lanes)
    count = pixels * batches
    pixel = _earlier(q, p, channels, batches, batches - 1) + _beats(q, p, channels, (batches - 1) * q.lanes)
    latest = 0
    for last in range(2):
        y = pixels - 1 if last else 0
        for m in range(min(batches, 2 * WORD + 1)):
            n = m if m < WORD else batches - 1 - (m - WORD)
            number = y * batches + n + 1
            complete = end if number == count else CONTROL_CYCLES + ceil_div(number * q.work, count)
            following = (pixels - y) * pixel - _earlier(q, p, channels, batches, n)
            latest = max(latest, complete - 1 + PASS_STAGES + following)
    return latest


@entry
def chains(problems, machine, passes, hows, of, plans, totals, digest=SOURCES):
    """Counts of whole networks by some plans on one machine.

    Args:
        problems: PROBLEM [m]; machine: PROBLEM [1], of which only the fields of the machine count.
        passes: PASS [m].
        hows: HOW [k], of each way to run a layer.
        of: int64 [k, 2], the problem of each, or -1 and the pass; of a pass only the source counts.
        plans: int64 [n, layers], ways to run each layer.
        totals: int64 [n, HEAD + ACCESSES], cycles, tokens and accesses, filled in.
    """
    cores, known = np.zeros(len(problems), CORE), np.zeros(len(problems), np.bool_)
    heads, following = np.full(len(hows), -1, np.int64), np.empty(_ROOM, np.int64)
    begins, ends = np.empty((_ROOM, LEFT), np.int64), np.empty((_ROOM, LEFT), np.int64)
    counted = np.empty((_ROOM, HEAD + ACCESSES), np.int64)
    spent, left = np.zeros(len(SPENT), np.int64), np.empty(LEFT, np.int64)
    used = 0
    for plan in range(len(plans)):
        left[0] = left[1] = -1
        left[2:] = 0
        for how in plans[plan]:
            entry_ = heads[how]
            while entry_ >= 0 and not _alike(begins[entry_], left):
                entry_ = following[entry_]
            if entry_ < 0:
                if used == _ROOM:
                    used = 0
                    heads[:] = -1
                entry_, used = used, used + 1
                following[entry_], heads[how] = heads[how], entry_
                begins[entry_] = left
                to = counted[entry_]
                which = of[how, 0]
                if which < 0:
                    to[0] = pass_counts(passes[of[how, 1]], machine[0], hows[how].source, left, to[HEAD:])
                    to[1] = 0
                else:
                    if not known[which]:
                        core_of(problems[which], cores[which])
                        known[which] = True
                    layer(problems[which], hows[how], cores[which], left, spent, to[HEAD:])
                    to[0], to[1] = spent.sum(), spent[_TOKENS]
                ends[entry_] = left
            left[:] = ends[entry_]
            totals[plan] += counted[entry_]


@step
def _alike(one, other):
    for n in range(LEFT):  # noqa: SIM110
        if one[n] != other[n]:
            return False
    return True


@entry
def runs(problems, hows, found, digest=SOURCES):
    """Whether schedules, HOW [n], run on problems, PROBLEM [n]; into bool [n]."""
    of = np.zeros(1, RUN)
    for n in range(len(hows)):
        prepare(problems[n], hows[n], of[0])
        found[n] = fits(problems[n], hows[n], of[0])
