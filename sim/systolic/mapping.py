"""Which schedule a layer gets: exhaustive over A, B, D, loading mode, folding, loop order, some tile sizes.

Branch and bound: all candidates get a lower bound at once (arrays), and are then tried with the closed
form from the lowest bound on, until the bound exceeds the best found; no better one is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sim import technology
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic.candidates import Space, spaces
from sim.systolic.closed_form import bounds, counts
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.schedule import Schedule, Source

OBJECTIVES = ("edp", "energy", "cycles")


def best_schedule(
    shape: ConvShape,
    accelerator: Accelerator,
    form: str,
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
    shape: ConvShape, accelerator: Accelerator, form: str, codewords: int, source: Source
) -> Iterator[Schedule]:
    """Every schedule that the search considers, in no particular order of merit."""
    for space in spaces(shape, accelerator, form, codewords, source):
        for n in range(len(space)):
            yield space.schedule(n)


@lru_cache(maxsize=4096)
def _search(
    shape: ConvShape, accelerator: Accelerator, form: str, codewords: int, objective: str, source: Source
) -> Schedule:
    _, energy = technology.mapping_energy(accelerator)
    found = spaces(shape, accelerator, form, codewords, source)
    best: tuple[tuple[float, float], Schedule] | None = None
    for order, number, n, bound in _ranked(found, shape, energy, objective):
        if best is not None and order > best[0][0]:
            break
        if best is not None and bound > best[0][0]:
            continue
        schedule = found[number].schedule(n)
        counts, _ = layer_counts(schedule, shape)
        cycles = counts.total_cycles
        key = (_objective(cycles, _priced(counts.accesses, energy), objective), cycles)
        if best is None or key < best[0]:
            best = key, schedule
    assert best is not None
    return best[1]


def _ranked(
    found: list[Space], shape: ConvShape, energy: dict[str, float], objective: str
) -> list[tuple[float, int, int, float]]:
    """(bound of the objective, number of the space, number of the candidate, higher bound), lowest first.

    What all candidates have in common, the codebook, raises the bound, and would blur the order.
    """
    ranked: list[tuple[float, int, int, float]] = []
    for number, space in enumerate(found):
        if not len(space):
            continue
        least = bounds.least_counts(space, shape)
        order, bound = (
            _objective(cycles, _priced(accesses, energy), objective).tolist()
            for cycles, accesses in (least, bounds.with_codebook(space, *least))
        )
        ranked += [(order[n], number, n, bound[n]) for n in range(len(space))]
    return sorted(ranked)


def _priced(accesses: dict[str, Any], energy: dict[str, float]) -> Any:
    """Energy of accesses by memory, numbers or arrays."""
    return sum(count * energy[what] for what, count in accesses.items())


def _objective(cycles: Any, spent: Any, objective: str) -> Any:
    """Of numbers or arrays."""
    return {"edp": spent * cycles, "energy": spent, "cycles": cycles + 0.0 * spent}[objective]
