"""Header of a packet: fields and the 64-bit words that they lie in."""

from __future__ import annotations

from typing import NamedTuple

STREAM_BITS = 64
"""Of the stream that brings packets, a word a cycle."""

_SOURCE = {
    "row": 24,
    "pixel": 24,
    "stride_y": 8,
    "stride_x": 8,
    "row_step": 24,
    "plane": 24,
    "height": 16,
    "pixel_step": 24,
    "width": 16,
    "y": 16,
    "x": 16,
}
_FIELDS = {
    "map": 1,
    "begins": 1,
    "ends": 1,
    "speaks": 1,
    "signed": 1,
    "closes": 1,
    "steps": 5,
    "silent": 2,
    "taps": 11,
    "entries": 9,
    "count": 24,
    "columns": 16,
    "column": 16,
    "target": 24,
    "target_plane": 24,
    "target_step": 16,
    **{f"{name}_{source}": bits for source in (0, 1) for name, bits in _SOURCE.items()},
}
"""Name and bits. Of a map: `count` words from `target` on; of charges that are read `target` is their row. Of a
source: the addresses of the first position's row and pixel, what they grow by, words of a step, its size, and the first
position's place, before padding.
"""

TAP = {"offset": 22, "dy": 12, "dx": 12, "source": 1, "high": 1, "entry": 8}
"""Bits of a tap's fields in its word, the lowest first; offset, dy and dx are signed."""


class Field(NamedTuple):
    """Where a field lies: word, first bit, bits."""

    word: int
    bit: int
    bits: int


def _laid() -> dict[str, Field]:
    found, word, bit = {}, 0, 0
    for name, bits in _FIELDS.items():
        if bit + bits > STREAM_BITS:
            word, bit = word + 1, 0
        found[name] = Field(word, bit, bits)
        bit += bits
    return found


FIELDS = _laid()
WORDS = 1 + max(field.word for field in FIELDS.values())
"""Of a header."""
