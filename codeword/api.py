"""The verbs as functions. Each loads only the floor it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from codeword import inputs, outputs
from codeword.about import networks, presets
from codeword.comparing import diff, is_result
from codeword.editing import edit
from codeword.glossary import explain
from codeword.health import examine as doctor
from codeword.integers import compress, fine_tuning, quality, quantize, storage
from codeword.verifying import verify
from sim.errors import InputError
from sim.files import write_whole
from sim.names import require_word
from sim.saved import load

if TYPE_CHECKING:
    import numpy as np

    from codeword.comparing import Comparison
    from codeword.pages import page
    from codeword.simulated import Simulated
    from codeword.sweeping import sweep
    from codeword.tracing import trace
    from rtl.image import Written
    from rtl.synth import Synthesis
    from sim.accelerator import Accelerator
    from sim.estimate import Estimate
    from sim.network import Network
    from sim.saved import Result
    from sim.shapes import Shape

__all__ = [
    "compare",
    "compile",
    "compress",
    "diff",
    "doctor",
    "edit",
    "estimate",
    "explain",
    "fine_tuning",
    "load",
    "networks",
    "page",
    "presets",
    "quality",
    "quantize",
    "simulate",
    "storage",
    "sweep",
    "synth",
    "trace",
    "verify",
    "verilog",
]

AcceleratorLike: TypeAlias = "str | Accelerator"
_LATE = {"page": "codeword.pages", "sweep": "codeword.sweeping", "trace": "codeword.tracing"}
"""Modules of functions whose results are of classes that need NumPy; the command line reads options without it."""


def __getattr__(name: str) -> Any:
    """Of `_LATE`, on first use."""
    if name not in _LATE:
        raise AttributeError(f"module 'codeword.api' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


def estimate(
    network: str | Network | Sequence[Shape],
    accelerator: AcceleratorLike,
    *,
    technology: str | None = None,
    dram: str | None = None,
    objective: str = "edp",
    settings: Sequence[str] = (),
    vector_operators: Sequence[str] = (),
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, int] | None = None,
    report: Callable[[str], None] = lambda _: None,
    zeros: tuple[float, float] | None = None,
) -> Estimate:
    """Cycles, energy and area of a network from the closed form.

    Args:
        network: a name, a .safetensors, .onnx or SCALE-Sim .csv file, a Network, or shapes.
        accelerator: a preset name, a TOML file, or an Accelerator.
        technology: mvq40, sg13g2, sky130hd, asap7, mvq40@NODE or a TOML file; None for the accelerator's.
        dram: type of off-chip memory: energy, bandwidth, latency and rows; None for the accelerator's.
        objective: of the mapping: edp, energy or cycles.
        settings: `field=value` replacements in the accelerator.
        vector_operators: unknown operators of an .onnx file that count as one operation an element.
        input_shapes: sizes of inputs of an .onnx file, by name, in place of its own.
        values: of inputs of one number, and of conditions of Ifs, of an .onnx file, by name.
        report: called with each line about an imported file: multiply-accumulates and differences.
        zeros: shares of zero activations and zero weights, for the expected gating.

    Raises:
        InputError: unknown names, bad values, or a machine that cannot run the network.
    """
    from sim.estimate import estimate as estimate_shapes

    name = network if isinstance(network, str) else "network"
    described = inputs.accelerator(accelerator, settings)
    chosen = {"technology": technology, "dram": dram}
    described = described.model_copy(
        update={field: value for field, value in chosen.items() if value is not None}
    )
    found = (
        inputs.network(network, described, vector_operators, input_shapes, values, report)
        if isinstance(network, str)
        else network
    )
    return estimate_shapes(found, described, objective=objective, name=name, zeros=zeros)


def compare(
    networks: Sequence[str | Network | Result],
    accelerators: Sequence[AcceleratorLike] = (),
    *,
    technology: str | None = None,
    dram: str | None = None,
    objective: str = "edp",
    settings: Sequence[str] = (),
) -> Comparison:
    """Estimates of each network on each accelerator, and results of before, side by side.

    Args:
        networks: as `estimate` takes them; results, and names of .json files of results, stand as they are.

    Raises:
        InputError: less than two runs in all, networks without machines, and what `estimate` raises.
    """
    from codeword.comparing import Comparison
    from sim.saved import Result

    found: list[Result] = []
    for network in networks:
        if isinstance(network, Result):
            found.append(network)
        elif isinstance(network, str) and is_result(network):
            found.append(load(network))
        elif not accelerators:
            raise InputError("network", network, "runs on no accelerator", "name one or more with -a")
        else:
            found += [
                estimate(
                    network,
                    accelerator,
                    technology=technology,
                    dram=dram,
                    objective=objective,
                    settings=settings,
                )
                for accelerator in accelerators
            ]
    return Comparison.of(found)


def simulate(
    network: str | Network,
    accelerator: AcceleratorLike,
    images: np.ndarray,
    *,
    objective: str = "edp",
    settings: Sequence[str] = (),
    registers: bool = False,
    arbitrated: bool = False,
) -> Simulated:
    """Runs int8 images [batch, C, H, W] through the cycle engine, bit for bit.

    Args:
        registers: clock every register of the array; the same values and counts, more slowly.
        arbitrated: all clients of L1 share its banks; the estimate has no such machine.

    Raises:
        InputError: unknown names, bad values, or a machine that cannot run the network.
    """
    from sim.machine import machine

    described = inputs.accelerator(accelerator, settings)
    net = inputs.integer_network(network, described) if isinstance(network, str) else network
    with inputs.extra():
        from codeword.simulated import Simulated

        run = machine(described.kind).run(
            net, described, images, objective=objective, registers=registers, arbitrated=arbitrated
        )
    return Simulated.of(run, described)


def verilog(
    accelerator: AcceleratorLike,
    directory: str | Path,
    *,
    network: str | Network | None = None,
    settings: Sequence[str] = (),
    force: bool = False,
) -> list[Path]:
    """Writes the accelerator's Verilog, one file a module, and what a hardware flow needs beside it.

    Args:
        network: whose universal codebook a codebook ROM holds; only machines with one need it.
        force: replace files of the directory that were edited since the last export; files of others stay.

    Returns:
        The Verilog files, top module first.

    Raises:
        InputError: unknown accelerator, one that the RTL cannot build, a file in the way, or the extra `rtl`
            is not installed.
    """
    described = inputs.accelerator(accelerator, settings)
    net = inputs.integer_network(network, described) if isinstance(network, str) else network
    with inputs.extra():
        from rtl.machine import hardware

        return hardware(described.kind).verilog(described, Path(directory), net, force=force)


def compile(
    network: str | Network | Sequence[Network],
    accelerator: AcceleratorLike,
    directory: str | Path,
    *,
    image: np.ndarray | None = None,
    seed: int = 0,
    objective: str = "edp",
    l2_holds_all: bool = False,
    base: int = 0,
    soc: bool = False,
    settings: Sequence[str] = (),
    force: bool = False,
    step: int = 0,
) -> Written:
    """Writes what a system needs to run a network on the accelerator, and a test bench that runs it.

    Memory image, register values, layout of input, output and every map, and expected output; docs/hardware.md
    section 8.

    Args:
        network: a file or list of several time steps becomes one memory, weights and maps once.
        image: int8 [1, C, H, W], in the memory; a random one from `seed` if None.
        objective: of the mapping: edp, energy or cycles.
        l2_holds_all: L2 holds weights and maps before the run: no packet waits for DRAM.
        base: address of the memory image in the system, a multiple of 4096.
        soc: a system with a RISC-V processor and its firmware too, for simulation; takes a base such as 0x80000000.
        force: replace files of the directory that were edited since the last time; files of others stay.
        step: which time step registers, input and expected output are of.

    Raises:
        InputError: unknown names, a network that the RTL cannot run, a file in the way, or the extra `rtl` is
            not installed.
    """
    described = inputs.accelerator(accelerator, settings)
    steps = inputs.time_steps(network, described)
    net = inputs.chosen_step(steps, step)
    if image is None:
        image = inputs.images(net, None, 1, seed)
    with inputs.extra():
        from rtl.machine import hardware

        return hardware(described.kind).write_image(
            net,
            described,
            Path(directory),
            image,
            objective=objective,
            l2_holds_all=l2_holds_all,
            base=base,
            soc=soc,
            force=force,
            steps=steps,
            step=step,
        )


def synth(
    accelerator: AcceleratorLike,
    liberty: Sequence[str | Path],
    *,
    component: str | None = None,
    settings: Sequence[str] = (),
    netlists: str | Path | None = None,
) -> list[Synthesis]:
    """Synthesizes an accelerator's RTL onto cell libraries; one result for each.

    Args:
        liberty: .lib or .lib.gz files, one a library; a folder holds the files of one library.
        component: kind of a component to synthesize instead of the whole.
        netlists: folder to write the netlists to, LIBRARY.v.

    Raises:
        InputError: unknown names, a library that does not do, or the extra `rtl` is not installed.
    """
    with inputs.extra():
        from rtl.machine import hardware
        from rtl.synth import read

        described = inputs.accelerator(accelerator, settings)
        folder = None if netlists is None else outputs.folder(netlists)
        of_kind = hardware(described.kind)
        libraries = [read(path) for path in liberty]
        if folder is not None:
            _require_file_names([library.name for library in libraries], liberty)
        found = [of_kind.synth(described, library, component) for library in libraries]
    if folder is not None:
        folder.mkdir(exist_ok=True)
        for result in found:
            write_whole(folder / f"{result.library}.v", result.netlist)
    return found


def _require_file_names(libraries: Sequence[str], liberty: Sequence[str | Path]) -> None:
    """Raises InputError where libraries cannot each have a netlist of their name."""
    for library in libraries:
        require_word("library", library, "the name of its netlist")
    if len(set(libraries)) < len(libraries):
        problem = "two libraries have the same name"
        raise InputError("--liberty", str(liberty[-1]), problem, "write their netlists one at a time")
