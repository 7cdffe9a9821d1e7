"""Weights of few bits: with group scales, ternary, and sums of codewords."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from sim.network.check import require, require_array, require_filled


@dataclass(frozen=True, eq=False)
class ScaledWeight:
    """Elements of few bits, each with the scale of its group of input channels.

    A scale is a small integer, and the product of both an INT8 weight: no rounding, no saturation. What it stands
    for in real numbers is the scale of the output channel, in its requantization, times that.

    Attributes:
        elements: [K, C, Ky, Kx], of type `dtype`, from `bounds`.
        scales: uint8 [K, ceil(C / group), Ky, Kx], from `scale_bounds`.
        group: consecutive input channels that share a scale, at a kernel position and output channel.

    Raises:
        InputError: another type or shape, or a value out of bounds.
    """

    elements: np.ndarray
    scales: np.ndarray
    group: int
    format: ClassVar[str]
    dtype: ClassVar[type[np.generic]] = np.int8
    bounds: ClassVar[tuple[int, int]]
    scale_bounds: ClassVar[tuple[int, int]]

    def __post_init__(self) -> None:
        require(
            self.elements.dtype == self.dtype and self.elements.ndim == 4,
            "elements",
            f"{self.elements.dtype}{list(self.elements.shape)}",
            f"must be {np.dtype(self.dtype)} [K, C, Ky, Kx]",
            "give a linear layer as a 1x1 kernel",
        )
        require_filled("elements", self.elements)
        require(self.group >= 1, "group", self.group, "must be 1 or more", "give the channels of a scale")
        outputs, channels, *kernel = self.elements.shape
        require_array("scales", self.scales, np.uint8, (outputs, -(-channels // self.group), *kernel))
        for name, array, (low, high) in (
            ("elements", self.elements, self.bounds),
            ("scales", self.scales, self.scale_bounds),
        ):
            worst = int(array.min()) if array.min() < low else int(array.max())
            require(
                low <= worst <= high, name, worst, f"not in {low}..{high}", f"clip {name} of {self.format}"
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.elements.shape  # type: ignore[return-value]

    def decode(self) -> np.ndarray:
        """int8 [K, C, Ky, Kx]."""
        return self._decoded

    @cached_property
    def _decoded(self) -> np.ndarray:
        found = np.empty(self.shape, np.int8)
        for n in range(self.scales.shape[1]):
            channels = slice(n * self.group, (n + 1) * self.group)
            found[:, channels] = self.products(self.elements[:, channels], self.scales[:, n : n + 1])
        return found

    @staticmethod
    def products(elements: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Integers within INT8."""
        return elements.astype(np.int16) * scales


class Int4Weight(ScaledWeight):
    """Products from -128 to 112."""

    format = "int4"
    bounds, scale_bounds = (-8, 7), (1, 16)


class Int3Weight(ScaledWeight):
    """Products from -128 to 96."""

    format = "int3"
    bounds, scale_bounds = (-4, 3), (1, 32)


class Int2Weight(ScaledWeight):
    """Products from -128 to 64."""

    format = "int2"
    bounds, scale_bounds = (-2, 1), (1, 64)


E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitudes of codes 0..7; codes from 8 on are negative (OCP Microscaling Formats 1.0, table 5)."""


class Nvfp4Weight(ScaledWeight):
    """Elements are codes of E2M1, scales integers: a weight is twice their product, from -120 to 120."""

    format = "nvfp4"
    dtype = np.uint8
    bounds, scale_bounds = (0, 15), (1, 10)

    @staticmethod
    def products(elements: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return (2 * _e2m1(elements) * scales).astype(np.int16)


class Mxfp4Weight(ScaledWeight):
    """Elements are codes of E2M1, scales the exponents of blocks above the smallest one: from -96 to 96."""

    format = "mxfp4"
    dtype = np.uint8
    bounds, scale_bounds = (0, 15), (0, 3)

    @staticmethod
    def products(elements: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return (2 * _e2m1(elements) * 2.0**scales).astype(np.int16)


class Mxint8Weight(ScaledWeight):
    """Scales are the exponents of blocks below the largest one: elements / 2^scale, rounded, halves upward."""

    format = "mxint8"
    bounds, scale_bounds = (-128, 127), (0, 7)

    @staticmethod
    def products(elements: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return np.floor(elements / 2.0**scales + 0.5).astype(np.int16)


def _e2m1(codes: np.ndarray) -> np.ndarray:
    return np.array(E2M1)[codes & 7] * np.where(codes & 8, -1, 1)


@dataclass(frozen=True, eq=False)
class TernaryWeight:
    """Weights of -1, 0 and 1, int8 [K, C, Ky, Kx].

    Raises:
        InputError: another type, shape or value.
    """

    values: np.ndarray
    format: ClassVar[str] = "ternary"

    def __post_init__(self) -> None:
        require(
            self.values.dtype == np.int8 and self.values.ndim == 4,
            "values",
            f"{self.values.dtype}{list(self.values.shape)}",
            "must be int8 [K, C, Ky, Kx]",
            "give a linear layer as a 1x1 kernel",
        )
        require_filled("values", self.values)
        worst = int(self.values.flat[np.abs(self.values.astype(np.int16)).argmax()])
        require(
            abs(worst) <= 1, "values", worst, "a ternary weight is -1, 0 or 1", "quantize to three values"
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def decode(self) -> np.ndarray:
        """int8 [K, C, Ky, Kx]."""
        return self.values


@dataclass(frozen=True, eq=False)
class AqlmWeight:
    """A sub-vector is the sum of two codewords, one of either codebook (AQLM sec. 3).

    Attributes:
        codebooks: int8 [2, k, d]; no sum of two codewords leaves INT8, used or not.
        assignments: uint16 [K/d, C, Ky, Kx, 2].

    Raises:
        InputError: another type or shape, an assignment beyond k, or a sum that would not be an INT8 weight.
    """

    codebooks: np.ndarray
    assignments: np.ndarray
    format: ClassVar[str] = "aqlm"

    def __post_init__(self) -> None:
        books, assigned = self.codebooks, self.assignments
        require(
            books.dtype == np.int8 and books.ndim == 3 and len(books) == 2,
            "codebooks",
            f"{books.dtype}{list(books.shape)}",
            "must be int8 [2, k, d]",
            "give two codebooks of one size",
        )
        require_filled("codebooks", books)
        require(
            assigned.dtype == np.uint16 and assigned.ndim == 5 and assigned.shape[-1] == 2,
            "assignments",
            f"{assigned.dtype}{list(assigned.shape)}",
            "must be uint16 [K/d, C, Ky, Kx, 2]",
            "store an index of either codebook",
        )
        require_filled("assignments", assigned)
        k = books.shape[1]
        top = int(assigned.max())
        require(top < k, "assignments", top, f"beyond codebooks of k = {k}", f"use indices 0..{k - 1}")
        wide = books.astype(np.int64)
        for worst in (int(wide.min(1).sum(0).min()), int(wide.max(1).sum(0).max())):
            require(
                -128 <= worst <= 127,
                "codebooks",
                worst,
                "a sum of two codewords is no INT8 weight",
                "raise the scale of the output channels",
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        groups, c, ky, kx, _ = self.assignments.shape
        return groups * self.d, c, ky, kx

    @property
    def d(self) -> int:
        return self.codebooks.shape[2]

    @property
    def codebook(self) -> np.ndarray:
        """int8 [2k, d], codewords of both in turn, as the weight stream brings them."""
        return self.codebooks.transpose(1, 0, 2).reshape(-1, self.d)

    def decode(self) -> np.ndarray:
        """int8 [K, C, Ky, Kx]."""
        return self._decoded

    @cached_property
    def _decoded(self) -> np.ndarray:
        first, second = (
            book.astype(np.int16)[self.assignments[..., n]] for n, book in enumerate(self.codebooks)
        )
        vectors = (first + second).astype(np.int8)
        return np.ascontiguousarray(np.moveaxis(vectors, -1, 1).reshape(self.shape))
