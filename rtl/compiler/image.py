"""What software hands to the accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtl.compiler.inputs import InputMap
from rtl.compiler.memory import Map
from sim.accelerator import Accelerator
from sim.network import Network
from sim.systolic.program import Program
from sim.systolic.schedule import Schedule, Source


@dataclass(frozen=True)
class Window:
    """A part of the memory that one kind of AXI master works in.

    Attributes:
        offset: of its first byte in `Image.memory`; anywhere else if registers say so.
        bytes: whole pages of 4 KiB.
    """

    offset: int
    bytes: int

    def of(self, memory: np.ndarray) -> np.ndarray:
        """Its words."""
        return memory[self.offset // 8 : (self.offset + self.bytes) // 8]


@dataclass(frozen=True)
class Stream:
    """One packet stream: a run of words in the window `commands`."""

    address: int
    words: int


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of the accelerator, as the engine counts it.

    Attributes:
        name: as in `sim.systolic.engine.simulate`.
        tensor: what it writes; another name where an addition rides on it.
        how: schedule of a convolution, source of a pass.
        program: of a convolution.
        jobs, tiles, chunks, stripes: packets in the streams.
    """

    name: str
    tensor: str
    how: Schedule | Source
    program: Program | None
    jobs: int
    tiles: int
    chunks: int
    stripes: int


@dataclass(frozen=True, eq=False)
class Image:
    """A network in memory.

    Attributes:
        memory: uint64 [words], one window behind the other, the network's input still 0.
        windows: by name; `maps` come first. Addresses in packets, streams and maps count from the base of theirs.
        streams: by name, in the order of `rtl.packets.STREAMS`.
        maps: by tensor, of those that the accelerator writes.
        inputs: the copies of the network's input.
        rom: int8 [k, d], what the codebook ROM must hold; None without one.
        warnings: what makes a run slower than docs/timing.md says.
    """

    network: Network
    accelerator: Accelerator
    memory: np.ndarray
    windows: Mapping[str, Window]
    streams: Mapping[str, Stream]
    maps: Mapping[str, Map]
    inputs: tuple[InputMap, ...]
    layers: tuple[Layer, ...]
    rom: np.ndarray | None
    warnings: tuple[str, ...]

    def write_input(self, image: np.ndarray) -> np.ndarray:
        """uint64 [words]: the memory with an input, int8 [C, H, W]."""
        memory = self.memory.copy()
        for copy in self.inputs:
            copy.write(memory, image)
        return memory

    def read(self, memory: np.ndarray, tensor: str) -> np.ndarray:
        """int8 or int32 [C, H, W] from a memory after the run."""
        return self.maps[tensor].read(memory)
