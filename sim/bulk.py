"""Many designs at once: what `sim.estimate.estimate` says of each in all, without its layers.

Results do not depend on the order of the designs, on the number of processes, or on what a memo remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from sim.cost import Cost
from sim.errors import InputError, nearest
from sim.machine import Machine, machine
from sim.memo import Memo
from sim.network import Network
from sim.results import Totals
from sim.shapes import Shape
from sim.steps import steps
from sim.workloads import Workload

COLUMNS = {
    "cycles": np.int64,
    "time_s": np.float64,
    "energy_pj": np.float64,
    "area_mm2": np.float64,
    "edp": np.float64,
    "tops": np.float64,
    "tops_per_watt": np.float64,
    "dram_bytes": np.int64,
    "utilization": np.float64,
    "mapping_gap": np.float64,
}
"""Of one use of a network; edp in J s. NaN of what nobody knows (`Cost.unknown_energy`)."""
_ROW = np.dtype(list(COLUMNS.items()))
_FAILED = -1
"""Cycles of what a machine cannot run; all else is NaN or 0."""
_SHARE = 32
"""Designs that a process takes at a time, at most."""
_SHARES = 4
"""Times that a process takes some, at least, where there are as many: some designs take longer than others."""
Given = Network | Workload | Sequence[Shape]


@dataclass(frozen=True, eq=False)
class Estimates:
    """What `estimates` found.

    Attributes:
        columns: by name in COLUMNS, arrays [networks, accelerators]. Cycles are -1 where the machine cannot run it.
        errors: why not, by (network, accelerator).
        remembered: of all, how many came from the memo.
    """

    columns: dict[str, np.ndarray]
    errors: dict[tuple[int, int], InputError]
    remembered: int = 0

    @property
    def runs(self) -> np.ndarray:
        """bool [networks, accelerators]."""
        return self.columns["cycles"] != _FAILED


def estimates(
    networks: Sequence[Given],
    accelerators: Sequence[Any],
    *,
    objective: str = "edp",
    processes: int = 1,
    memo: str | Path | None = None,
) -> Estimates:
    """Every network on every accelerator.

    `sim.estimate.estimate(network, accelerator, objective=objective)` has the layers of one, whose totals these are.

    Args:
        networks: all passes of a workload count, as in `estimate`.
        accelerators: of any kinds.
        objective: of the mapping search: edp, energy or cycles.
        processes: that share the work. Each starts anew: a script that asks for more than one guards its own start by
            `if __name__ == "__main__"`.
        memo: a folder of what earlier calls found, for any number of processes at a time.

    Raises:
        InputError: an unknown objective or technology, or a memo that cannot be written.
    """
    for kind in sorted({accelerator.kind for accelerator in accelerators}):
        if objective not in machine(kind).objectives:
            raise InputError("objective", objective, "unknown", nearest(objective, machine(kind).objectives))
    if processes < 1:
        raise InputError("processes", processes, "somebody must do the work", "use 1 or more")
    rows = np.zeros((len(networks), len(accelerators)), _ROW)
    errors: dict[tuple[int, int], InputError] = {}
    remembered = 0
    size = max(1, min(_SHARE, len(accelerators) // (_SHARES * processes)))
    shares = [
        (networks, accelerators[first : first + size], objective, memo, first)
        for first in range(0, len(accelerators), size)
    ]
    for first, found, failed, known in steps(_worked(shares, processes), "designs", len(shares)):
        rows[:, first : first + found.shape[1]] = found
        errors |= {(n, first + m): error for (n, m), error in failed.items()}
        remembered += known
    return Estimates({name: np.ascontiguousarray(rows[name]) for name in COLUMNS}, errors, remembered)


_Share = tuple[Sequence[Given], Sequence[Any], str, str | Path | None, int]
_Done = tuple[int, np.ndarray, dict[tuple[int, int], InputError], int]


def _worked(shares: list[_Share], processes: int) -> Iterator[_Done]:
    if min(processes, len(shares)) <= 1:
        yield from map(_share, shares)
        return
    with ProcessPoolExecutor(min(processes, len(shares)), get_context("spawn")) as pool:
        yield from pool.map(_share, shares)


def _share(share: _Share) -> _Done:
    """Some designs: the first one's number, rows [networks, n], errors, and how many were remembered."""
    networks, accelerators, objective, folder, first = share
    memo = None if folder is None else Memo(Path(folder))
    rows = np.zeros((len(networks), len(accelerators)), _ROW)
    errors: dict[tuple[int, int], InputError] = {}
    for m, accelerator in enumerate(accelerators):
        kind = machine(accelerator.kind)
        for n, network in enumerate(networks):
            try:
                totals = _totals(kind, network, accelerator, objective, memo)
            except InputError as error:
                errors[n, m] = error
                rows[n, m] = (
                    _FAILED,
                    *(0 if of is np.int64 else np.nan for of in list(COLUMNS.values())[1:]),
                )
                continue
            passes = network.passes if isinstance(network, Workload) else 1
            cost = kind.prices(accelerator).cost([totals.counts.repeated(passes)])
            rows[n, m] = _row(cost, passes * totals.accesses.get("dram", 0), totals.mapping_gap)
    if memo is not None:
        memo.write()
    return first, rows, errors, 0 if memo is None else memo.hits


def _totals(kind: Machine, network: Given, accelerator: Any, objective: str, memo: Memo | None) -> Totals:
    shapes = network.shapes if isinstance(network, Workload) else network
    job = kind.job(shapes, accelerator, objective)
    if memo is None or not job.key:
        return job.totals()
    known = memo.get(job.key)
    if known is None:
        known = job.totals()
        memo.put(job.key, known)
    return known


def _row(cost: Cost, dram: int, gap: float) -> tuple[Any, ...]:
    """Of COLUMNS, in their order."""
    energy, area, efficiency = (
        np.nan if value is None else value for value in (cost.total_pj, cost.total_mm2, cost.tops_per_watt)
    )
    return (
        *(cost.cycles, cost.time_s, energy, area, energy * 1e-12 * cost.time_s, cost.tops, efficiency),
        *(dram, cost.utilization, gap),
    )
