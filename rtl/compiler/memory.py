"""Where things lie: the map of one tensor, and the memory that grows by what is placed in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALIGNMENT = 64
"""Bytes; no beat of any port is wider."""


@dataclass(frozen=True)
class Map:
    """A tensor in memory: [y][x][channel], a pixel padded to whole 64-bit words.

    Attributes:
        address: of its first byte.
        shape: (C, H, W).
        wide: values of 32 bits.
    """

    address: int
    shape: tuple[int, int, int]
    wide: bool = False

    @property
    def pitch(self) -> int:
        """Words of a pixel."""
        return -(-self.shape[0] * (4 if self.wide else 1) // 8)

    @property
    def words(self) -> int:
        return self.shape[1] * self.shape[2] * self.pitch

    def at(self, line: int, channel: int = 0, column: int = 0) -> int:
        """Address of a pixel, in it that of the word with an INT8 channel."""
        return self.address + ((line * self.shape[2] + column) * self.pitch + channel // 8) * 8

    def read(self, memory: np.ndarray) -> np.ndarray:
        """int8 or int32 [C, H, W] from uint64 [words]."""
        pixels = self._in(memory).view("<i4" if self.wide else np.int8)
        return np.ascontiguousarray(pixels[..., : self.shape[0]].transpose(2, 0, 1))

    def write(self, memory: np.ndarray, tensor: np.ndarray) -> None:
        """Puts int8 [C, H, W] into uint64 [words]."""
        self._in(memory).view(np.int8)[..., : self.shape[0]] = tensor.transpose(1, 2, 0)

    def _in(self, memory: np.ndarray) -> np.ndarray:
        first = self.address // 8
        return memory[first : first + self.words].reshape(*self.shape[1:], self.pitch)


class Memory:
    """Memory in the making, from address 0 on."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._words = 0

    def place(self, words: np.ndarray) -> int:
        """Appends uint64 words; their address."""
        address = 8 * self._words
        padding = -len(words) % (ALIGNMENT // 8)
        self._runs += [words, np.zeros(padding, np.uint64)]
        self._words += len(words) + padding
        return address

    def map(self, shape: tuple[int, int, int], wide: bool = False) -> Map:
        """Room for a tensor."""
        size = Map(0, shape, wide).words
        return Map(self.place(np.zeros(size, np.uint64)), shape, wide)

    def words(self) -> np.ndarray:
        return np.concatenate(self._runs)
