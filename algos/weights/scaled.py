"""Weights of few bits with integer group scales: from real weights, and on layers of a module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from algos.weights.codebook import IntegerWeight
from sim.errors import InputError, nearest
from sim.network import WEIGHTS, ScaledWeight


def fitted(weight: np.ndarray, form: str, group: int) -> tuple[ScaledWeight, np.ndarray]:
    """Rounds to nearest, each group of inputs with the scale of least squared error.

    Args:
        weight: float [K, C, Ky, Kx].
        form: of a weight with group scales: int4, int3, int2, mxfp4, nvfp4, mxint8.
        group: input channels that share a scale, at a kernel position and output channel.

    Returns:
        the weight in integers, and the real value of the integer 1, float64 [K].

    Raises:
        InputError: a format without group scales.
    """
    kind = _kind(form)
    codes = np.arange(kind.bounds[0], kind.bounds[1] + 1).astype(kind.dtype)
    low, top = kind.scale_bounds
    tables = [kind.products(codes, np.full(len(codes), scale, np.uint8)) for scale in range(low, top + 1)]
    peak = max(int(table.max()) for table in tables)
    largest = np.abs(weight).reshape(len(weight), -1).max(1).astype(np.float64)
    units = np.where(largest > 0, largest, 1) / peak
    wanted = weight / units[:, None, None, None]
    best = np.full((len(weight), -(-weight.shape[1] // group), *weight.shape[2:]), np.inf)
    scales = np.full(best.shape, low, np.uint8)
    elements = np.zeros(weight.shape, kind.dtype)
    for scale, table in enumerate(tables, low):
        order = np.argsort(table, kind="stable")
        levels = table[order].astype(np.float64)
        found = order[np.searchsorted((levels[1:] + levels[:-1]) / 2, wanted)]
        squares = (table[found] - wanted) ** 2
        errors = np.add.reduceat(squares, np.arange(0, weight.shape[1], group), axis=1)
        better = errors < best
        best, scales = np.where(better, errors, best), np.where(better, scale, scales).astype(np.uint8)
        chosen = better.repeat(group, axis=1)[:, : weight.shape[1]]
        elements = np.where(chosen, codes[found], elements)
    return kind(elements, scales, group), units


def _kind(form: str) -> type[ScaledWeight]:
    known = {name: kind for name, kind in WEIGHTS.items() if issubclass(kind, ScaledWeight)}
    if form not in known:
        raise InputError("format", form, "has no group scales", nearest(form, known))
    return known[form]


class ScaledPart(IntegerWeight):
    """A weight that is given in integers: `weight` times `units`, float64 [K].

    Args:
        shape: of the layer's own weight.
    """

    def __init__(self, weight: ScaledWeight, units: np.ndarray, shape: torch.Size) -> None:
        super().__init__()
        self.weight, self.units = weight, units
        real = weight.decode() * units[:, None, None, None]
        self.register_buffer("values", torch.from_numpy(real).float().reshape(shape))

    def forward(self, weight: Tensor) -> Tensor:
        values: Tensor = self.values
        return values.to(weight)

    def stored(self) -> ScaledWeight:
        return self.weight

    def scales(self) -> np.ndarray:
        return self.units


def attach_scaled(layer: nn.Module, form: str, group: int) -> ScaledPart:
    """Rounds a layer's weight (`fitted`) and makes the layer take it from there.

    Args:
        layer: a linear layer or a convolution, with a weight [K, C], [K, C, k] or [K, C, Ky, Kx].
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    outputs, inputs, *kernel = weight.shape
    real = weight.detach().double().cpu().numpy().reshape(outputs, inputs, *(1,) * (2 - len(kernel)), *kernel)
    part = ScaledPart(*fitted(real, form, group), weight.shape)
    parametrize.register_parametrization(layer, "weight", part, unsafe=True)
    layer.parametrizations.weight.original.requires_grad_(False)  # type: ignore[union-attr, index]
    return part
