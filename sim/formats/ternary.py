"""Ternary weights, five digits a byte (BitNet b1.58)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.errors import InputError, require_multiple
from sim.formats.format import Codewords, Draw, Format, Machine, Shape, Values

DIGITS = 5
"""Of a byte: 3^5 = 243."""
LONGEST = 32
"""Weights of a record."""


def digit_bits(count: int) -> int:
    """Bits of a number of so many digits, at most DIGITS."""
    return (3**count - 1).bit_length()


class Ternary(Format):
    """A record is d weights of -1, 0 or 1: a byte of each five of them, the first one the lowest digit, and what the
    rest of them needs: 26 bits of 16 weights. Digit 0 is -1.
    """

    name = "ternary"
    code, loader = 11, "ternary"
    coded = True

    def check(self, machine: Machine) -> None:
        require_multiple(machine, "columns", "codeword_length")
        if machine.codeword_length > LONGEST:
            raise InputError(
                "codeword_length",
                machine.codeword_length,
                f"a record has {LONGEST} weights at most",
                "lower it",
            )

    def text(self, machine: Machine) -> str:
        return f"ternary, records of {machine.codeword_length}"

    def unit_bits(self, codewords: Codewords, k: int) -> int:
        whole, rest = divmod(codewords.codeword_length, DIGITS)
        return 8 * whole + digit_bits(rest)

    def row_bits(self, machine: Machine, columns: int, k: int, outputs: int) -> int:
        return -(-columns // machine.codeword_length) * self.unit_bits(machine, k)

    def pack(self, weight: Any, codewords: Codewords) -> np.ndarray:
        """int64 [ceil(K/d), C, Ky, Kx]; zeros fill the last record up."""
        d = codewords.codeword_length
        outputs, *rest = weight.values.shape
        digits = np.ones((-(-outputs // d) * d, *rest), np.int64)
        digits[:outputs] += weight.values
        records = np.zeros((len(digits) // d, *rest), np.int64)
        for n in range(d):
            records += digits[n::d] * 3 ** (n % DIGITS) << n // DIGITS * 8
        return records

    def decode(self, stream: np.ndarray, codewords: Codewords, codebook: np.ndarray) -> np.ndarray:
        d = codewords.codeword_length
        n = np.arange(d).reshape(d, *(1,) * (stream.ndim - 1))
        numbers = stream[:, None] >> n // DIGITS * 8 & 255
        digits = numbers // 3 ** (n % DIGITS) % 3 - 1
        return digits.reshape(len(stream) * d, *stream.shape[1:]).astype(np.int8)

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        return {"values": (draw(3, shape).astype(np.int64) - 1).astype(np.int8)}
