"""Several starts of one accelerator in one simulation, each on a memory image that lies elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtl.compiler import Image
from rtl.compiler.memory import PAGE_BYTES
from rtl.verify import build
from rtl.verify.bench import END, PAUSE, RESET, WAIT, WRITE
from rtl.verify.dram import Transfer, transfers
from rtl.verify.run import (
    Conditions,
    Event,
    Operation,
    Run,
    changed_ports,
    memory_before,
    offsets,
    programming,
    run_software,
    start_operations,
    to_run,
)

RESET_CYCLES = 4
CLEAR = 0b10
"""Of the register `control`."""


@dataclass(frozen=True, eq=False)
class Start:
    """One start.

    Attributes:
        image, inputs: what runs, on int8 [C, H, W].
        registers: written instead of what the image says, by name.
        flips: bits of `Image.memory` that are wrong: word, bit.
        order: of the windows in memory; a page that belongs to none lies behind each.
        weights_of: number of an earlier start whose window `weights` this one reads, or None for one of its own.
        broken_off: cycles after which it is ended, or None; `by`: "reset" or "clear".
    """

    image: Image
    inputs: np.ndarray
    registers: Mapping[str, int] = field(default_factory=dict)
    flips: Sequence[tuple[int, int]] = ()
    order: tuple[str, ...] = ("maps", "weights", "commands")
    weights_of: int | None = None
    broken_off: int | None = None
    by: str = "reset"


@dataclass(frozen=True, eq=False)
class Session:
    """What all starts have left.

    Attributes:
        runs: of each start; its memory put together again as `Image.memory`.
        bases: of each start: where its windows lay, by name.
        strays: words outside every window `maps` that have changed.
        limited: it did not end in the cycles given.
        changed: numbers of the ports that have moved (`rtl.verify.activity`).
    """

    runs: tuple[Run, ...]
    bases: tuple[Mapping[str, int], ...]
    strays: int
    limited: bool
    changed: frozenset[int]


def run_session(
    starts: Sequence[Start],
    limit: int,
    simulator: str = "icarus",
    rtl_dir: Path | None = None,
    conditions: Conditions | None = None,
) -> Session:
    """Runs starts one after the other; all images are of one accelerator and one content of its ROM."""
    at = (conditions or Conditions()).origin
    memory: list[np.ndarray] = []
    befores: list[np.ndarray] = []
    places: list[dict[str, int]] = []
    software: list[Operation] = []
    moved: list[Transfer] = []
    for start in starts:
        before = _flipped(memory_before(start.image, start.inputs), start.flips)
        bases = {}
        for name in start.order:
            if name == "weights" and start.weights_of is not None:
                bases[name] = places[start.weights_of][name]
                continue
            words = start.image.windows[name].of(before)
            bases[name] = at
            memory += [words, np.zeros(PAGE_BYTES // 8, np.uint64)]
            at += 8 * len(words) + PAGE_BYTES
        brought = transfers(start.image)
        software += _operations(start, bases, (len(moved), len(moved) + len(brought)))
        moved += brought
        befores.append(np.concatenate([window.of(before) for window in start.image.windows.values()]))
        places.append(bases)
    content = np.concatenate(memory)
    image = starts[0].image
    built = build.build(image.accelerator, simulator, rtl_dir, len(content))
    begin = time.perf_counter()
    printed, after = run_software(
        built, image, content, [*software, (END, 0, 0)], moved, limit, simulator, conditions
    )
    run_s = time.perf_counter() - begin
    origin = (conditions or Conditions()).origin
    return Session(
        tuple(
            to_run(start.image, before, _gathered(start.image, bases, origin, after), events, run_s)
            for start, before, bases, events in zip(starts, befores, places, _split(printed), strict=False)
        ),
        tuple(places),
        _strays(starts, places, origin, content, after),
        any(kind == "limit" for kind, _ in printed),
        changed_ports(printed),
    )


def _operations(start: Start, bases: Mapping[str, int], moved: tuple[int, int]) -> list[Operation]:
    registers = programming(start.image, bases) | dict(start.registers)
    operations = start_operations(start.image, registers, moved)
    if start.broken_off is None:
        return operations
    waits = next(n for n, operation in enumerate(operations) if operation[0] == WAIT)
    ends: Operation = (RESET, 0, RESET_CYCLES)
    if start.by == "clear":
        ends = (WRITE, offsets(start.image)["control"], CLEAR)
    # Software may not start before a clear has ended; a reset needs no time.
    return [*operations[:waits], (PAUSE, 0, start.broken_off), ends, (PAUSE, 0, 100)]


def _flipped(memory: np.ndarray, flips: Sequence[tuple[int, int]]) -> np.ndarray:
    for word, bit in flips:
        memory[word] ^= np.uint64(1 << bit)
    return memory


def _gathered(image: Image, bases: Mapping[str, int], origin: int, memory: np.ndarray) -> np.ndarray:
    """The windows of an image from where they lie."""
    return np.concatenate(
        [replace(window, offset=bases[name] - origin).of(memory) for name, window in image.windows.items()]
    )


def _split(printed: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """The events of each start."""
    begins = [n for n, (kind, _) in enumerate(printed) if kind == "dram"]
    for first, last in pairwise([*begins, len(printed)]):
        yield printed[first:last]


def _strays(
    starts: Sequence[Start],
    places: Sequence[Mapping[str, int]],
    origin: int,
    before: np.ndarray,
    after: np.ndarray,
) -> int:
    changed = before != after
    for start, bases in zip(starts, places, strict=True):
        window = replace(start.image.windows["maps"], offset=bases["maps"] - origin)
        window.of(changed)[:] = False
    return int(changed.sum())
