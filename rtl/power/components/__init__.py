"""Benches of the components: what they are fed with, and which events the energy belongs to."""

from __future__ import annotations

from rtl.power.components.activations import arf
from rtl.power.components.bench import TOKENS, Bench, Event, Words
from rtl.power.components.decoding import row_decoder, row_words
from rtl.power.components.lookups import ROMS, rom
from rtl.power.components.sums import prf, requantizer
from rtl.power.components.tiles import dense_tile, sparse_tile

__all__ = ["TOKENS", "Bench", "Event", "Words", "benches"]


def benches() -> list[Bench]:
    return [
        dense_tile(),
        sparse_tile(),
        row_decoder(),
        row_words(),
        prf(),
        requantizer(),
        arf(),
        *map(rom, ROMS),
    ]
