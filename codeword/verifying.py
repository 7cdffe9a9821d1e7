"""The Verilog of an accelerator beside the cycle engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeword import inputs, outputs
from sim.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from rtl.verify import VerifyResult
    from sim.accelerator import Accelerator
    from sim.network import Network


def verify(
    accelerator: str | Accelerator,
    *,
    network: str | Network | Sequence[Network] | None = None,
    layer: str = "",
    image: np.ndarray | None = None,
    simulator: str = "auto",
    seed: int = 0,
    networks: int | None = None,
    rtl_dir: str | Path | None = None,
    stalls: bool = False,
    l2_holds_all: bool = False,
    waves: str | Path | None = None,
    window: range = range(0),
    settings: Sequence[str] = (),
    steps: Sequence[int] = (),
) -> VerifyResult:
    """Runs a network on the RTL and on the cycle engine and compares every word, cycle and counter.

    Args:
        network: runs from its input to its output; None for random small ones, the first from `seed`.
        layer: name of a convolution, to run it alone with the ifmap that it has in the network.
        image: int8 [1, C, H, W]; a random one from `seed` if None.
        simulator: icarus, verilator, cxxrtl, or auto for what is done sooner.
        networks: how many random ones, by default enough; from two on also starts that must fail, errors of
            memory, and every register.
        rtl_dir: what `verilog` wrote, to check it; None exports it afresh.
        stalls: every channel of the bus waits in a quarter of the cycles, at random from `seed`; values are
            compared and cycles are not.
        l2_holds_all: L2 holds weights and maps before the run: no packet waits for DRAM.
        waves: file (.fst, .vcd) for the signals of the RTL; those of the engine go to NAME.engine.vcd beside it.
        window: cycles of the network that they show; by default those around the first difference.
        steps: of a network of several time steps: these run one after the other on one memory image.

    Raises:
        InputError: unknown names, a machine or a layer that the RTL does not have, no simulator, or the
            extra `rtl` is not installed.
    """
    if layer and network is None:
        raise InputError("--layer", layer, "is a layer of no network", "name its network with --network")
    described = inputs.accelerator(accelerator, settings)
    if steps:
        nets = [] if network is None else inputs.time_steps(network, described)
        if stalls or l2_holds_all or networks or waves:
            raise InputError(
                "--step",
                list(steps),
                "takes no --stalls, --networks, --waves or --l2-holds-all",
                "leave them out",
            )
        return _verify_steps(described, nets, steps, layer, image, simulator, seed=seed, rtl_dir=rtl_dir)
    net = None
    if isinstance(network, str):
        net = inputs.integer_network(network, described)
    elif network is not None:
        net = inputs.time_steps(network, described)[0]
    if net is not None and image is None:
        image = inputs.images(net, None, 1, seed)
    with inputs.extra():
        from rtl.machine import hardware

        return hardware(described.kind).verify(
            described,
            net,
            layer,
            image,
            simulator,
            seed=seed,
            networks=networks,
            rtl_dir=rtl_dir,
            stalls=stalls,
            l2_holds_all=l2_holds_all,
            waves=None if waves is None else outputs.file(waves, (".fst", ".vcd"), "--waves"),
            window=window,
        )


def _verify_steps(
    machine: Accelerator,
    networks: Sequence[Network],
    steps: Sequence[int],
    layer: str,
    image: np.ndarray | None,
    simulator: str,
    *,
    seed: int,
    rtl_dir: str | Path | None,
) -> VerifyResult:
    """Of `verify`: some time steps; each on the image, or on one of its own."""
    chosen = [inputs.chosen_step(networks, step) for step in steps]
    images = [
        inputs.images(net, None, 1, seed + n) if image is None else image for n, net in enumerate(chosen)
    ]
    with inputs.extra():
        from rtl.machine import hardware

        return hardware(machine.kind).verify_steps(machine, chosen, images, layer, simulator, rtl_dir)
