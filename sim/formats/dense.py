"""INT8 weights as they are, in three orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.formats.format import Codewords, Draw, Format, Machine, Shape, Values


class Dense(Format):
    """A weight is 8 bits, two's complement; a row has one of each column."""

    name = "dense"
    code, loader = 0, "dense"

    def check(self, machine: Machine) -> None:
        """Every machine has it."""

    def text(self, machine: Machine) -> str:
        return "dense INT8"

    def unit_bits(self, codewords: Codewords, k: int) -> int:
        return 8

    def row_bits(self, machine: Machine, columns: int, k: int, outputs: int) -> int:
        return 8 * columns

    def pack(self, weight: Any, codewords: Codewords) -> np.ndarray:
        """Any weight runs as INT8."""
        decoded: np.ndarray = weight.decode()
        return decoded

    def decode(self, stream: np.ndarray, codewords: Codewords, codebook: np.ndarray) -> np.ndarray:
        return stream.astype(np.int8)

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        return {"values": values(shape)}


class Split(Dense):
    """On a sparse tile: sub-record u holds the Q weights of positions u*Q .. u*Q+Q-1 of each codeword."""

    name = "split"
    layout_of = "dense"
    sub_records = True

    def parts(self, machine: Machine) -> int:
        return machine.split

    def row_bits(self, machine: Machine, columns: int, k: int, outputs: int) -> int:
        return -(-columns // machine.codeword_length) * machine.multipliers_per_codeword * 8


class Block(Dense):
    """Of a grouped layer: the weights of the row's own group."""

    name = "block"
    layout_of = "dense"
    diagonal = True

    def row_bits(self, machine: Machine, columns: int, k: int, outputs: int) -> int:
        return 8 * outputs
