"""Multiply-accumulates and compression ratios of MVQ Tables 3 to 6, from the shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codeword.reports.mvq_hardware.machine import document
from codeword.reports.mvq_hardware.published import Rows, published
from sim.formats.encoding import index_bits, mask_bits
from sim.formats.policy import own_codewords
from sim.shapes import ConvShape
from sim.workloads import workload

FLOAT = 32
PQF_BITS, PQF_CODEWORDS, PQF_LENGTH = 11, 2048, 4
"""Classifiers as PQF has them: k = 2048, d = 4."""


@dataclass(frozen=True)
class Compression:
    """How a row of Tables 3 to 6 is compressed.

    Attributes:
        stem: whether the first convolution is left out of pruning and compression.
        classifier: "pqf", or compressed like the rest ("masked").
        parts: beginnings of the names of the layers that the paper counts; all without it.
    """

    row: str
    name: str
    k: int
    d: int
    keep: tuple[int, int]
    stem: Literal["dense", "pruned"]
    classifier: Literal["pqf", "masked"]
    network: str = ""
    parts: tuple[str, ...] = ()

    @property
    def shapes(self) -> list[ConvShape]:
        """Convolutions and linear layers that count."""
        return [
            shape
            for shape in workload(self.network or self.row).shapes
            if isinstance(shape, ConvShape) and (not self.parts or shape.name.startswith(self.parts))
        ]

    def pruned_macs(self) -> float:
        """N of M weights remain, everywhere but in a dense stem."""
        kept, group = self.keep
        first, *others = (shape.macs for shape in self.shapes)
        return first * (1.0 if self.stem == "dense" else kept / group) + sum(others) * kept / group

    def bits(self) -> float:
        """MVQ eq. 7 over all layers; the stem and depth-wise layers stay in 32 and 8 bits."""
        return sum(self._layer_bits(shape, number == 0) for number, shape in enumerate(self.shapes))

    def _layer_bits(self, shape: ConvShape, first: bool) -> float:
        kept, group = self.keep
        if first and self.stem == "dense":
            return FLOAT * shape.weights
        if shape.groups > 1:
            return 8 * shape.weights
        if shape.size == (1, 1) and self.classifier == "pqf":
            return shape.weights / PQF_LENGTH * PQF_BITS + PQF_CODEWORDS * PQF_LENGTH * 8
        k = own_codewords(shape, self.k, self.d)
        vectors = shape.weights / self.d
        mask = mask_bits(kept, group) / group if kept < group else 0.0
        return vectors * index_bits(k) + shape.weights * mask + k * self.d * 8

    @property
    def ratio(self) -> float:
        """Against 32 bits a weight."""
        return FLOAT * sum(shape.weights for shape in self.shapes) / self.bits()


def settings() -> dict[str, Compression]:
    """The rows of Tables 3 to 6, as machine.toml has them."""
    rows = (
        Compression(**{**row, "keep": tuple(row["keep"]), "parts": tuple(row.get("parts", ()))})
        for row in document()["compression"]
    )
    return {row.row: row for row in rows}


def dense_macs() -> Rows:
    """10^9, of the networks whose dense figure is printed."""
    found = settings()
    return {row: [sum(shape.macs for shape in found[row].shapes) / 1e9] for row in published()["macs"].rows}


def pruned_macs() -> Rows:
    """10^9."""
    found = settings()
    return {row: [found[row].pruned_macs() / 1e9] for row in published()["pruned"].rows}


def ratios() -> Rows:
    """Compression ratios."""
    found = settings()
    return {row: [found[row].ratio] for row in published()["ratios"].rows}
