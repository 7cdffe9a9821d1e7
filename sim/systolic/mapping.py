"""Which schedule a layer gets: exhaustive over A, B, D, loading mode, folding, loop order, some tile sizes.

Branch and bound: all candidates get a lower bound at once (arrays), and are then tried with the closed
form from the lowest bound on, until the bound exceeds the best found; no better one is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from sim import technology
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import WORD, ConvShape
from sim.systolic.closed_form import counts
from sim.systolic.closed_form.counts import core_counts, ifmap_reads, layer_accesses
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES
from sim.systolic.schedule import Format, Schedule, Source, fold, spills
from sim.systolic.tiling import ifmap_lines

OBJECTIVES = ("edp", "energy", "cycles")
TILES = (1, 2)
"""How many times more spatial tiles than L1 asks for: the next one loads while one computes."""


def best_schedule(
    shape: ConvShape,
    accelerator: Accelerator,
    form: Format,
    codewords: int = 0,
    *,
    objective: str = "edp",
    source: Source = "l2",
) -> Schedule:
    """The schedule with the least energy-delay product (or energy, or cycles) of the layer alone.

    Its shape is nameless, so that equal layers have equal schedules. Ties go to fewer cycles.

    Args:
        shape: the layer itself; the search decides on folding.
        form: what its weight stream carries (`sim.systolic.streams`).
        codewords: k of its codebook, 0 without one.
        objective: one of OBJECTIVES. Energy is on-chip and DRAM accesses, weighted by technology.
        source: where the ifmap is; one in "l1" is used from there if it stays one tile.

    Raises:
        InputError: no schedule fits; the message names the layer and the limit that it breaks.
    """
    if objective not in OBJECTIVES:
        raise InputError("objective", objective, "unknown", f"use one of {', '.join(OBJECTIVES)}")
    # Equal layers share one search, whatever their names.
    anonymous = replace(shape, name="", residual="residual" if shape.residual else "", chained=True)
    try:
        return _search(anonymous, accelerator, form, codewords, objective, source)
    except InputError as error:
        raise InputError(f"{shape.name}: {error.field}", error.value, error.problem, error.fix) from None


def forget() -> None:
    """Empties the memory of past searches and of the layers counted for them; for benchmarks."""
    _search.cache_clear()
    counts.forget()


def candidates(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int, source: Source
) -> Iterator[Schedule]:
    """Every schedule that the search considers, in no particular order of merit."""
    for space in _spaces(shape, accelerator, form, codewords, source):
        for n in range(len(space.a)):
            yield space.schedule(n)


@lru_cache(maxsize=4096)
def _search(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int, objective: str, source: Source
) -> Schedule:
    _, energy = technology.mapping_energy(accelerator)
    spaces = _spaces(shape, accelerator, form, codewords, source)
    bounds = [_bounds(space, shape, energy, objective) for space in spaces]
    ranked = sorted(
        (bound, number, n) for number, found in enumerate(bounds) for n, bound in enumerate(found)
    )
    best: tuple[tuple[float, float], Schedule] | None = None
    for bound, number, n in ranked:
        if best is not None and bound > best[0][0]:
            break
        schedule = spaces[number].schedule(n)
        found, _ = counts.layer_counts(schedule, shape)
        spent = sum(count * energy[what] for what, count in found.accesses.items())
        cycles = found.total_cycles
        key = (_objective(cycles, spent, objective), cycles)
        if best is None or key < best[0]:
            best = key, schedule
    assert best is not None
    return best[1]


def _objective(cycles: Any, spent: Any, objective: str) -> Any:
    """Of numbers or arrays."""
    return {"edp": spent * cycles, "energy": spent, "cycles": cycles + 0.0 * spent}[objective]


@dataclass(frozen=True, eq=False)
class _Space:
    """Candidates of one way to see the layer, folded or not; one element a candidate, int64 [n]."""

    base: Schedule  # with A = B = D = 1 and the smallest tiles
    stays: bool  # a single tile may be used where it is, in L1
    a: np.ndarray
    b: np.ndarray
    d: np.ndarray
    overlap: np.ndarray
    rows: np.ndarray
    outer: np.ndarray
    split: np.ndarray

    def schedule(self, n: int) -> Schedule:
        one_tile = self.rows[n] == self.base.shape.out_h
        return replace(
            self.base,
            a=int(self.a[n]),
            b=int(self.b[n]),
            d=int(self.d[n]),
            overlap=bool(self.overlap[n]),
            tile_rows=int(self.rows[n]),
            outputs_outer=bool(self.outer[n]),
            split_channels=bool(self.split[n]),
            source="l1" if self.stays and one_tile and not self.split[n] else self.base.source,
        )


def _spaces(
    shape: ConvShape, accelerator: Accelerator, form: Format, codewords: int, source: Source
) -> list[_Space]:
    base = _base(source, shape, accelerator)
    found, problem = [], None
    for seen in dict.fromkeys((shape, fold(shape, accelerator, form))):
        try:
            # The smallest tiles, of the residual operand too.
            split = -(-seen.channels // seen.groups // accelerator.rows) > 1 or (
                bool(seen.residual) and -(-seen.outputs // seen.groups // accelerator.columns) > 1
            )
            one = Schedule(
                accelerator, seen, form, codewords, overlap=False, split_channels=split, source=base
            )
        except InputError as error:
            problem = problem or error
            continue
        found.append(_space(one, source == "l1" and seen is shape and base == "l2"))
    if not found:
        assert problem is not None
        raise problem
    return found


def _base(source: Source, shape: ConvShape, accelerator: Accelerator) -> Source:
    return "dram" if source == "dram" or spills(shape, accelerator) else "l2"


def _space(one: Schedule, stays: bool) -> _Space:
    """Legal factors, each with tiles as large as L1 holds, once or doubly buffered, and finer ones."""
    acc, shape = one.accelerator, one.shape
    a, b, d, overlap = _factors(one)
    kernel = (shape.kernel[0] - 1) * shape.dilation[0] + 1
    trips_j, trips_k = -(-one.channel_groups // b), -(-one.positions // d)
    columns = np.minimum(a * acc.columns, one.outputs)
    psum_line = np.where(trips_j * trips_k > 1, shape.out_w * columns * acc.psum_store_bits // 8, 0)
    last = (one.channel_groups - (trips_j - 1) * b) * (one.positions - (trips_k - 1) * d) * one.split
    backlog = shape.out_w * np.array(
        [one.tiling.waiting_bytes(*pair) for pair in zip(a.tolist(), last.tolist(), strict=True)], np.int64
    )
    trips_i = -(-one.output_groups // a)
    parts = []
    for buffers, outer, split in product((1, 2), (False, True), (False, True)):
        line = WORD * shape.size[1] * _per_step(one.tiling.ifmap_words, one.channels, b * acc.rows, split)[0]
        room = acc.ifmap_bytes // buffers // line
        residual = (
            WORD
            * shape.out_w
            * _per_step(one.tiling.residual_words, one.outputs, a * acc.columns, split or outer)[0]
        )
        rows = np.minimum(shape.out_h, (room - kernel) // shape.stride[0] + 1)
        rows = np.where(room >= shape.size[0], shape.out_h, rows)
        for size, limit in (
            (psum_line, acc.psum_bytes),
            (backlog, acc.ofmap_bytes),
            (residual, acc.residual_bytes // buffers),
        ):
            rows = np.minimum(rows, limit // np.maximum(size, 1))
        for finer in TILES:
            tiles = np.minimum(-(-shape.out_h // np.maximum(rows, 1)) * finer, shape.out_h)
            even = -(-shape.out_h // tiles)
            fits = rows >= 1
            if split:
                fits &= (trips_j > 1) | ((trips_i > 1) & bool(shape.residual))
            if outer:
                fits &= (tiles > 1) & (trips_i > 1)
            parts.append(
                [
                    field[fits]
                    for field in (a, b, d, overlap, even, np.full(len(a), outer), np.full(len(a), split))
                ]
            )
    rows = np.stack([np.concatenate(column) for column in zip(*parts, strict=True)])
    a, b, d, overlap, even, outer, split = np.unique(rows, axis=1)
    return _Space(one, stays, a, b, d, overlap.astype(bool), even, outer.astype(bool), split.astype(bool))


def _per_step(
    found: Callable[[int], tuple[int, int]], whole: int, step: np.ndarray, steps: np.ndarray | bool
) -> tuple[np.ndarray, np.ndarray]:
    """Words of a pixel, the most at once and in all, for `whole` channels or in steps; int64 [n] each."""
    sizes, which = np.unique(np.where(steps, np.minimum(step, whole), whole), return_inverse=True)
    most, total = np.array([found(size) for size in sizes.tolist()], np.int64)[which].T
    return most, total


def _factors(one: Schedule) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Legal (A, B, D, overlap), small ones first; int64 [n] each."""
    acc = one.accelerator
    limits = (one.output_groups, one.channel_groups, one.positions)
    if acc.dataflow == "ws":
        limits = (1, 1, 1)
    if acc.extension is not None:
        a, b, d = (min(pair) for pair in zip(limits, acc.extension, strict=True))
        rows = [(a, b, d, acc.weight_overlap and 2 * a * b * d * one.split <= acc.wrf_depth)]
    else:
        rows = []
        for overlap in (True, False) if acc.weight_overlap else (False,):
            depth = acc.wrf_depth // (2 if overlap else 1) // one.split
            rows += [
                (a, b, d, overlap)
                for a in range(1, min(limits[0], depth, acc.prf_depth) + 1)
                for b in range(1, min(limits[1], depth // a) + 1)
                for d in range(1, min(limits[2], depth // (a * b)) + 1)
                if 2 * b * d <= acc.arf_depth
            ]
    a, b, d, overlap = np.array(rows, np.int64).T
    return a, b, d, overlap.astype(bool)


def _bounds(space: _Space, shape: ConvShape, energy: dict[str, float], objective: str) -> list[float]:
    """What the objective of each candidate is at least.

    The energy is that of the base, plus what varies: exact but for the rounding of weight beats. The
    cycles are the largest demand on one resource.
    """
    one, layer, acc = space.base, space.base.shape, space.base.accelerator
    if not len(space.a):
        return []
    trips_i = -(-one.output_groups // space.a)
    steps = -(-one.channel_groups // space.b) * -(-one.positions // space.d)
    tiles = -(-layer.out_h // space.rows)
    resident = space.stays & (tiles == 1) & ~space.split
    pixels = layer.out_h * layer.out_w
    fixed, core = layer_accesses(one, shape, 0, 0), core_counts(one)
    spent = np.full(len(space.a), sum(count * energy[what] for what, count in fixed.items()))

    # ARF and its fetches from L1: for each step over output groups, less with more positions resident.
    depths = range(1, int(space.d.max()) + 1)
    reads, new = np.array([(0, 0), *(ifmap_reads(layer, d, one.reuses) for d in depths)])[space.d].T
    vectors = layer.channels * trips_i
    spent += energy["arf"] * (vectors * (reads + new) - core["arf_read"] - core["arf_write"])
    spent += energy["l1"] * (vectors * new - core["l1_ifmap_read"])
    # Stored psums.
    psums = core["l1_psum_read"] // max(1, one.trips[1] * one.trips[2] - 1)
    spent += energy["l1"] * 2 * psums * (steps - one.trips[1] * one.trips[2])
    # Ifmap tiles.
    sizes, which = np.unique(space.rows, return_inverse=True)
    lines = np.array([ifmap_lines(layer, int(rows)) for rows in sizes])[which]
    again = space.split | (space.outer & (tiles > 1))
    lines *= np.where(again, trips_i, 1)
    most, touched = _per_step(one.tiling.ifmap_words, one.channels, space.b * acc.rows, space.split)
    width = WORD * layer.size[1] * touched
    moved = np.where(resident, 0, lines * width)
    base_lines = ifmap_lines(layer, one.tile_rows) * one.ifmap_passes
    base_width = WORD * layer.size[1] * one.tiling.ifmap_words(one.tiling.tile_channels)[1]
    spent += (energy["l1"] + energy["l2"]) * (moved - base_lines * base_width)
    # Residual tiles.
    _, touched = _per_step(one.tiling.residual_words, one.outputs, space.a * acc.columns, again)
    residual = WORD * pixels * touched
    base_residual = WORD * pixels * one.tiling.residual_words(one.tiling.tile_outputs)[1]
    spent += (energy["l1"] + energy["l2"]) * (residual - base_residual)
    from_dram = np.zeros(len(space.a))
    if one.source == "dram":
        from_dram += lines * (layer.line_bytes or width) + residual
        more = from_dram - base_lines * (layer.line_bytes or base_width) - base_residual
        spent += (energy["dram"] + energy["l2"]) * more
    # Weights, loaded for every tile.
    bits = sum(one.row_bits(one.columns_of(g, one.outputs)) for g in range(one.output_groups))
    stored = bits * one.channels * one.positions * one.split // 8 * one.parts
    if one.format == "block":
        stored = layer.weights
    share = np.where(space.outer, stored * space.a // one.output_groups, stored) // one.parts
    times = np.where(share <= acc.weight_bytes, 1, tiles) * (not layer.dynamic or one.spills)
    spent += energy["l2"] * stored * tiles + (energy["dram"] + energy["l2"]) * stored * times
    loaded = (
        energy["wrf"] * core["wrf_write"] + energy["rom" if one.format == "rom" else "crf"] * core["crf_read"]
    )
    spent += loaded * (tiles / one.tiles - 1)

    rows_out = pixels * one.parts * one.output_groups
    tokens = rows_out * one.channel_groups * one.positions * one.split
    slots = np.maximum(tokens, rows_out * one.psum_cycles(1) * (steps - 1) * (3 - acc.psum_ports))
    slots = np.maximum(slots, rows_out * one.store_cycles(1))
    # A chunk is loaded a row a cycle at most; in turn with computing, after the one before it has left.
    rows_in = tiles * one.channels * one.positions * one.split * one.output_groups * max(1, one.parts - 1)
    loads = np.maximum(tiles * (stored * 8 // acc.weight_port_bits), rows_in)
    in_turn = (tiles * trips_i * steps * one.parts - 1) * (acc.release + acc.loader_stages - 1)
    loading = np.maximum(slots, np.where(space.overlap, loads, tokens + loads + in_turn))
    # The first tile comes before the first token; every tile does where L1 holds only one.
    reach = (space.rows - 1) * layer.stride[0] + (layer.kernel[0] - 1) * layer.dilation[0] + 1
    first = np.where(space.split, np.minimum(one.channels, space.b * acc.rows), one.channels)
    line = WORD * layer.size[1] * -(-first // WORD)
    exposed = np.minimum(reach - layer.padding[0], layer.size[0]) * line * 8 // acc.dma_bits
    single = 2 * WORD * np.minimum(reach, layer.size[0]) * layer.size[1] * most > acc.ifmap_bytes
    arriving = (moved + residual) * 8 // acc.dma_bits
    exposed = np.where(single, arriving, exposed)
    exposed = np.where(resident, 0, acc.dma_setup + acc.l2_latency + exposed)
    cycles = np.maximum(np.maximum(exposed + slots, loading), arriving)
    cycles = np.maximum(cycles, shape.ofmap_bytes * 8 // acc.dma_bits)
    read = from_dram + stored * times
    busy = read * 8 // acc.dram_bits + read // acc.dram_row_bytes * acc.dram_row_cycles
    cycles = np.maximum(cycles, busy)
    cycles = cycles + CONTROL_CYCLES + STORER_STAGES + acc.latency + acc.dma_setup + acc.l2_latency
    return _objective(cycles, spent, objective).tolist()
