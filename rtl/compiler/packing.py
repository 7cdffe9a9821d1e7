"""Values into the bits of a packet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from amaranth.lib.data import StructLayout

from rtl.packets import EXTENTS, WORD_BITS, words
from sim.errors import InputError

SIGNED = {
    "y",
    "x",
    "bias",
    "zero",
    "low",
    "high",
    "own_zero",
    "other_zero",
    "add_zero",
    "add_low",
    "add_high",
}
"""Fields in two's complement."""


def of_chunk(chunk: np.void, fields: Iterable[str]) -> dict[str, int]:
    """Values of packet fields that a row of CHUNK has too, extents in capitals."""
    return {field: chunk[EXTENTS.get(field, field)] for field in fields}


def pack(layer: str, packet: str, layout: StructLayout, values: Mapping[str, int]) -> np.ndarray:
    """uint64 [words] of a packet; fields without a value are 0.

    Raises:
        InputError: a value that its field cannot hold; names layer, packet and field.
    """
    unknown = values.keys() - {name for name, _ in layout}
    assert not unknown, unknown
    packed = 0
    for name, field in layout:
        value = int(values.get(name, 0))
        low = -1 << field.width - 1 if name in SIGNED else 0
        if not low <= value < low + (1 << field.width):
            raise InputError(
                f"{layer}: {packet}.{name}",
                value,
                f"exceeds the {field.width} bits of the hardware's field",
                "use a smaller layer or another schedule",
            )
        packed |= (value & (1 << field.width) - 1) << field.offset
    count = words(layout)
    return np.frombuffer(packed.to_bytes(count * WORD_BITS // 8, "little"), "<u8")
