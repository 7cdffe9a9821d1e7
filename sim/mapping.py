"""Which schedule a layer gets: exhaustive over A, B, D, loading mode and folding, by the closed form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from sim import technology
from sim.accelerator import Accelerator
from sim.counts import layer_counts
from sim.errors import InputError
from sim.results import LayerCounts
from sim.schedule import Format, Schedule, fold
from sim.shapes import ConvShape

OBJECTIVES = ("edp", "energy", "cycles")


def best_schedule(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int = 0, *,
    objective: str = "edp",
) -> Schedule:
    """The schedule with the least energy-delay product (or energy, or cycles).

    Ties go to fewer cycles, then to the smaller factors.

    Args:
        shape: the layer itself; the search decides on folding.
        form: what its weight stream carries (`sim.formats`).
        codewords: k of its codebook, 0 without one.
        objective: one of OBJECTIVES. Energy is on-chip and DRAM accesses, weighted by technology.

    Raises:
        InputError: no schedule fits; the message says which limit the last one tried breaks.
    """
    if objective not in OBJECTIVES:
        raise InputError("objective", objective, "unknown", f"use one of {', '.join(OBJECTIVES)}")
    # Equal layers share one search, whatever their names.
    anonymous = ConvShape("", shape.channels, shape.outputs, shape.kernel, shape.stride,
                          shape.padding, shape.size, "residual" if shape.residual else "")
    folded, factors = _search(anonymous, accelerator, form, codewords, objective)
    seen = fold(shape, accelerator, form) if folded else shape
    return Schedule(accelerator, seen, form, codewords, *factors)


def forget() -> None:
    """Empties the memory of past searches; for benchmarks."""
    _search.cache_clear()


@lru_cache(maxsize=4096)
def _search(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int, objective: str
) -> tuple[bool, tuple[int, int, int, bool, int]]:
    """Whether to fold, and a, b, d, overlap, tile_rows."""
    energy = technology.load(accelerator.technology).access_pj
    best: tuple[tuple[float, ...], Schedule] | None = None
    problem: InputError | None = None
    candidates = dict.fromkeys((shape, fold(shape, accelerator, form)))
    for seen, factors in ((s, f) for s in candidates for f in _factors(s, accelerator, form)):
        try:
            schedule = _largest_tile(seen, accelerator, form, codewords, factors)
        except InputError as error:
            problem = error
            continue
        counts = layer_counts(schedule, shape)
        spent = sum(count * energy[what] for what, count in counts.accesses.items())
        key = _key(counts, spent, objective)
        if best is None or key < best[0]:
            best = key, schedule
    if best is None:
        assert problem is not None
        raise problem
    s = best[1]
    return s.shape != shape, (s.a, s.b, s.d, s.overlap, s.tile_rows)


def _key(counts: LayerCounts, spent: float, objective: str) -> tuple[float, ...]:
    cycles = counts.total_cycles
    first = {"edp": spent * cycles, "energy": spent, "cycles": cycles}[objective]
    return first, cycles


def _factors(
    shape: ConvShape, accelerator: Accelerator, form: Format
) -> Iterator[tuple[int, int, int, bool]]:
    """Legal (A, B, D, overlap), small ones first."""
    split = accelerator.split if form == "split" else 1
    outputs = -(-shape.outputs // accelerator.columns)
    channels = -(-shape.channels // accelerator.rows)
    positions = shape.kernel[0] * shape.kernel[1]
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


def _largest_tile(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int,
    factors: tuple[int, int, int, bool],
) -> Schedule:
    """The schedule with as many output rows to a tile as L1 holds, evenly spread."""
    one = Schedule(accelerator, shape, form, codewords, *factors, 1)
    kernel, stride = shape.kernel[0], shape.stride[0]
    line = shape.size[1] * shape.channels
    rows = shape.out_h
    if shape.size[0] * line > accelerator.ifmap_bytes:
        rows = min(rows, (accelerator.ifmap_bytes // line - kernel) // stride + 1)
    if one.psum_tile_bytes:
        rows = min(rows, accelerator.psum_bytes // one.psum_tile_bytes)
    rows = max(rows, 1)
    tiles = -(-shape.out_h // rows)
    return Schedule(accelerator, shape, form, codewords, *factors, -(-shape.out_h // tiles))
