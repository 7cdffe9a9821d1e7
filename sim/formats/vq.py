"""Vector quantization: a record is the index of a codeword (MVQ sec. 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.errors import InputError, require_multiple
from sim.formats.format import Codewords, Draw, Format, Machine, Shape, Values


@dataclass(frozen=True)
class Field:
    """`count` values of `bits` bits each, the first one lowest; `tensor` of the weight holds them."""

    tensor: str
    count: int
    bits: int


class Vq(Format):
    """A codeword index of index_bits(k) bits, and below it what formats derived from this one add."""

    name = "vq"
    code, loader = 1, "codebook"
    coded = True
    books = 1

    def check(self, machine: Machine) -> None:
        require_multiple(machine, "columns", "codeword_length")

    def check_weight(self, weight: Any, machine: Machine) -> None:
        k, d = weight.codebook.shape
        if d != machine.codeword_length:
            raise InputError(
                "d",
                d,
                f"the accelerator's codeword_length is {machine.codeword_length}",
                f"compress with that d, or set codeword_length = {d}",
            )
        if k > machine.codebook_entries:
            memory = "ROM" if self.universal else "RF"
            raise InputError(
                "k",
                k,
                f"the codebook {memory} holds {machine.codebook_entries}",
                f"compress with a smaller k, or set codebook_entries = {k}",
            )

    def text(self, machine: Machine) -> str:
        return f"codebook k = {machine.codebook_entries}, d = {machine.codeword_length}"

    def fields(self, codewords: Codewords, k: int) -> tuple[Field, ...]:
        """Of a record, LSB first. The index comes last: what lies below it keeps its place for every k."""
        return (Field("assignments", 1, self.index_bits(k)),)

    def unit_bits(self, codewords: Codewords, k: int) -> int:
        return sum(field.count * field.bits for field in self.fields(codewords, k))

    def row_bits(self, machine: Machine, columns: int, k: int, outputs: int) -> int:
        return -(-columns // machine.codeword_length) * self.unit_bits(machine, k)

    def pack(self, weight: Any, codewords: Codewords) -> np.ndarray:
        """int64 [K/d, C, Ky, Kx] records."""
        records = np.zeros((1, 1, 1, 1), np.int64)
        for field in reversed(self.fields(codewords, len(weight.codebook))):
            tensor = getattr(weight, field.tensor).astype(np.int64)
            values = tensor.reshape(*tensor.shape[:4], field.count)
            for n in reversed(range(field.count)):
                records = records << field.bits | values[..., n]
        return records

    def unpack(self, records: np.ndarray, codewords: Codewords, k: int) -> dict[str, np.ndarray]:
        """int64 [..., count] of every field, by the tensor of the weight that holds it."""
        found, low = {}, 0
        for field in self.fields(codewords, k):
            shifts = low + field.bits * np.arange(field.count)
            found[field.tensor] = records[..., None] >> shifts & (1 << field.bits) - 1
            low += field.count * field.bits
        return found

    def decode(self, stream: np.ndarray, codewords: Codewords, codebook: np.ndarray) -> np.ndarray:
        found = self.unpack(stream, codewords, len(codebook))
        vectors = self.vectors(codebook[found["assignments"][..., 0]], found, codewords)
        units, *rest = stream.shape
        return np.moveaxis(vectors, -1, 1).reshape(units * codewords.codeword_length, *rest).astype(np.int8)

    def vectors(
        self, looked_up: np.ndarray, found: dict[str, np.ndarray], codewords: Codewords
    ) -> np.ndarray:
        """[..., d], the weights of records from their codewords and the fields that `unpack` found."""
        return looked_up

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        assignments = draw(k, grid(shape, codewords))
        return {"assignments": assignments, "codebook": values((k, codewords.codeword_length))}


def grid(shape: Shape, codewords: Codewords) -> Shape:
    """(K/d, C, Ky, Kx) of weights (K, C, Ky, Kx)."""
    outputs, *rest = shape
    return (outputs // codewords.codeword_length, *rest)
