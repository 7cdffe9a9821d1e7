"""Which schedule a layer gets: exhaustive over A, B, D, loading mode, folding, tile and loop order.

Branch and bound by the closed form: candidates are tried in the order of a lower bound, until the
bound exceeds the best found; no better one is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from sim import technology
from sim.accelerator import Accelerator
from sim.counts import layer_accesses, layer_counts
from sim.errors import InputError
from sim.schedule import Format, Schedule, Source, fold, spills
from sim.shapes import ConvShape

OBJECTIVES = ("edp", "energy", "cycles")


def best_schedule(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int = 0, *,
    objective: str = "edp", source: Source = "l2",
) -> Schedule:
    """The schedule with the least energy-delay product (or energy, or cycles) of the layer alone.

    Ties go to fewer cycles, then to the smaller factors.

    Args:
        shape: the layer itself; the search decides on folding.
        form: what its weight stream carries (`sim.formats`).
        codewords: k of its codebook, 0 without one.
        objective: one of OBJECTIVES. Energy is on-chip and DRAM accesses, weighted by technology.
        source: where the ifmap is; one in "l1" is used from there if it stays one tile.

    Raises:
        InputError: no schedule fits; the message says which limit the last one tried breaks.
    """
    if objective not in OBJECTIVES:
        raise InputError("objective", objective, "unknown", f"use one of {', '.join(OBJECTIVES)}")
    # Equal layers share one search, whatever their names.
    anonymous = replace(shape, name="", residual="residual" if shape.residual else "", chained=True)
    try:
        folded, choice = _search(anonymous, accelerator, form, codewords, objective, source)
    except InputError as error:
        raise InputError(f"{shape.name}: {error.field}", error.value, error.problem, error.fix) from None
    seen = fold(shape, accelerator, form) if folded else shape
    return replace(choice, shape=seen)


def forget() -> None:
    """Empties the memory of past searches; for benchmarks."""
    _search.cache_clear()


@lru_cache(maxsize=4096)
def _search(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int, objective: str, source: Source
) -> tuple[bool, Schedule]:
    """Whether to fold, and the schedule."""
    energy = technology.load(accelerator.technology).access_pj
    candidates: list[tuple[tuple[float, float], Schedule]] = []
    problem: InputError | None = None
    base: Source = "dram" if source == "dram" or spills(shape, accelerator) else "l2"
    for seen in dict.fromkeys((shape, fold(shape, accelerator, form))):
        for factors in _factors(seen, accelerator, form):
            try:
                one = Schedule(accelerator, seen, form, codewords, *factors, source=base)
                found = list(_tiled(one, "l1" if source == "l1" and seen is shape else one.source))
            except InputError as error:
                problem = error
                continue
            candidates += [(_bound(schedule, shape, energy, objective), schedule) for schedule in found]
    if not candidates:
        assert problem is not None
        raise problem
    candidates.sort(key=lambda candidate: candidate[0])
    best: tuple[tuple[float, float], Schedule] | None = None
    for bound, schedule in candidates:
        if best is not None and bound[0] > best[0][0]:
            break
        counts, _ = layer_counts(schedule, shape)
        spent = sum(count * energy[what] for what, count in counts.accesses.items())
        key = _key(counts.total_cycles, spent, objective)
        if best is None or key < best[0]:
            best = key, schedule
    assert best is not None
    return best[1].shape != shape, best[1]


def _key(cycles: float, spent: float, objective: str) -> tuple[float, float]:
    first = {"edp": spent * cycles, "energy": spent, "cycles": cycles}[objective]
    return first, cycles


def _bound(
    schedule: Schedule, shape: ConvShape, energy: dict[str, float], objective: str
) -> tuple[float, float]:
    """A key that the schedule's own cannot undercut."""
    acc, layer = schedule.accelerator, schedule.shape
    accesses = layer_accesses(schedule, shape)
    spent = sum(count * energy[what] for what, count in accesses.items())
    pixels = layer.out_h * layer.out_w
    trips_i, trips_j, trips_k = schedule.trips
    groups = schedule.parts * schedule.output_groups
    tokens = pixels * groups * schedule.channel_groups * schedule.positions * schedule.split
    psums = pixels * groups * schedule.psum_cycles(1) * (trips_j * trips_k - 1)
    cycles = max(tokens, psums * (3 - acc.psum_ports), pixels * groups * schedule.store_cycles(1),
                 shape.ofmap_bytes * 8 // acc.dma_bits)
    return _key(cycles, spent, objective)


def _factors(
    shape: ConvShape, accelerator: Accelerator, form: Format
) -> Iterator[tuple[int, int, int, bool]]:
    """Legal (A, B, D, overlap), small ones first."""
    split = accelerator.split if form == "split" else 1
    outputs = -(-shape.outputs // shape.groups // accelerator.columns)
    channels = -(-shape.channels // shape.groups // accelerator.rows)
    positions = shape.kernel[0] * shape.kernel[1]
    if form == "block":
        outputs = channels = 1
    if accelerator.dataflow == "ws":
        outputs = channels = positions = 1
    if accelerator.extension is not None:
        limits = zip((outputs, channels, positions), accelerator.extension, strict=True)
        a, b, d = (min(pair) for pair in limits)
        yield a, b, d, 2 * a * b * d * split <= accelerator.wrf_depth
        return
    for overlap in (True, False):
        depth = accelerator.wrf_depth // (2 if overlap else 1) // split
        for a in range(1, min(outputs, depth, accelerator.prf_depth) + 1):
            for b in range(1, min(channels, depth // a) + 1):
                for d in range(1, min(positions, depth // (a * b)) + 1):
                    if 2 * b * d <= accelerator.arf_depth:
                        yield a, b, d, overlap


def _tiled(one: Schedule, source: Source) -> Iterator[Schedule]:
    """Schedules with as many output rows to a tile as L1 holds, once or doubly buffered, evenly spread.

    Args:
        one: the schedule with tiles of one row.
        source: "l1" if the ifmap may stay where it is.
    """
    shape, acc = one.shape, one.accelerator
    kernel = (shape.kernel[0] - 1) * shape.dilation[0] + 1
    line = shape.size[1] * one.channels
    for buffers in (1, 2):
        rows = shape.out_h
        if shape.size[0] * line * buffers > acc.ifmap_bytes:
            rows = min(rows, (acc.ifmap_bytes // buffers // line - kernel) // shape.stride[0] + 1)
        if one.psum_tile_bytes:
            rows = min(rows, acc.psum_bytes // one.psum_tile_bytes)
        if one.backlog_bytes:
            rows = min(rows, acc.ofmap_bytes // one.backlog_bytes)
        if rows < 1:
            continue
        tiles = -(-shape.out_h // rows)
        rows = -(-shape.out_h // tiles)
        if tiles == 1:
            stays = source == "l1" and not one.spills
            yield replace(one, tile_rows=rows, source="l1" if stays else one.source)
            return
        yield replace(one, tile_rows=rows)
        if one.trips[0] > 1:
            yield replace(one, tile_rows=rows, outputs_outer=True)
