"""Counts of many layers, each by its schedule: what `closed_form.counts` says of one."""

from __future__ import annotations

import numpy as np

from sim.systolic.bulk.accesses import CORE, core_of, count
from sim.systolic.bulk.compiled import SOURCES, entry, step
from sim.systolic.bulk.tiles import RUN, fits, prepare
from sim.systolic.bulk.walk import walk


@step
def layer(p, h, core, found, spent, accesses):
    """Cycles by cause and accesses of a layer; `found` becomes what it leaves."""
    runs = np.zeros(1, RUN)
    r = runs[0]
    prepare(p, h, r)
    fits(p, h, r)
    chunks = walk(p, h, r, found, spent)
    count(p, h, r, core, chunks, accesses)
    return runs[0].tiles


@entry
def layers(problems, hows, found, spent, accesses, sources=SOURCES):
    """Counts of layers by themselves.

    Args:
        problems, hows: PROBLEM and HOW [n].
        found: int64 [n, LEFT], what the layer before each left; becomes what each leaves.
        spent, accesses: int64 [n, SPENT] and [n, ACCESSES], filled in.
    """
    cores = np.zeros(len(problems), CORE)
    for n in range(len(problems)):
        core_of(problems[n], cores[n])
        layer(problems[n], hows[n], cores[n], found[n], spent[n], accesses[n])
