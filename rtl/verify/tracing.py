"""What the units of the RTL do when, of a network's run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtl.compiler import compile
from rtl.verify import probe, simulators
from rtl.verify.dram import transfers
from rtl.verify.looking import Look
from rtl.verify.run import run_image
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.machine import machine
from sim.network import Network
from sim.systolic.schedule import Schedule, Source
from sim.trace import Trace


def trace_network(
    accelerator: Accelerator,
    network: Network,
    images: np.ndarray,
    simulator: str = "auto",
    rtl_dir: str | Path | None = None,
    *,
    objective: str = "edp",
    plans: Sequence[Schedule | Source] | None = None,
    window: range = range(0),
) -> Trace:
    """Spans of the first image's run.

    Args:
        images: int8 [batch, C, H, W].
        simulator: "icarus", "verilator", or "auto" for what is done sooner.
        rtl_dir: an export to simulate; otherwise the accelerator is exported afresh.
        plans: how each of `network.shapes` runs; by default what `sim.systolic.plan` says.
        window: cycles of which the sequencer's spans are wanted.

    Raises:
        InputError: the hardware cannot run a layer, or the simulator or the export is missing.
    """
    image = compile(network, accelerator, objective, plans)
    counted = machine(accelerator.kind).count(network, accelerator, objective=objective)
    cycles = sum(layer.total_cycles for layer in counted.layers)
    chosen = simulators.choose(simulator, accelerator, cycles)
    if chosen == "cxxrtl":
        raise InputError("simulator", chosen, "sees no probes", "use icarus or verilator")
    given = Path(rtl_dir) if rtl_dir else None
    # Plans that somebody gave may take longer than those that were counted.
    limit = 4 * cycles + 5_000 if plans is None else 1 << 31
    found = run_image(image, images[0], limit, chosen, given, look=Look(probes=True))
    return probe.trace(image, found.printed, transfers(image), window)
