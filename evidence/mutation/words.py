"""Bit fields and random words for the vectors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from amaranth.lib.data import StructLayout


def pack(values: Iterable[int], width: int) -> int:
    """Integers as fields of `width` bits, the first one lowest."""
    return sum((int(value) & (1 << width) - 1) << width * n for n, value in enumerate(values))


def number(rng: np.random.Generator, width: int) -> int:
    """A random word."""
    return int.from_bytes(rng.bytes(-(-width // 8)), "little") & (1 << width) - 1


def chance(rng: np.random.Generator, probability: float) -> int:
    """1 with this probability."""
    return int(rng.random() < probability)


def int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random bytes, every fourth one an extreme."""
    values = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape) < 0.25, rng.choice([-128, 127], shape), values)


def below(rng: np.random.Generator, limit: int) -> int:
    """A random number from 0 to `limit` - 1."""
    return int(rng.integers(limit))


def extent(rng: np.random.Generator, most: int) -> int:
    """At least 1; mostly small, sometimes anything up to `most`, or just that."""
    return most if chance(rng, 0.05) else 1 + below(rng, most if chance(rng, 0.3) else min(most, 4))


def packet(layout: StructLayout, rng: np.random.Generator, **values: int) -> int:
    """A packet with these fields, the others anything."""
    word = number(rng, layout.size)
    for name, value in values.items():
        field = layout[name]
        full = (1 << field.width) - 1
        word = word & ~(full << field.offset) | (value & full) << field.offset
    return word
