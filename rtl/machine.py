"""What the hardware of every kind of machine offers; `sim.machine` says the same of its model.

It is the `HARDWARE` of the module that `sim.machine.Machine.hardware` names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import InputError, nearest
from sim.machine import KINDS, machine
from sim.network import Network

if TYPE_CHECKING:
    from rtl.image import Written
    from rtl.synth import Library, Synthesis
    from rtl.verify import VerifyResult
    from sim.trace import Trace


class Hardware(ABC):
    """The Verilog of a kind of machine, the software for it, and its proof."""

    @abstractmethod
    def compile(
        self, network: Network, accelerator: Any, objective: str = "edp", l2_holds_all: bool = False
    ) -> Any:
        """The memory image that a network runs from.

        Args:
            l2_holds_all: no packet waits for DRAM.

        Raises:
            InputError: the hardware cannot run a layer; the message names the layer, why, and what would do.
        """

    @abstractmethod
    def write_image(
        self,
        network: Network,
        accelerator: Any,
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
        """Writes the memory image with an input, registers, layout, expected output and a test bench.

        Args:
            image: int8 [1, C, H, W].
            l2_holds_all: no packet waits for DRAM.
            base: address of the memory image in the system.
            soc: a system with a processor and its firmware too.
            force: replace files of the directory that were edited since the last time.
            steps: networks of all time steps, which the memory holds too; `network` is step `step` of them.

        Raises:
            InputError: the hardware cannot run a layer, a base that does not do, or a file of the user is in
                the way.
        """

    @abstractmethod
    def verilog(
        self, accelerator: Any, directory: Path, network: Network | None = None, *, force: bool = False
    ) -> list[Path]:
        """Writes the Verilog, one file a module, and what a hardware flow needs beside it.

        Args:
            network: whose universal codebook goes into a codebook ROM; only machines with one need it.
            force: replace files of the directory that were edited since the last export.

        Returns:
            The Verilog files, top module first.

        Raises:
            InputError: the RTL does not have the machine, or a file of the user is in the way.
        """

    @abstractmethod
    def verify(
        self,
        accelerator: Any,
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
        """Runs a network on the RTL and on the engine; compares every word, cycle and counter.

        Args:
            network: runs from input to output; None for random small ones, the first from `seed`.
            layer: name of one convolution to run alone, "" for all.
            image: int8 [1, C, H, W]; needed with a network.
            simulator: icarus, verilator, cxxrtl, or auto for what is done sooner.
            rtl_dir: an export to simulate; otherwise the accelerator is exported afresh.
            networks: how many random ones, by default enough; from two on also starts that must fail, errors of
                memory, and every register.
            stalls: every channel of the bus stalls at random, from `seed`; cycles are then not compared.
            l2_holds_all: no packet waits for DRAM, in RTL and engine.
            waves: file (.fst, .vcd) for the signals of the RTL, beside which those of the engine go to NAME.engine.vcd.
            window: cycles of the network that they show; by default those around the first difference.

        Raises:
            InputError: the hardware cannot run a layer, or the simulator or the export is missing.
        """

    def verify_steps(
        self,
        accelerator: Any,
        networks: Sequence[Network],
        images: Sequence[np.ndarray],
        layer: str = "",
        simulator: str = "auto",
        rtl_dir: str | Path | None = None,
    ) -> VerifyResult:
        """Runs the time steps of a network one after the other on one memory image, compared as in `verify`.

        Args:
            networks: of each step, on the same weights.
            images: int8 [1, C, H, W], the input of each step.
            layer: name of one convolution to run alone, "" for all.

        Raises:
            InputError: as `verify`, steps that one image cannot hold, or a kind without memory images.
        """
        raise InputError(
            "--step", len(networks), f"{accelerator.kind} has no image of several", "verify one step alone"
        )

    def trace(
        self,
        network: Network,
        accelerator: Any,
        image: np.ndarray,
        *,
        objective: str = "edp",
        window: range = range(0),
        simulator: str = "auto",
        rtl_dir: str | Path | None = None,
    ) -> Trace:
        """Runs an image int8 [1, C, H, W] on the RTL and says when each unit was at work.

        Args:
            window: cycles of which what each goes to is wanted too.
            simulator: icarus, verilator, or auto for what is done sooner.
            rtl_dir: an export to simulate; otherwise the accelerator is exported afresh.

        Raises:
            InputError: what `verify` raises, or a kind of machine without traces.
        """
        raise InputError(
            "accelerator", accelerator.name, "its kind of machine has no traces", "take ews-cms-16"
        )

    @abstractmethod
    def synth(self, accelerator: Any, library: Library, component: str | None = None) -> Synthesis:
        """Cells, area and longest path on a cell library, of the whole or of one kind of component.

        Raises:
            InputError: an unknown component, or a library without what the netlist needs.
        """


def hardware(kind: str) -> Hardware:
    """The hardware of a kind of machine.

    Raises:
        InputError: unknown, or a kind that is a model alone.
    """
    module = machine(kind).hardware
    if not module:
        built = [one for one in KINDS if machine(one).hardware]
        raise InputError("kind", kind, "no hardware of this kind of machine", nearest(kind, built))
    found: Hardware = import_module(module).HARDWARE
    return found
