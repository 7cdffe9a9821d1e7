"""Branch and bound over schedules (`sim.systolic.mapping`), compiled: the same boxes, in the same order.

But for boxes without a schedule within the limits, which are not kept for the next step to drop: of an objective that
is not found the lowest bound is no higher than its limit, so that they decide nothing.
"""

from __future__ import annotations

import numpy as np

from sim.systolic.bulk.accesses import ACCESSES, CORE
from sim.systolic.bulk.bounds import LAYER, bound, layer_of, score, within
from sim.systolic.bulk.boxes import BOX, CUTS, all_boxes, copy_box, evenly, is_single, parts_of
from sim.systolic.bulk.compiled import SOURCES, entry, step
from sim.systolic.bulk.counts import layer
from sim.systolic.bulk.factors import factors_of, triples
from sim.systolic.bulk.problem import HOW
from sim.systolic.bulk.tiles import RUN, fits, prepare
from sim.systolic.bulk.walk import SPENT
from sim.systolic.mapping import CUT, IDLE, OBJECTIVES, PATIENCE, TOLERANCE, WORK

_GOALS = len(OBJECTIVES)
_TOLERANCES = np.array(list(TOLERANCE.values()))
FOUND = np.dtype(
    [(name, HOW[name]) for name in HOW.names]
    + [("gap", np.float64), ("cycles", np.int64), ("accesses", np.int64, ACCESSES)]
)
"""A schedule, its gap (`mapping.Found`), and the counts of the layer alone."""


@step
def _space(p, source, other):
    """The space of a problem: (LAYER [1], CORE [1], FACTORS) and BOX, none where no schedule fits or not `other`."""
    ofs, cores = np.zeros(1, LAYER), np.zeros(1, CORE)
    layer_of(p, cores[0], source, ofs[0])
    hows, runs = np.zeros(1, HOW), np.zeros(1, RUN)
    h = hows[0]
    h.A = h.B = h.D = h.columns = 1
    h.rows, h.outer = p.least_rows, p.pooled
    h.split = p.channels > p.rows or (p.residual and p.outputs > p.columns)
    found = np.empty((0, 4), np.int64)
    there = (
        other
        and p.split <= p.wrf_depth
        and p.arf_depth >= 2
        and (ofs[0].from_dram or p.needed <= p.map_bytes)
    )
    if there:
        prepare(p, h, runs[0])
        if fits(p, h, runs[0]):
            found = triples(p)
    factors = factors_of(p, found, ofs[0].codebook, ofs[0].fetched)
    return (ofs, cores, factors), all_boxes(p, found, factors)


@step
def _bounds(p, of, energy, limits, found, boxes, scores):
    """Fills in float64 [n, OBJECTIVES] of boxes, those first that may hold a schedule within the limits; how many."""
    ofs, cores, factors = of
    accesses = np.empty(ACCESSES, np.int64)
    n = 0
    for m in range(len(boxes)):
        f = factors[boxes[m].factors]
        if bound(p, f, boxes[m], ofs[0], cores[0], energy, limits, found, accesses, scores[n]):
            if n < m:
                copy_box(boxes[n], boxes[m])
            n += 1
    return n


@step
def _how(p, f, b, stays, from_dram, h):
    """The schedule of a box that holds one."""
    h.A, h.B, h.D, h.rows, h.columns = f.A, f.B, f.D, b.rows, b.columns
    h.overlap, h.outer, h.split, h.folded = b.overlap, b.outer, b.split, p.folded
    resident = stays and b.rows == p.out_h and b.columns == p.out_w and not b.split
    h.source = 0 if resident else 2 if from_dram else 1


@step
def _seeds(p, of, energy, boxes):
    """BOX [n] and scores of the most promising of evenly spread tiles, for each objective, by splits and banks."""
    ofs, cores, factors = of
    even = evenly(p, factors, boxes)
    scores, accesses = np.empty((len(even), _GOALS)), np.empty(ACCESSES, np.int64)
    limits, none = np.full((4, _GOALS), np.inf), np.zeros(_GOALS, np.bool_)  # the best yet, by kind
    chosen = np.full(4 * _GOALS, -1, np.int64)
    for n in range(len(even)):
        kind, f = 2 * even[n].split + even[n].overlap, factors[even[n].factors]
        if not bound(p, f, even[n], ofs[0], cores[0], energy, limits[kind], none, accesses, scores[n]):
            continue
        for goal in range(_GOALS):
            if scores[n, goal] < limits[kind, goal]:
                limits[kind, goal] = scores[n, goal]
                chosen[_GOALS * kind + goal] = n
    which = np.empty(len(chosen), np.int64)
    n = 0
    for one in chosen:
        fresh = one >= 0
        for m in range(n):
            fresh = fresh and which[m] != one
        if fresh:
            which[n] = one
            n += 1
    return _chosen(even, scores, which[:n])


@step
def _keep(boxes, scores, count, limits, found):
    """Drops boxes that lie above the limits of all objectives not found; how many stay."""
    n = 0
    for m in range(count):
        if within(scores[m], limits, found):
            if n < m:
                copy_box(boxes[n], boxes[m])
                scores[n] = scores[m]
            n += 1
    return n


@step
def _nearest(boxes, scores, count, lowest, found):
    """Numbers of the boxes to cut, those nearest to a lowest bound, and of the single schedules to try."""
    cut, distances = np.empty(CUT, np.int64), np.empty(CUT)
    best = np.full(_GOALS, -1, np.int64)
    n = 0
    for m in range(count):
        if is_single(boxes[m]):
            for goal in range(_GOALS):
                if not found[goal] and (best[goal] < 0 or scores[m, goal] < scores[best[goal], goal]):
                    best[goal] = m
            continue
        near = np.inf
        for goal in range(_GOALS):
            if not found[goal]:
                near = min(near, scores[m, goal] / lowest[goal])
        if n == CUT and near >= distances[n - 1]:
            continue
        place = n if n < CUT else CUT - 1
        while place and near < distances[place - 1]:
            distances[place], cut[place] = distances[place - 1], cut[place - 1]
            place -= 1
        distances[place], cut[place] = near, m
        n = min(n + 1, CUT)
    tried = np.empty(_GOALS, np.int64)
    m = 0
    for one in best:
        place = m
        while place and one < tried[place - 1]:
            place -= 1
        if one < 0 or (place and one == tried[place - 1]):
            continue
        for after in range(m, place, -1):
            tried[after] = tried[after - 1]
        tried[place], m = one, m + 1
    return cut[:n], tried[:m]


@step
def _chosen(boxes, scores, which):
    """Copies of some boxes and of their scores."""
    some, theirs = np.empty(len(which), BOX), np.empty((len(which), _GOALS))
    for n in range(len(which)):
        copy_box(some[n], boxes[which[n]])
        for goal in range(_GOALS):
            theirs[n, goal] = scores[which[n], goal]
    return some, theirs


@step
def _take_out(boxes, scores, count, cut, tried):
    """Without those; how many stay."""
    gone = np.zeros(count, np.bool_)
    for one in cut:
        gone[one] = True
    for one in tried:
        gone[one] = True
    n = 0
    for m in range(count):
        if not gone[m]:
            if n < m:
                copy_box(boxes[n], boxes[m])
                scores[n] = scores[m]
            n += 1
    return n


@step
def _room(boxes, scores, count, more):
    """The same boxes and scores in arrays with room for more."""
    if count + more <= len(boxes):
        return boxes, scores
    wider, theirs = np.empty(2 * (count + more), BOX), np.empty((2 * (count + more), _GOALS))
    for n in range(count):
        copy_box(wider[n], boxes[n])
        theirs[n] = scores[n]
    return wider, theirs


@step
def _try(p, f, b, ofs, cores, energy, best, limits, found):
    """Counts the schedule of a box, and keeps it where it is the best yet by an objective that is not found."""
    hows, left = np.zeros(1, HOW), np.array([-1, -1, 0, 0, 0], np.int64)
    spent, accesses, scores = np.zeros(len(SPENT), np.int64), np.zeros(ACCESSES, np.int64), np.empty(_GOALS)
    h = hows[0]
    _how(p, f, b, ofs[0].stays, ofs[0].from_dram, h)
    layer(p, h, cores[0], left, spent, accesses)
    cycles = spent.sum()
    score(cycles, accesses, energy, scores)
    for goal in range(_GOALS):
        to = best[goal]
        if found[goal]:
            continue
        if to.A == 0 or scores[goal] < limits[goal] or (scores[goal] == limits[goal] and cycles < to.cycles):
            limits[goal] = scores[goal]
            to.A, to.B, to.D, to.rows, to.columns = h.A, h.B, h.D, h.rows, h.columns
            to.overlap, to.outer, to.split, to.source = h.overlap, h.outer, h.split, h.source
            to.folded, to.cycles = h.folded, cycles
            to.accesses[:] = accesses


@step
def _settle(found, best, limits, lowest, growth):
    """Marks the objectives whose best schedule is proven to the tolerance; whether all are."""
    every = True
    for goal in range(_GOALS):
        if not found[goal] and limits[goal] <= lowest[goal] * (1 + growth * _TOLERANCES[goal]):
            found[goal] = True
            best[goal].gap = max(best[goal].gap, limits[goal] / lowest[goal] - 1)
        every = every and found[goal]
    return every


@step
def _worth_trying(scores, limits, found):
    """Not where a trial just before is as good."""
    for goal in range(_GOALS):  # noqa: SIM110
        if not found[goal] and scores[goal] * (1 + _TOLERANCES[goal]) <= limits[goal]:
            return True
    return False


@step
def search(problems, source, energy, best):
    """Fills in FOUND [OBJECTIVES] of a layer, of its problems; A stays 0 where no schedule fits."""
    p = problems[0]
    patience = min(max(WORK // max(p.macs, 1), PATIENCE[0]), PATIENCE[1])
    limits = np.full(_GOALS, np.inf)
    alike = 2 if len(problems) > 1 and problems[1].kernel_y == p.kernel_y else 1
    _improve(p, problems[alike - 1], alike == 2, patience, source, energy, best, limits)
    for n in range(alike, len(problems)):
        _improve(problems[n], problems[n], False, patience, source, energy, best, limits)


@step
def _improve(p, q, two, patience, source, energy, best, limits):
    """Tries schedules of a problem, or of two, until none can be better by more than the tolerance."""
    own, boxes = _space(p, source, True)
    other, boxes_ = _space(q, source, two)
    if len(boxes) + len(boxes_) == 0:
        return
    lowest, found = np.empty(_GOALS), np.zeros(_GOALS, np.bool_)
    now, theirs = _seeds(p, own, energy, boxes)
    now_, theirs_ = _seeds(q, other, energy, boxes_)
    _all(p, own, energy, best, limits, found, now, theirs)
    _all(q, other, energy, best, limits, found, now_, theirs_)
    scores, scores_ = np.empty((len(boxes), _GOALS)), np.empty((len(boxes_), _GOALS))
    count = _bounds(p, own, energy, limits, found, boxes, scores)
    count_ = _bounds(q, other, energy, limits, found, boxes_, scores_)
    trials = 0.0
    while True:
        for goal in range(_GOALS):
            lowest[goal] = min(_least(scores, count, goal), _least(scores_, count_, goal))
        if _settle(found, best, limits, lowest, max(1.0, trials / patience)):
            return
        boxes, scores, count, now, theirs = _advance(
            p, own, energy, boxes, scores, count, limits, lowest, found
        )
        boxes_, scores_, count_, now_, theirs_ = _advance(
            q, other, energy, boxes_, scores_, count_, limits, lowest, found
        )
        tried = _all(p, own, energy, best, limits, found, now, theirs)
        tried += _all(q, other, energy, best, limits, found, now_, theirs_)
        trials += tried + IDLE * (len(now) + len(now_) == 0)


@step
def _least(scores, count, goal):
    least = np.inf
    for n in range(count):
        least = min(least, scores[n, goal])
    return least


@step
def _all(p, of, energy, best, limits, found, boxes, scores):
    """Tries single schedules; how many."""
    ofs, cores, factors = of
    tried = 0
    for n in range(len(boxes)):
        if _worth_trying(scores[n], limits, found):
            _try(p, factors[boxes[n].factors], boxes[n], ofs, cores, energy, best, limits, found)
            tried += 1
    return tried


@step
def _advance(p, of, energy, boxes, scores, count, limits, lowest, found):
    """Drops and cuts boxes of a space; the boxes that are left, and those of single schedules to try."""
    count = _keep(boxes, scores, count, limits, found)
    cut, tried = _nearest(boxes, scores, count, lowest, found)
    now, theirs = _chosen(boxes, scores, tried)
    parts = np.empty(CUTS * len(cut), BOX)
    fresh = parts_of(p, of[2], boxes, cut, parts)
    count = _take_out(boxes, scores, count, cut, tried)
    theirs_ = np.empty((fresh, _GOALS))
    fresh = _bounds(p, of, energy, limits, found, parts[:fresh], theirs_)
    boxes, scores = _room(boxes, scores, count, fresh)
    for n in range(fresh):
        copy_box(boxes[count + n], parts[n])
        scores[count + n] = theirs_[n]
    return boxes, scores, count + fresh, now, theirs


@entry
def searches(problems, edges, sources, energies, best, digest=SOURCES):
    """Searches of many layers, each by itself.

    Args:
        problems: PROBLEM [m]; layer n has those from edges[n] to edges[n + 1].
        sources: int64 [n], where its ifmap is, as in SOURCES.
        energies: float64 [n, ENERGIES].
        best: FOUND [n, OBJECTIVES], zeros, filled in.
    """
    for n in range(len(sources)):
        search(problems[edges[n] : edges[n + 1]], sources[n], energies[n], best[n])
