"""Weights of few bits with a small integer scale for each group of input channels.

The loader multiplies: what the array sees is an INT8 weight, so that register files, multipliers and psums are those
of a dense machine. A group of `scale_group` input channels at a kernel position and output channel shares a scale;
where it is higher than the array, its scale comes again for every array's height. The scale of an output channel,
which group scales refine, is that of its requantization.
"""

from __future__ import annotations

from abc import abstractmethod
from math import gcd
from typing import Any, ClassVar

import numpy as np

from sim.errors import InputError
from sim.formats.format import Codewords, Draw, Format, Machine, Shape, Values


class Scaled(Format):
    """Rows of elements, one of each column; before the rows of a group those of its scales, as wide.

    Attributes:
        bits: of an element.
        rows: scale rows; together they bring `bits` times as many bits of the code of each column's scale,
            the first one the lowest.
        codes: of a scale, from 0 on.
    """

    coded = True
    bits: ClassVar[int]
    rows: ClassVar[int]
    codes: ClassVar[int]

    def check(self, machine: Machine) -> None:
        if machine.codeword_length != 1:
            raise InputError(
                "codeword_length",
                machine.codeword_length,
                f"{self.name} has records of one weight",
                "set it to 1",
            )

    def text(self, machine: Machine) -> str:
        return f"{self.name}, a scale for {machine.scale_group} input channels"

    def unit_bits(self, codewords: Codewords, k: int) -> int:
        return self.bits

    def row_bits(self, machine: Machine, columns: int, k: int, outputs: int) -> int:
        return self.bits * columns

    def scale_rows(self, machine: Machine) -> int:
        return self.rows

    def scale_span(self, machine: Machine) -> int:
        return gcd(machine.rows, machine.scale_group)

    def check_weight(self, weight: Any, machine: Machine) -> None:
        if weight.group % self.scale_span(machine) and weight.group < weight.shape[1]:
            raise InputError(
                "group",
                weight.group,
                f"the accelerator changes scales every {self.scale_span(machine)} channels",
                f"use groups of {machine.scale_group}, or set scale_group = {weight.group}",
            )

    def pack(self, weight: Any, codewords: Codewords) -> np.ndarray:
        """int64 [K, C, Ky, Kx]: an element, and above it the code of its scale."""
        elements = weight.elements.astype(np.int64) & (1 << self.bits) - 1
        scales = weight.scales.astype(np.int64) - self.lowest
        return elements | scales.repeat(weight.group, axis=1)[:, : elements.shape[1]] << self.bits

    def decode(self, stream: np.ndarray, codewords: Codewords, codebook: np.ndarray) -> np.ndarray:
        elements = self.values[stream & (1 << self.bits) - 1]
        return self.product(elements, stream >> self.bits).astype(np.int8)

    lowest: ClassVar[int] = 0
    """The scale of code 0."""

    @property
    @abstractmethod
    def values(self) -> np.ndarray:
        """int64 [2^bits], what element codes mean."""

    @abstractmethod
    def product(self, elements: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Weights, all of them in INT8."""

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        outputs, channels, *kernel = shape
        group = codewords.scale_group
        codes = draw(1 << self.bits, shape).astype(np.int64)
        scales = draw(self.codes, (outputs, -(-channels // group), *kernel)) + self.lowest
        return {"elements": self.stored(codes), "scales": scales.astype(np.uint8), "group": group}

    def stored(self, codes: np.ndarray) -> np.ndarray:
        """Elements as the network has them: integers."""
        return self.values[codes].astype(np.int8)


class Times(Scaled):
    """Two's complement of `bits` bits times a scale from 1 on."""

    lowest = 1

    @property
    def values(self) -> np.ndarray:
        codes = np.arange(1 << self.bits)
        return codes - (codes >> self.bits - 1 << self.bits)

    def product(self, elements: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return elements * (codes + 1)


class Int4(Times):
    """-8..7 times 1..16: -128..112."""

    name = "int4"
    code, loader = 5, "int4"
    bits, rows, codes = 4, 1, 16


class Int3(Times):
    """-4..3 times 1..32: -128..96."""

    name = "int3"
    code, loader = 6, "int3"
    bits, rows, codes = 3, 2, 32


class Int2(Times):
    """-2..1 times 1..64: -128..64."""

    name = "int2"
    code, loader = 7, "int2"
    bits, rows, codes = 2, 3, 64


class Fp4(Scaled):
    """E2M1 times two: 0, 1, 2, 3, 4, 6, 8, 12, of either sign (OCP Microscaling Formats 1.0, 5.3.3)."""

    bits, rows = 4, 1

    @property
    def values(self) -> np.ndarray:
        magnitudes = np.array([0, 1, 2, 3, 4, 6, 8, 12])
        return np.concatenate([magnitudes, -magnitudes])

    def stored(self, codes: np.ndarray) -> np.ndarray:
        """The codes of E2M1: two of them are zero."""
        return codes.astype(np.uint8)


class Mxfp4(Fp4):
    """E2M1, doubled and shifted left by 0..3: -96..96.

    The exponent of a block lies at most three below the largest one of its output channel; smaller blocks are
    rounded to it, which INT8 weights do in any case.
    """

    name = "mxfp4"
    code, loader = 8, "mxfp4"
    codes = 4

    def product(self, elements: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return elements << codes


class Nvfp4(Fp4):
    """E2M1, doubled, times 1..10: -120..120."""

    name = "nvfp4"
    code, loader = 9, "nvfp4"
    lowest, codes = 1, 10

    def product(self, elements: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return elements * (codes + 1)


class Mxint8(Scaled):
    """INT8, shifted right by 0..7 and rounded, halves upward: the exponent of a block below the largest one."""

    name = "mxint8"
    code, loader = 10, "mxint8"
    bits, rows, codes = 8, 1, 8

    @property
    def values(self) -> np.ndarray:
        codes = np.arange(256)
        return codes - (codes >> 7 << 8)

    def product(self, elements: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return elements + (1 << codes >> 1) >> codes
