"""Weights: INT8, dense or vector-quantized."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import ClassVar

import numpy as np

from sim.formats import encoding
from sim.network.check import require, require_filled
from sim.network.narrow import (
    AqlmWeight,
    Int2Weight,
    Int3Weight,
    Int4Weight,
    Mxfp4Weight,
    Mxint8Weight,
    Nvfp4Weight,
    ScaledWeight,
    TernaryWeight,
)


@dataclass(frozen=True, eq=False)
class DenseWeight:
    """INT8 weights [K, C, Ky, Kx] (output channels, input channels of a group, kernel)."""

    values: np.ndarray
    format: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        require(
            self.values.dtype == np.int8 and self.values.ndim == 4,
            "weight",
            f"{self.values.dtype}{list(self.values.shape)}",
            "must be int8 [K,C,Ky,Kx]",
            "quantize to INT8 and give a linear layer as a 1x1 kernel",
        )
        require_filled("weight", self.values)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def decode(self) -> np.ndarray:
        """int8 [K, C, Ky, Kx]."""
        return self.values


@dataclass(frozen=True, eq=False)
class CodebookWeight:
    """Vector-quantized weights: one sub-vector is d consecutive output channels (MVQ sec. 4.3).

    Attributes:
        codebook: int8 [k, d], k up to 65,536; magnitudes 0..127 where there are signs.
        assignments: uint16 [K/d, C, Ky, Kx], index of the codeword; C of one group.
        mask_codes: uint16 [K/d, C, Ky, Kx, d/M], or None.
        keep, group: N and M of the N:M mask (0, 0 without a mask).
        signs: uint16 or uint32 [K/d, C, Ky, Kx], or None; bit j set: element j is negative (SSVQ). No
            masks beside it, and d of at most 16.
        universal: the codebook is the one that all layers and networks share (VQ4ALL); the network
            file names it by its hash.

    Raises:
        InputError: an assignment beyond k, a mask code at or above C(M, N), a sign beyond d, shapes
            that disagree.
    """

    codebook: np.ndarray
    assignments: np.ndarray
    mask_codes: np.ndarray | None = None
    keep: int = 0
    group: int = 0
    signs: np.ndarray | None = None
    universal: bool = False

    def __post_init__(self) -> None:
        require(
            self.codebook.ndim == 2,
            "codebook",
            list(self.codebook.shape),
            "must be [k, d]",
            "store one codeword a row",
        )
        require_filled("codebook", self.codebook)
        k, d = self.codebook.shape
        require(
            self.codebook.dtype == np.int8,
            "codebook",
            self.codebook.dtype,
            "must be int8",
            "quantize the codebook to INT8",
        )
        require(
            self.assignments.ndim == 4,
            "assignments",
            list(self.assignments.shape),
            "must be [K/d, C, Ky, Kx]",
            "group output-channel-wise",
        )
        require_filled("assignments", self.assignments)
        top = int(self.assignments.max(initial=0))
        require(
            top < k,
            "assignments",
            top,
            f"beyond the codebook of k = {k}",
            f"use indices 0..{k - 1} or store the whole codebook",
        )
        if self.signs is not None:
            self._check_signs(self.signs, d)
        if self.mask_codes is None:
            return
        require(
            0 < self.keep <= self.group and d % self.group == 0,
            "mask",
            f"{self.keep}:{self.group}",
            f"does not tile a codeword of d = {d}",
            "choose M that divides d and N <= M",
        )
        require(
            self.group <= 32 and comb(self.group, self.keep) <= 2**16,
            "mask",
            f"{self.keep}:{self.group}",
            "has more masks than codes of 16 bits, or more than 32 bits",
            "choose a smaller M",
        )
        expected = (*self.assignments.shape, d // self.group)
        require(
            self.mask_codes.shape == expected,
            "mask_codes",
            list(self.mask_codes.shape),
            f"must be {list(expected)}",
            "store one code for each group of M elements",
        )
        encoding.mask_unrank(np.array([self.mask_codes.max(initial=0)]), self.keep, self.group)

    def _check_signs(self, signs: np.ndarray, d: int) -> None:
        require(
            self.mask_codes is None,
            "signs",
            "beside mask_codes",
            "a weight has signs or masks",
            "drop one of them",
        )
        require(d <= 16, "signs", d, "codewords with signs have d of at most 16", "choose a smaller d")
        require(
            signs.dtype in (np.uint16, np.uint32) and signs.shape == self.assignments.shape,
            "signs",
            f"{signs.dtype}{list(signs.shape)}",
            f"must be uint16 {list(self.assignments.shape)}",
            "store one word of signs for each codeword",
        )
        top = int(signs.max(initial=0))
        require(top < 2**d, "signs", top, f"has bits beyond d = {d}", "use bit j for element j")
        low = int(self.codebook.min(initial=0))
        require(
            low >= 0,
            "codebook",
            low,
            "holds magnitudes where there are signs",
            "store 0..127 and put signs into `signs`",
        )

    @property
    def format(self) -> str:
        """Name of the weight format: "vq", "mvq" (with masks) or "ssvq" (with signs)."""
        if self.signs is not None:
            return "ssvq"
        return "vq" if self.mask_codes is None else "mvq"

    @property
    def d(self) -> int:
        return self.codebook.shape[1]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        groups, c, ky, kx = self.assignments.shape
        return groups * self.d, c, ky, kx

    def masks(self) -> np.ndarray:
        """bool [K/d, C, Ky, Kx, d], True where a weight is kept."""
        if self.mask_codes is None:
            return np.ones((*self.assignments.shape, self.d), bool)
        masks = encoding.mask_unrank(self.mask_codes, self.keep, self.group)
        return masks.reshape(*self.assignments.shape, self.d)

    def decode(self) -> np.ndarray:
        """int8 [K, C, Ky, Kx]: codewords looked up, then masked or signed."""
        return self._decoded

    @cached_property
    def _decoded(self) -> np.ndarray:
        vectors = self.codebook[self.assignments]
        if self.mask_codes is not None:
            vectors = np.where(self.masks(), vectors, np.int8(0))
        elif self.signs is not None:
            negative = self.signs[..., None] >> np.arange(self.d, dtype=self.signs.dtype) & 1
            vectors = np.where(negative, -vectors, vectors)
        return np.ascontiguousarray(np.moveaxis(vectors, -1, 1).reshape(self.shape))


Weight = DenseWeight | CodebookWeight | ScaledWeight | TernaryWeight | AqlmWeight

WEIGHTS: dict[str, type[Weight]] = {
    "dense": DenseWeight,
    "vq": CodebookWeight,
    "mvq": CodebookWeight,
    "ssvq": CodebookWeight,
} | {
    kind.format: kind
    for kind in (
        *(Int4Weight, Int3Weight, Int2Weight, Mxfp4Weight, Nvfp4Weight, Mxint8Weight),
        *(TernaryWeight, AqlmWeight),
    )
}
"""The functional definition of each weight format, by its name."""
