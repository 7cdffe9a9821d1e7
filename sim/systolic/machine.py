"""The systolic machine: everything that others ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from sim import technology
from sim.accelerator.systolic import Accelerator
from sim.accelerator.systolic_presets import FAMILIES, preset
from sim.cost import Prices
from sim.formats import stream
from sim.machine import Job, Machine
from sim.network import Network
from sim.results import Counted, Simulation
from sim.shapes import Shape, with_logits
from sim.systolic.mapping import OBJECTIVES
from sim.systolic.plan import planned
from sim.systolic.results import expected_gated, with_output
from sim.systolic.schedule import Schedule
from sim.systolic.streams import native_formats, network_formats
from sim.trace import Trace


class Systolic(Machine):
    """Weight-stationary and enhanced weight-stationary arrays (MVQ Fig. 7), with any weight format."""

    kind = "systolic"
    description = Accelerator
    families: ClassVar = {family: partial(preset, family) for family in FAMILIES}
    sizes = (4, 256)
    objectives = OBJECTIVES
    hardware = "rtl.systolic"

    def summary(self, accelerator: Accelerator) -> dict[str, Any]:
        acc = accelerator
        code = {"d": acc.codeword_length, "k": acc.codebook_entries} if acc.weights.books else {}
        scaled = f" g{acc.scale_group}" if acc.weights.scale_rows(acc) else ""
        return {
            "flow": acc.dataflow,
            "weights": acc.format + (f" {acc.keep}:{acc.group}" if acc.weights.masks else scaled),
            "tile": "sparse" if acc.sparse_tile else "dense",
            "L1": acc.l1_bytes,
            "L2": acc.l2_bytes,
            "WRF": acc.wrf_depth,
            **code,
        }

    def count(
        self,
        network: Network | Sequence[Shape],
        accelerator: Accelerator,
        *,
        objective: str = "edp",
        zeros: tuple[float, float] | None = None,
        formats: Mapping[str, tuple[str, int]] | None = None,
    ) -> Counted:
        reasons: dict[str, str] = {}
        if isinstance(network, Network):
            shapes: Sequence[Shape] = network.shapes
            formats = network_formats(network, accelerator)
        else:
            shapes = with_logits(network)
        if formats is None:
            native = native_formats(shapes, accelerator)
            formats = {layer: found[:2] for layer, found in native.items()}
            reasons = {layer: reason for layer, (_, _, reason) in native.items() if reason}
        found = planned(shapes, formats, accelerator, objective)
        layers = found.layers
        if zeros is not None:
            layers = [
                layer if layer.schedule is None else expected_gated(layer, *zeros, _pruned(layer.schedule))
                for layer in layers
            ]
        return Counted(
            with_output(layers, found.shapes[-1], accelerator),
            reasons,
            expected=accelerator.weights.universal,
            mapping_gap=found.gap,
        )

    def prepare_many(self) -> None:
        from sim.systolic import sweep  # compiles

        sweep.load()

    def job(
        self, network: Network | Sequence[Shape], accelerator: Accelerator, objective: str = "edp"
    ) -> Job:
        """In compiled code where Numba is at hand, else as `count` does it."""
        if find_spec("numba") is None:
            return super().job(network, accelerator, objective)
        from sim.systolic import sweep  # compiles

        found = sweep.Counting(sweep.layers_of(network, accelerator), accelerator, objective)
        return Job(found.key, found.totals)

    def prices(self, accelerator: Accelerator) -> Prices:
        return Prices.of(accelerator, technology.load(accelerator.technology))

    def mapping_energies(self, accelerator: Accelerator) -> str:
        return technology.mapping_energy(accelerator)[0]

    def remarks(self, accelerator: Accelerator) -> list[str]:
        """What the type of DRAM brings at the clock, and whether the weight port takes it."""
        if not accelerator.dram:
            return []
        cycles, timing = technology.off_chip(accelerator), technology.dram.named(accelerator.dram).timing
        found = [
            f"DRAM: {accelerator.dram}, {timing.gb_per_s:.4g} GB/s at most: {cycles.bits:,} bits a cycle, "
            f"{cycles.latency} cycles of latency, {cycles.row_cycles} a row of {cycles.row_bytes:,} bytes; "
            f"{timing.source}."
        ]
        port = accelerator.weight_port_bits
        if port < cycles.bits:
            found.append(
                f"Weights: the port of the loader takes {port:,} of these bits, so that weights used once come no "
                f"faster, nor faster than a row of {accelerator.columns} weights a cycle; raise weight_port_bits."
            )
        return found

    def run(
        self,
        network: Network,
        accelerator: Accelerator,
        images: np.ndarray,
        *,
        objective: str = "edp",
        registers: bool = False,
        arbitrated: bool = False,
    ) -> Simulation:
        from sim.systolic import engine  # compiles

        return engine.simulate(
            network, accelerator, images, objective=objective, registers=registers, arbitrated=arbitrated
        )

    def trace(
        self,
        network: Network,
        accelerator: Accelerator,
        image: np.ndarray,
        *,
        objective: str = "edp",
        window: range = range(0),
    ) -> tuple[Simulation, Trace]:
        from sim.systolic import engine  # compiles

        recorder = engine.Recorder(window)
        run = engine.simulate(network, accelerator, image[:1], objective=objective, recorder=recorder)
        return run, recorder.trace()


def _pruned(schedule: Schedule) -> float:
    """Share of a dense array's multipliers whose weight a mask removes: 1 - N/M."""
    acc = schedule.accelerator
    return 1 - acc.keep / acc.group if stream(schedule.format).masks and not acc.sparse_tile else 0.0


MACHINE = Systolic()
