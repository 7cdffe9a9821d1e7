"""`python -m codeword.bench.designs`: random designs, each with ResNet-50 mapped and estimated on it.

The designs differ in array, registers, memories, buses, format, technology and clock; the seed is fixed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time

import numpy as np

from sim import accelerator, bulk, technology
from sim.accelerator import Accelerator
from sim.accelerator.systolic_presets import FAMILIES
from sim.workloads import workload

NETWORK = "resnet50"
SIDES = (8, 12, 16, 24, 32, 48, 64)


def designs(count: int, seed: int = 0) -> list[Accelerator]:
    """So many random designs, legal ones; most are unlike all others."""
    rnd = random.Random(seed)
    families = [family for family in FAMILIES if family != "rom"]
    found = []
    for n in range(count):
        base = accelerator.preset(f"{rnd.choice(families)}-{rnd.choice(SIDES[::2])}x{rnd.choice(SIDES[::2])}")
        changes: dict[str, object] = {
            "name": f"design-{n}",
            "l1_bytes": 1024 * round(2 ** rnd.uniform(5, 10)),
            "l2_bytes": 1024 * round(2 ** rnd.uniform(9, 13)),
            "weight_port_bits": rnd.choice((64, 128, 256, 512)),
            "dma_bits": rnd.choice((32, 64, 128, 256)),
            "dram_bits": rnd.choice((16, 32, 64, 128, 256)),
            "psum_ports": rnd.choice((1, 2)),
            "technology": rnd.choice(technology.NAMES),
            "clock_hz": rnd.choice((100e6, 200e6, 300e6, 500e6)),
        }
        if base.dataflow == "ews":
            changes["wrf_depth"] = rnd.choice((8, 16, 32))
        found.append(accelerator.build(base.model_dump() | changes))
    return found


def measured(count: int, processes: int, memo: str | None = None) -> dict[str, object]:
    """Wall and processor seconds of so many designs, with the compiled code at hand."""
    given, network = designs(count), workload(NETWORK)
    bulk.estimates([network], given[:1])  # loads what is compiled
    start, spent = time.perf_counter(), _processor_s()
    found = bulk.estimates([network], given, processes=processes, memo=memo)
    wall_s = time.perf_counter() - start
    return {
        "network": NETWORK,
        "designs": count,
        "processes": processes,
        "wall_s": wall_s,
        "processor_s": _processor_s() - spent,
        "designs_per_s": count / wall_s,
        "run": int(found.runs.sum()),
        "remembered": found.remembered,
        "largest_gap": float(np.nanmax(found.columns["mapping_gap"])),
        "least_edp": float(np.nanmin(found.columns["edp"])),
    }


def _processor_s() -> float:
    """Of this process and of those it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m codeword.bench.designs", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="designs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--memo", help="a folder of what earlier runs found")
    options = parser.parse_args()
    print(json.dumps(measured(options.count, options.processes, options.memo), indent=1))


if __name__ == "__main__":
    main()
