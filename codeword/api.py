"""The verbs as functions. Each loads only the floor it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codeword import inputs
from sim.accelerator import Accelerator
from sim.estimate import Estimate
from sim.estimate import estimate as estimate_shapes
from sim.network import Network
from sim.shapes import Shape

if TYPE_CHECKING:
    from sim.engine import Simulation

AcceleratorLike = str | Accelerator


def estimate(
    network: str | Network | Sequence[Shape], accelerator: AcceleratorLike, *,
    objective: str = "edp", settings: Sequence[str] = (),
) -> Estimate:
    """Cycles, energy and area of a network from the closed form.

    Args:
        network: a built-in name, a .safetensors file, a Network, or shapes.
        accelerator: a preset name, a TOML file, or an Accelerator.
        objective: of the mapping: edp, energy or cycles.
        settings: `field=value` replacements in the accelerator.

    Raises:
        InputError: unknown names, bad values, or a machine that cannot run the network.
    """
    name = network if isinstance(network, str) else "network"
    found = inputs.network(network) if isinstance(network, str) else network
    return estimate_shapes(found, inputs.accelerator(accelerator, settings),
                           objective=objective, name=name)


def simulate(
    network: str | Network, accelerator: AcceleratorLike, images: np.ndarray, *,
    objective: str = "edp", settings: Sequence[str] = (),
) -> Simulation:
    """Runs int8 images [batch, C, H, W] through the cycle engine, bit for bit.

    Raises:
        InputError: unknown names, bad values, or a machine that cannot run the network.
    """
    from sim import engine

    net = inputs.integer_network(network) if isinstance(network, str) else network
    return engine.simulate(net, inputs.accelerator(accelerator, settings), images,
                           objective=objective)


def verilog(
    accelerator: AcceleratorLike, directory: str | Path, *, settings: Sequence[str] = ()
) -> list[Path]:
    """Writes the accelerator's Verilog, one file a module, and returns the files.

    Raises:
        InputError: unknown accelerator, or the extra `rtl` is not installed.
    """
    with inputs.extra():
        from rtl import verilog as exporter

        return exporter.export(inputs.accelerator(accelerator, settings), Path(directory))
