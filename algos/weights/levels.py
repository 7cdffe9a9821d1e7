"""Weights of levels that are not uniform: E2M1 with scales of blocks, ternary, palettes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from algos.weights.bits import Bits, codebook_bits
from algos.weights.codebook import HIGH, IntegerWeight
from algos.weights.kmeans import masked_kmeans
from algos.weights.scalar import array, folded
from sim.errors import InputError
from sim.formats.encoding import index_bits
from sim.network import CodebookWeight, Mxfp4Weight, Nvfp4Weight, TernaryWeight, Weight
from sim.network.narrow import E2M1

Form = Literal["int", "mxfp4", "nvfp4", "ternary", "palette"]

LEAST_ENTRIES, MOST_ENTRIES = 2, 256
"""Of a palette."""


@dataclass(frozen=True)
class Levels:
    """What an element may be.

    Attributes:
        values: in units of its scale, in order.
        multiples: of the step of an output, whole, that scales of groups may be; () where an output has one scale.
        peak: what the largest weight of a group is in units of its scale, where nothing is clipped.
    """

    values: tuple[float, ...]
    multiples: tuple[int, ...]
    peak: float


class LevelWeight(IntegerWeight):
    """levels[codes] * scale.

    Args:
        form: of `FORMS`.
        levels: what the codes stand for.
        codes: int16 [m, n], as `algos.weights.scalar.laid_out` puts them.
        scale: [m, n / group].
        shape: of the weight, m * n elements.
        step: of the scales, [m, 1]; None where an output has one scale.
    """

    step: Tensor | None

    def __init__(
        self, form: str, levels: Levels, codes: Tensor, scale: Tensor, shape: torch.Size, step: Tensor | None
    ) -> None:
        super().__init__()
        self.form, self.levels, self.shape = form, levels, shape
        for name, value in (("codes", codes), ("scale", scale), ("step", step)):
            self.register_buffer(name, None if value is None else value.clone())

    @property
    def group(self) -> int:
        """Inputs that share a scale."""
        return self.codes.shape[1] // self.scale.shape[1]

    def values(self) -> Tensor:
        """Levels without their scales, float [m, n]."""
        table = torch.tensor(self.levels.values, dtype=self.scale.dtype, device=self.scale.device)
        return table[self.codes.long()]

    def forward(self, weight: Tensor) -> Tensor:
        rows = self.values() * self.scale.repeat_interleave(self.group, 1)
        return folded(rows, self.shape).to(weight.dtype)

    def stored(self) -> Weight:
        return FORMS[self.form].stored(self)

    def scales(self) -> np.ndarray:
        return (self.scale if self.step is None else self.step)[:, 0].double().cpu().numpy()

    def integers(self) -> np.ndarray:
        """Levels, which are whole numbers, int8 [K, C, Ky, Kx]."""
        return array(self.values(), self.shape).astype(np.int8)

    def multiples(self) -> np.ndarray:
        """Of the steps, that the scales are, uint8 [K, C / group, Ky, Kx]."""
        assert self.step is not None
        return array(torch.round(self.scale / self.step), self.shape).astype(np.uint8)


@dataclass(frozen=True)
class FormOf:
    """A format of such elements.

    Attributes:
        levels: of a layer, from its weights [m, n] and the entries of a palette.
        stored: the weight of a network of integers.
        bits: of a layer of so many weights, with scales of so many groups, and palettes of so many entries.
        group: inputs that share a scale, where nothing else is said; None for all of an output.
    """

    levels: Callable[[Tensor, int], Levels]
    stored: Callable[[LevelWeight], Weight]
    bits: Callable[[int, int, int], Bits]
    group: int | None = None


_E2M1 = tuple(int(2 * magnitude) for magnitude in E2M1)
"""Magnitudes times two, which are whole."""


def _floats(*multiples: int) -> Levels:
    """E2M1 times two, with the whole numbers that the scales of a format stand for."""
    values = [*(-float(magnitude) for magnitude in _E2M1[:0:-1]), *map(float, _E2M1)]
    return Levels(tuple(values), multiples, values[-1])


def _codes(weight: LevelWeight) -> np.ndarray:
    """Of E2M1, uint8 [K, C, Ky, Kx]."""
    values = weight.integers()
    return (np.searchsorted(_E2M1, np.abs(values)) + 8 * (values < 0)).astype(np.uint8)


def _palette(weights: Tensor, entries: int) -> Levels:
    """Of least squared error over a layer (k-means), each output in units of its largest weight / 127."""
    largest = weights.abs().amax(1, keepdim=True)
    steps = torch.where(largest > 0, largest, torch.ones_like(largest)) / HIGH
    vectors = (weights / steps).float().reshape(-1, 1)
    entries = min(entries, len(vectors) // 2)
    found = masked_kmeans(vectors, None, entries, start="k-means++").codebook
    return Levels(tuple(found.round().clamp(-HIGH, HIGH).unique().tolist()), (), HIGH)


def _looked_up(weight: LevelWeight) -> Weight:
    codebook = np.array(weight.levels.values, np.int8)[:, None]
    return CodebookWeight(codebook, array(weight.codes, weight.shape).astype(np.uint16))


def _scaled_bits(scale: int) -> Callable[[int, int, int], Bits]:
    return lambda weights, groups, _: Bits(weights, assignments=4 * weights, scales=scale * groups)


FORMS: dict[str, FormOf] = {
    "mxfp4": FormOf(
        lambda *_: _floats(1, 2, 4, 8),
        lambda weight: Mxfp4Weight(
            _codes(weight), np.log2(weight.multiples()).astype(np.uint8), weight.group
        ),
        _scaled_bits(2),
        group=32,
    ),
    "nvfp4": FormOf(
        lambda *_: _floats(*range(1, 11)),
        lambda weight: Nvfp4Weight(_codes(weight), weight.multiples(), weight.group),
        _scaled_bits(4),
        group=16,
    ),
    "ternary": FormOf(
        lambda *_: Levels((-1.0, 0.0, 1.0), (), 1.0),
        lambda weight: TernaryWeight(weight.integers()),
        lambda weights, *_: Bits(weights, assignments=-(-weights // 5) * 8),
    ),
    "palette": FormOf(
        _palette,
        _looked_up,
        lambda weights, _, entries: Bits(
            weights, assignments=weights * index_bits(entries), codebooks=codebook_bits(entries, 1)
        ),
    ),
}
"""By name; uniform levels are `algos.weights.scalar`'s."""


def require_entries(form: str, entries: int) -> None:
    """Raises InputError for a palette of another size."""
    if form == "palette" and not LEAST_ENTRIES <= entries <= MOST_ENTRIES:
        problem = f"a palette has {LEAST_ENTRIES} to {MOST_ENTRIES} entries"
        raise InputError("entries", entries, problem, "use 16")
