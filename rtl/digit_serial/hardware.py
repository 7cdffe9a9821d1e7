"""The hardware of the digit-serial machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rtl.digit_serial import export, verify, write
from rtl.digit_serial import image as images
from rtl.image import Written
from rtl.machine import Hardware
from rtl.synth import Library, Synthesis
from rtl.synth.flow import synthesize_part
from rtl.verify import VerifyResult
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.random_network import random_image, random_network
from sim.errors import InputError
from sim.network import Network

NETWORKS = 8
"""Random ones of `verify` without a network."""


class DigitSerialHardware(Hardware):
    """Array, neurons, sequencer, L1 and store of docs/spikes.md behind the systolic machine's bus and registers."""

    def compile(
        self, network: Network, accelerator: DigitSerial, objective: str = "edp", l2_holds_all: bool = False
    ) -> images.Image:
        """One order of packets, whatever the objective; all of them lie in one memory."""
        return images.compiled(network, accelerator)

    def write_image(
        self,
        network: Network,
        accelerator: DigitSerial,
        directory: Path,
        image: np.ndarray,
        *,
        objective: str = "edp",
        l2_holds_all: bool = False,
        base: int = 0,
        soc: bool = False,
        force: bool = False,
        steps: Sequence[Network] = (),
        step: int = 0,
    ) -> Written:
        """Without a system with a processor."""
        if soc:
            raise InputError("soc", True, "there is no system of this kind of machine", "leave it out")
        if len(steps) > 1:
            raise InputError(
                "step", step, "this kind of machine has no image of several", "compile one step alone"
            )
        return write.write(network, accelerator, directory, image[0], base, force=force)

    def verilog(
        self,
        accelerator: DigitSerial,
        directory: Path,
        network: Network | None = None,
        *,
        force: bool = False,
    ) -> list[Path]:
        return export.export(accelerator, directory, force=force)

    def verify(
        self,
        accelerator: DigitSerial,
        network: Network | None = None,
        layer: str = "",
        image: np.ndarray | None = None,
        simulator: str = "auto",
        *,
        seed: int = 0,
        rtl_dir: str | Path | None = None,
        networks: int | None = None,
        stalls: bool = False,
        l2_holds_all: bool = False,
        waves: Path | None = None,
        window: range = range(0),
    ) -> VerifyResult:
        """Random networks, or one; `l2_holds_all` makes no difference: all lies in one memory."""
        if waves is not None:
            raise InputError("--waves", str(waves), "this kind of machine writes none", "leave --waves out")
        if layer:
            raise InputError(
                "layer", layer, "does not run alone: it reads digits of others", "leave --layer out"
            )
        given = None if rtl_dir is None else Path(rtl_dir)
        stalled = seed if stalls else None
        if network is not None:
            assert image is not None
            return verify.verify(accelerator, network, image, simulator, given, stalled)
        found = []
        for number in range(seed, seed + (networks or NETWORKS)):
            net = random_network(accelerator, number)
            found.append(
                verify.verify(accelerator, net, random_image(net, number), simulator, given, stalled)
            )
        return _merged(found)

    def synth(self, accelerator: DigitSerial, library: Library, component: str | None = None) -> Synthesis:
        return synthesize_part(export.modules(accelerator), accelerator, library, component)


def _merged(results: list[VerifyResult]) -> VerifyResult:
    """Of several networks as of one; the first mismatch of all."""

    def added(name: str) -> Any:
        return sum(getattr(result, name) for result in results)

    def counters(name: str) -> dict[str, int]:
        tables = [getattr(result, name) for result in results]
        return {cause: sum(table[cause] for table in tables) for cause in tables[0]}

    run_s = sum(result.cycles_rtl / result.cycles_per_second for result in results)
    return replace(
        results[0],
        words_compared=added("words_compared"),
        mismatches=added("mismatches"),
        cycles_model=added("cycles_model"),
        cycles_rtl=added("cycles_rtl"),
        counters_model=counters("counters_model"),
        counters_rtl=counters("counters_rtl"),
        layers=(),
        first_mismatch=next((one.first_mismatch for one in results if one.first_mismatch), ""),
        wall_s=added("wall_s"),
        build_s=added("build_s"),
        cycles_per_second=added("cycles_rtl") / run_s,
        networks=len(results),
    )


HARDWARE = DigitSerialHardware()
