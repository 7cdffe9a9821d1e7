"""Masked vector quantization: codewords of which N:M masks keep elements (MVQ sec. 4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.errors import InputError, require_multiple
from sim.formats.encoding import mask_bits, mask_table, mask_unrank
from sim.formats.format import Codewords, Draw, Machine, Shape, Values
from sim.formats.vq import Field, Vq, grid


class Mvq(Vq):
    """d/M mask codes of mask_bits(N, M) bits, then the codeword index (MVQ eq. 7)."""

    name = "mvq"
    code, loader = 2, "masked"
    masks = True

    def check(self, machine: Machine) -> None:
        super().check(machine)
        if machine.keep > machine.group:
            raise InputError("keep", machine.keep, f"more than group = {machine.group}", "keep fewer")
        require_multiple(machine, "codeword_length", "group")

    def pattern(self, of: Any) -> str:
        return f"{self.name} {of.keep}:{of.group}"

    def text(self, machine: Machine) -> str:
        return f"{super().text(machine)}, mask {machine.keep}:{machine.group}"

    def fields(self, codewords: Codewords, k: int) -> tuple[Field, ...]:
        each = mask_bits(codewords.keep, codewords.group)
        codes = Field("mask_codes", codewords.codeword_length // codewords.group, each)
        return (codes, *super().fields(codewords, k))

    def vectors(
        self, looked_up: np.ndarray, found: dict[str, np.ndarray], codewords: Codewords
    ) -> np.ndarray:
        masks = mask_unrank(found["mask_codes"], codewords.keep, codewords.group)
        return looked_up * masks.reshape(looked_up.shape)

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        keep, group, d = codewords.keep, codewords.group, codewords.codeword_length
        places = grid(shape, codewords)
        return {
            "assignments": draw(k, places),
            "mask_codes": draw(len(mask_table(keep, group)), (*places, d // group)),
            "codebook": values((k, d)),
            "keep": keep,
            "group": group,
        }
