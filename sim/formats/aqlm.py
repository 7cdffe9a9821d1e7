"""Additive vector quantization: a sub-vector is the sum of two codewords (AQLM sec. 3)."""

from __future__ import annotations

import numpy as np

from sim.formats.format import Codewords, Draw, Machine, Shape, Values
from sim.formats.vq import Field, Vq, grid


class Aqlm(Vq):
    """The index in either codebook, that of the first one lowest.

    The codebook job brings codewords of both in turn; k counts them all.
    """

    name = "aqlm"
    code, loader = 12, "additive"
    books = 2

    def text(self, machine: Machine) -> str:
        half, d = machine.codebook_entries // 2, machine.codeword_length
        return f"sums of two codewords, codebooks k = {half}, d = {d}"

    def fields(self, codewords: Codewords, k: int) -> tuple[Field, ...]:
        return (Field("assignments", 2, self.index_bits(k)),)

    def decode(self, stream: np.ndarray, codewords: Codewords, codebook: np.ndarray) -> np.ndarray:
        found = self.unpack(stream, codewords, len(codebook))["assignments"]
        vectors = codebook[2 * found[..., 0]] + codebook[2 * found[..., 1] + 1]
        units, *rest = stream.shape
        return np.moveaxis(vectors, -1, 1).reshape(units * codewords.codeword_length, *rest)

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        """Codewords of half the size: no sum of two leaves INT8."""
        assignments = draw(k // 2, (*grid(shape, codewords), 2))
        codebooks = values((k, codewords.codeword_length))[: k // 2 * 2] >> 1
        return {"assignments": assignments, "codebooks": codebooks.reshape(2, k // 2, -1)}
