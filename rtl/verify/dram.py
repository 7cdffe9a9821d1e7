"""What DRAM has to bring for a run, in its fixed order (docs/timing.md section 7). Not from the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtl.compiler import Image
from rtl.packets import ANNOUNCE
from sim.errors import InputError
from sim.systolic.program import Program
from sim.technology import off_chip
from sim.technology.dram import Cycles


@dataclass(frozen=True)
class Transfer:
    """One transfer and what it waits for.

    Attributes:
        cycles: for which it occupies DRAM.
        is_map: a tile's maps; otherwise a job's weights.
        jobs: packets of the jobs stream that have to be written.
        layers: layers that have to have begun.
        tiles: packets of the tiles stream whose tiles have to be in L1.
        layer, number: whose it is, and which of its chunks or visits.
    """

    cycles: int
    is_map: bool
    jobs: int = 0
    layers: int = 0
    tiles: int = 0
    layer: int = 0
    number: int = 0

    @property
    def word(self) -> int:
        """As the bench reads it."""
        fields = ((self.is_map, 1), (self.cycles, 32), (self.jobs, 32), (self.layers, 32), (self.tiles, 32))
        packed = at = 0
        for value, width in fields:
            packed |= value << at
            at += width
        return packed


def transfers(image: Image) -> list[Transfer]:
    """Every transfer of a network.

    Raises:
        InputError: DRAM is so fast that weights could not be announced in time.
    """
    memory = off_chip(image.accelerator)
    if memory.latency < ANNOUNCE:
        raise InputError(
            "dram_latency",
            memory.latency,
            f"weights are announced {ANNOUNCE} cycles ahead",
            f"set dram_latency >= {ANNOUNCE}",
        )
    found: list[Transfer] = []
    written: list[int] = []  # for each chunk so far: jobs in the stream up to its own
    jobs = tiles = 0
    for number, layer in enumerate(image.layers):
        if layer.program is None:
            continue
        codebooks = layer.jobs - layer.chunks
        for kind, n in _order(layer.program):
            if kind == "job":
                written.append(jobs + codebooks + n + 1)
                size = int(layer.program.chunks[n]["dram_bytes"])
                # L2 stages two jobs: the one before the last has to be in the WRF.
                ahead = written[-3] if len(written) > 2 else 0
                transfer = Transfer(_cycles(size, memory), False, jobs=ahead, layer=number, number=n)
            else:
                size = int(layer.program.visits[n]["dram_bytes"])
                ahead = tiles + n - 1 if n > 1 else 0
                transfer = Transfer(
                    _cycles(size, memory), True, layers=number + 1, tiles=ahead, layer=number, number=n
                )
            if size:
                found.append(transfer)
        jobs += layer.jobs
        tiles += layer.tiles
    return found


def _order(program: Program) -> Iterator[tuple[str, int]]:
    """Jobs by chunk and maps by visit: visits 0 and 1 behind job 0, v+1 behind the first job of visit v."""
    brought, count = 0, len(program.visits)
    for n, visit in enumerate(program.chunks["visit"].tolist()):
        yield "job", n
        while brought < min(count, visit + 2):
            yield "map", brought
            brought += 1


def _cycles(size: int, memory: Cycles) -> int:
    return -(-8 * size // memory.bits) + -(-size // memory.row_bytes) * memory.row_cycles
