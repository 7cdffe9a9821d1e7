"""The verbs as functions. Each loads only the floor it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codeword import inputs
from sim.accelerator import Accelerator
from sim.errors import InputError, nearest
from sim.estimate import Estimate
from sim.estimate import estimate as estimate_shapes
from sim.formats import stream_format
from sim.mapping import best_schedule
from sim.network import CodebookWeight, Conv, Network
from sim.network import run as run_functional
from sim.program import Program, lower, token_ifmap
from sim.shapes import ConvShape, Shape

if TYPE_CHECKING:
    from rtl.verify import VerifyResult
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


def verify(
    accelerator: AcceleratorLike, *, network: str | Network | None = None, layer: str = "",
    image: np.ndarray | None = None, simulator: str = "icarus", seed: int = 0,
    settings: Sequence[str] = (),
) -> VerifyResult:
    """Runs one layer on the RTL and on the cycle engine and compares every word and counter.

    Args:
        network: whose layer runs; None for a random small layer from `seed`.
        layer: name of a convolution; "" for the first one that is vector-quantized, or the first.
        image: int8 [1, C, H, W]; a random one from `seed` if None.
        simulator: icarus or verilator.

    Raises:
        InputError: unknown names, a machine that cannot run the layer, no simulator, or the extra
            `rtl` is not installed.
    """
    machine = inputs.accelerator(accelerator, settings)
    with inputs.extra():
        from rtl import verify as bench

        if network is None:
            return bench.verify_random(machine, seed, simulator)
        net = inputs.integer_network(network) if isinstance(network, str) else network
        if image is None:
            image = inputs.images(net, None, 1, seed)
        program, ifmap = _layer_program(net, layer or _default_layer(net), machine, image)
        return bench.verify(machine, program, ifmap, simulator=simulator)


def _default_layer(net: Network) -> str:
    convs = [layer for layer in net.layers if isinstance(layer, Conv)]
    coded = [layer for layer in convs if isinstance(layer.weight, CodebookWeight)]
    return (coded or convs)[0].name


def _layer_program(
    net: Network, name: str, machine: Accelerator, image: np.ndarray
) -> tuple[Program, np.ndarray]:
    """A layer lowered as `simulate` lowers it, and the ifmap that reaches it."""
    layer = net[name]
    if not isinstance(layer, Conv):
        convs = [other.name for other in net.layers if isinstance(other, Conv)]
        raise InputError("--layer", name, "is not a convolution", nearest(name, convs))
    shape = next(shape for shape in net.shapes if shape.name == name)
    assert isinstance(shape, ConvShape)
    form, codewords = stream_format(layer.weight, machine, name)
    program = lower(layer, best_schedule(shape, machine, form, codewords))
    ifmap = run_functional(net, image)[layer.input]
    return program, token_ifmap(ifmap, layer, program, net.zero_point(layer.input))
