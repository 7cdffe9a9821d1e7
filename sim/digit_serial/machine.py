"""The digit-serial machine: everything that others ask of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sim.cost import Prices
from sim.digit_serial import closed_form, functional, prices
from sim.digit_serial.accelerator import DigitSerial, preset
from sim.digit_serial.bounds import require_runs
from sim.digit_serial.convert import convert
from sim.digit_serial.maps import placed
from sim.errors import InputError
from sim.machine import Machine
from sim.network import Network
from sim.results import Counted, Simulation
from sim.shapes import Shape


class DigitSerialMachine(Machine):
    """Weighted spikes on an array of ternary adders (docs/spikes.md)."""

    kind = "digit-serial"
    description = DigitSerial
    families: ClassVar = {"sws": preset}
    sizes = (8, 64)
    objectives = ("edp", "energy", "cycles")
    hardware = "rtl.digit_serial.hardware"

    def summary(self, accelerator: DigitSerial) -> dict[str, Any]:
        acc = accelerator
        return {
            "flow": acc.kind,
            "weights": f"dense, T = {acc.steps}",
            "tile": "ternary",
            "L1": acc.l1_bytes,
            "L2": acc.l2_bytes,
            "WRF": acc.wrf_depth,
        }

    def count(
        self,
        network: Network | Sequence[Shape],
        accelerator: DigitSerial,
        *,
        objective: str = "edp",
        zeros: tuple[float, float] | None = None,
        formats: Mapping[str, Any] | None = None,
    ) -> Counted:
        """One order of packets, whatever the objective; `zeros` are of INT8 values, and say nothing of digits."""
        if not isinstance(network, Network):
            raise InputError(
                "network",
                [shape.name for shape in network[:3]],
                f"is shapes alone, and {accelerator.name} follows from thresholds and branches",
                "give a network of integers: a shipped one, or a .safetensors file",
            )
        net = convert(network)
        require_runs(net, accelerator)
        placed(net, accelerator)
        return Counted(closed_form.counts(net, accelerator), {}, expected=False)

    def prices(self, accelerator: DigitSerial) -> Prices:
        return prices.of(accelerator)

    def mapping_energies(self, accelerator: DigitSerial) -> str:
        return accelerator.technology

    def remarks(self, accelerator: DigitSerial) -> list[str]:
        acc = accelerator
        return [
            f"Spikes: T = {acc.steps} digits, Tc = {acc.silent}; layers follow one another on one array. Additions "
            f"are those that {acc.density:.0%} of digits make that are not 0; `simulate` counts them."
        ]

    def run(
        self,
        network: Network,
        accelerator: DigitSerial,
        images: np.ndarray,
        *,
        objective: str = "edp",
        registers: bool = False,
        arbitrated: bool = False,
    ) -> Simulation:
        """Tensors are values in units of 2^-T, int64, and charges of the last layer; compared digit for digit."""
        for field, given in (("registers", registers), ("arbitrated", arbitrated)):
            if given:
                raise InputError(field, True, "this machine has no such depth", "leave the option out")
        from sim.digit_serial import simulate  # compiles

        begin = time.perf_counter()
        net = convert(network)
        acc = accelerator
        ran = simulate.simulate(
            net, acc, functional.input_digits(images, network.input.zero_point, acc.steps)
        )
        wall_s = time.perf_counter() - begin
        wanted = functional.spoken(net, images, acc.steps, acc.silent)
        exact = all(np.array_equal(ran.digits[name], wanted[name]) for name in wanted)
        return Simulation(network, ran.tensors, ran.layers, exact, wall_s)


MACHINE = DigitSerialMachine()
