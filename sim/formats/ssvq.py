"""Sign-splitting vector quantization: codewords of magnitudes, signs beside them (SSVQ)."""

from __future__ import annotations

import numpy as np

from sim.formats.format import Codewords, Draw, Machine, Shape, Values
from sim.formats.vq import Field, Vq, grid


class Ssvq(Vq):
    """d signs, 1 = negative, then the codeword index."""

    name = "ssvq"
    code, loader = 3, "signed"
    signs = True

    def text(self, machine: Machine) -> str:
        return f"{super().text(machine)}, and signs"

    def fields(self, codewords: Codewords, k: int) -> tuple[Field, ...]:
        return (Field("signs", 1, codewords.codeword_length), *super().fields(codewords, k))

    def vectors(
        self, looked_up: np.ndarray, found: dict[str, np.ndarray], codewords: Codewords
    ) -> np.ndarray:
        negative = found["signs"] >> np.arange(codewords.codeword_length) & 1
        return looked_up * (1 - 2 * negative)

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        drawn = super().draw(shape, k, codewords, draw, lambda size: _magnitudes(values(size)))
        return drawn | {"signs": draw(2**codewords.codeword_length, grid(shape, codewords))}


def _magnitudes(values: np.ndarray) -> np.ndarray:
    return np.abs(values.astype(np.int16)).clip(0, 127).astype(np.int8)
