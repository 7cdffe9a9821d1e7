"""Every tensor of a network of integers beside the float network."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from algos.frontend.calibrate import Activation
from algos.frontend.graph import Value
from algos.frontend.lower import Held
from sim.errors import InputError
from sim.network import Network, Operand, Rearrange, Reshape, run

ALONE = 12.0
"""dB that a layer alone must reach; INT8 of any ordinary distribution gives 25 and more."""

WHOLE = 6.0
"""dB that the output must reach: below, the error has a quarter of the signal's power."""


@dataclass(frozen=True)
class Fidelity:
    """How near one tensor is.

    Attributes:
        sqnr_db: power of the float tensor over that of the difference, dB, all layers before it in integers.
        correlation: of the two.
        alone_db: the same with this layer alone in integers, on rounded floats.
    """

    name: str
    sqnr_db: float
    correlation: float
    alone_db: float


class Comparison(tuple[Fidelity, ...]):
    """All tensors in execution order; as text, a table of the output and the worst."""

    def worst(self, most: int = 5) -> list[Fidelity]:
        """The last tensor, then those that are nearest to being refused, or beyond it."""
        rows = sorted(self, key=lambda one: min(one.alone_db - ALONE, one.sqnr_db - WHOLE))[:most]
        return [self[-1], *(row for row in rows if row is not self[-1])]

    def __str__(self) -> str:
        return table(self)


def compare(
    network: Network, images: np.ndarray, floats: Mapping[Value, torch.Tensor], held: Mapping[Value, Held]
) -> Comparison:
    """Each layer's tensor that is one of the float network's, in execution order.

    Args:
        images: real, [n, C, H, W] as the map lies.
        floats: [n, ...] of each value.
        held: where the network has it.

    Raises:
        InputError: a map of another size than the float network's.
    """
    for value, place in held.items():
        if network.maps[place.tensor] != place.layout.map:
            raise InputError(
                f"{place.tensor}.ofmap",
                network.maps[place.tensor],
                f"is not {value.extent}",
                "report this module",
            )
    tensors = run(network, network.input.quantize(images))
    wanted = {"input": images}
    scales = {"input": Activation(network.input.scale, network.input.zero_point)}
    for value, place in held.items():
        if value in floats:
            whole = floats[value].double().numpy().reshape(len(images), -1)
            wanted[place.tensor] = whole[:, place.layout.index()]
            scales[place.tensor] = place.activation
    found = []
    for layer in network.layers:
        if isinstance(layer, Reshape | Rearrange) and layer.name not in wanted and layer.input in wanted:
            a = scales[layer.name] = scales[layer.input]
            moved = layer.compute(Operand(a.integers(wanted[layer.input]), a.zero_point))
            wanted[layer.name] = a.real(moved)
        elif layer.name in wanted:
            a, expected = scales[layer.name], wanted[layer.name]
            alone = math.inf
            if all(name in wanted for name in layer.inputs):
                rounded = [Operand(scales[n].integers(wanted[n]), scales[n].zero_point) for n in layer.inputs]
                alone = sqnr(expected, a.real(layer.compute(*rounded)))
            real = a.real(tensors[layer.name])
            found.append(Fidelity(layer.name, sqnr(expected, real), correlation(expected, real), alone))
    return Comparison(found)


def sqnr(expected: np.ndarray, found: np.ndarray) -> float:
    """dB of a signal over the error."""
    signal, noise = float(np.square(expected).sum()), float(np.square(expected - found).sum())
    return math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-300) / noise)


def correlation(expected: np.ndarray, found: np.ndarray) -> float:
    """Of two arrays; 1 where either is constant."""
    a, b = expected - expected.mean(), found - found.mean()
    spread = math.sqrt(float(np.square(a).sum()) * float(np.square(b).sum()))
    return float((a * b).sum()) / spread if spread else 1.0


def table(found: Sequence[Fidelity]) -> str:
    """The last tensor and the worst ones."""
    lines = [f"{'tensor':40} {'SQNR dB':>8} {'alone dB':>8} {'corr.':>7}"]
    return "\n".join(
        [
            *lines,
            *(
                f"{one.name:40} {one.sqnr_db:8.1f} {one.alone_db:8.1f} {one.correlation:7.4f}"
                for one in Comparison(found).worst()
            ),
        ]
    )


def require(found: Sequence[Fidelity], allow: Collection[str]) -> None:
    """Refuses tensors that are far from the float network's.

    Raises:
        InputError: a layer alone below ALONE dB or an output below WHOLE dB, whose name matches none of the
            patterns in `allow`.
    """
    bad = [
        one
        for one in found
        if (one.alone_db < ALONE or (one is found[-1] and one.sqnr_db < WHOLE))
        and not any(fnmatch.fnmatchcase(one.name, pattern) for pattern in allow)
    ]
    if bad:
        raise InputError(
            "quantized tensors",
            len(bad),
            f"are far from the float network (least {ALONE:.0f} dB a layer alone, {WHOLE:.0f} dB the output):"
            f"\n{table(bad)}",
            "calibrate on more data or with another observer, or name them in allow=[...]",
        )
