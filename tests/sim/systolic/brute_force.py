"""Every legal schedule of a layer, by trying all values of all fields of `Schedule` (docs/timing.md section 2): no
bound, no order, nothing of `sim.systolic.candidates`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from sim import technology
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.folding import ways
from sim.systolic.schedule import Schedule, spills


def all_schedules(shape: ConvShape, machine: Accelerator, form: str, source: str) -> Iterator[Schedule]:
    """All that `Schedule` allows, folded or not, with the ifmap where it is or in L2."""
    for seen in ways(shape, machine, form):
        here = "l2" if seen is not shape and source == "l1" else source  # folding is done by the DMA
        sources = ["dram"] if spills(seen, machine) else sorted({here, "l2" if here == "l1" else here})
        factors = [
            (A, B, D)
            for A, B, D in product(range(1, 17), range(1, 17), range(1, 10))
            if -(-seen.outputs // seen.groups // machine.columns) >= A
            and -(-seen.channels // seen.groups // machine.rows) >= B
            and seen.kernel[0] * seen.kernel[1] >= D
        ]
        tiles = product(range(1, seen.out_h + 1), range(seen.out_w))  # 0 columns are all of them
        flags = product((True, False), repeat=3)
        for (A, B, D), (rows, columns), (overlap, outer, split), where in product(
            factors, tiles, flags, sources
        ):
            try:
                yield Schedule(
                    machine,
                    seen,
                    form,
                    0,
                    A,
                    B,
                    D,
                    overlap,
                    tile_rows=rows,
                    outputs_outer=outer,
                    split_channels=split,
                    source=where,
                    strip_columns=columns,
                )
            except InputError:
                continue


def values(schedule: Schedule, shape: ConvShape) -> dict[str, float]:
    """What each objective minimises, from the counts of the layer alone."""
    counts, _ = layer_counts(schedule, shape)
    energy = technology.load(schedule.accelerator.technology).access_pj
    spent = sum(n * energy[what] for what, n in counts.accesses.items())
    return {"energy": spent, "cycles": counts.total_cycles, "edp": spent * counts.total_cycles}


def least(shape: ConvShape, machine: Accelerator, form: str, source: str) -> dict[str, float]:
    """The least of each objective; empty where nothing is legal."""
    found = [values(schedule, shape) for schedule in all_schedules(shape, machine, form, source)]
    return {name: min(one[name] for one in found) for name in (found[0] if found else ())}
