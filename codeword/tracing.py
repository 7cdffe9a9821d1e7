"""When each unit of an accelerator is at work on a network: from the engine, from the Verilog, or both."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeword import inputs
from sim.accelerator import Accelerator
from sim.errors import InputError, nearest
from sim.files import write_whole
from sim.results import LayerCounts
from sim.saved import Result
from sim.trace import TRACKS, Difference, Trace, difference, perfetto

if TYPE_CHECKING:
    import numpy as np

    from sim.network import Network

SOURCES = {"engine": ("engine",), "rtl": ("rtl",), "both": ("engine", "rtl")}
"""Whose run, by the name that asks for it."""
FORMS = (".json", ".csv")
"""Endings of the files of a trace."""


@dataclass(frozen=True, repr=False)
class Traced(Result):
    """A network's run on an accelerator, unit by unit.

    Attributes:
        traces: engine first.
        layers: what the engine or the closed form counts.
    """

    network: str
    accelerator: Accelerator
    traces: tuple[Trace, ...]
    layers: tuple[LayerCounts, ...]

    @property
    def verb(self) -> str:
        return "trace"

    @cached_property
    def difference(self) -> Difference | None:
        """The first span in which engine and Verilog differ; None where they do not, or one of them did not run."""
        return difference(*self.traces) if len(self.traces) > 1 else None

    def write(self, path: str | Path) -> None:
        """Writes spans for ui.perfetto.dev (.json), or a row a layer (.csv)."""
        form = Path(path).suffix
        if form not in FORMS:
            problem, fix = "is no form of a trace", f"give a name that ends in {' or '.join(FORMS)}"
            raise InputError("--output", str(path), problem, fix)
        about = f"{self.network} on {self.accelerator.name}"
        text = self.csv() if form == ".csv" else perfetto(self.traces, about, self.accelerator.clock_hz)
        write_whole(Path(path), text)

    def csv(self) -> str:
        """A row a layer: cycles, use of the array, bytes a cycle at each memory; like SCALE-Sim's reports."""
        sink = io.StringIO()
        rows = self.rows()
        writer = csv.DictWriter(sink, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return sink.getvalue()

    def rows(self) -> list[dict[str, Any]]:
        """Of `csv`, percent of all multipliers, and 8-bit words a cycle."""
        peak, found, begin = self.accelerator.peak_macs, [], 0
        for number, layer in enumerate(self.layers):
            cycles = layer.total_cycles
            found.append(
                {
                    "LayerID": number,
                    "Layer": layer.name,
                    "First Cycle": begin,
                    "Total Cycles": cycles,
                    "Stall Cycles": cycles - layer.cycles.get("compute", 0) - layer.cycles.get("vector", 0),
                    "Overall Util %": round(100 * layer.macs / (peak * cycles), 4),
                    "Avg DRAM BW": round(layer.accesses["dram"] / cycles, 4),
                    "Avg L2 BW": round(layer.accesses["l2"] / cycles, 4),
                    "Avg L1 BW": round(layer.accesses["l1"] / cycles, 4),
                }
            )
            begin += cycles
        return found

    def to_json(self) -> dict[str, Any]:
        first = self.difference
        return {
            "network": self.network,
            "accelerator": self.accelerator.name,
            "cycles": {trace.source: trace.cycles for trace in self.traces},
            "busy": {
                trace.source: {track: trace.busy(track) for track in TRACKS if trace.on(track)}
                for trace in self.traces
            },
            "equal": None if len(self.traces) < 2 else first is None,
            "first_difference": None
            if first is None
            else {
                "track": first.track,
                "cycle": first.cycle,
                "expected": first.expected and first.expected._asdict(),
                "found": first.found and first.found._asdict(),
            },
        }


def trace(
    network: str | Network,
    accelerator: str | Accelerator,
    image: np.ndarray | None = None,
    *,
    source: str = "engine",
    window: range = range(0),
    objective: str = "edp",
    settings: Sequence[str] = (),
    seed: int = 0,
    simulator: str = "auto",
    rtl_dir: str | Path | None = None,
) -> Traced:
    """Runs an image and says when each unit was at work: layers, DRAM, DMA, loader, array, storer, vector unit.

    Args:
        image: int8 [1, C, H, W]; a random one from `seed` if None.
        source: engine, rtl (the Verilog), or both, whose spans must be the same.
        window: cycles of which what each goes to is wanted too.
        simulator: icarus, verilator, or auto for what is done sooner.
        rtl_dir: what `verilog` wrote, to trace it; None exports it afresh.

    Raises:
        InputError: unknown names, a machine that cannot run the network or has no traces, or a missing extra.
    """
    from sim.machine import machine

    if source not in SOURCES:
        raise InputError("--from", source, "runs nothing", nearest(source, SOURCES))
    described = inputs.accelerator(accelerator, settings)
    net = inputs.integer_network(network, described) if isinstance(network, str) else network
    if image is None:
        image = inputs.images(net, None, 1, seed)
    traces = []
    with inputs.extra():
        if "engine" in SOURCES[source]:
            run, found = machine(described.kind).trace(
                net, described, image, objective=objective, window=window
            )
            layers = run.layers
            traces.append(found)
        else:
            layers = machine(described.kind).count(net, described, objective=objective).layers
        if "rtl" in SOURCES[source]:
            from rtl.machine import hardware

            traces.append(
                hardware(described.kind).trace(
                    net,
                    described,
                    image,
                    objective=objective,
                    window=window,
                    simulator=simulator,
                    rtl_dir=rtl_dir,
                )
            )
    return Traced(net.name, described, tuple(traces), layers)
