"""An image runs on the RTL: files for the bench, and what it left."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from rtl.bus.register_map import register_map
from rtl.compiler import Image
from rtl.compiler.image import Stream, Window
from rtl.control.counters import COUNTERS
from rtl.verify import build, looking
from rtl.verify.activity import LINE as CHANGED
from rtl.verify.bench import DRAM, END, LINES, READ, STEPS, WAIT, WRITE
from rtl.verify.dram import Transfer, transfers
from rtl.verify.shells import FILES, RESULT
from rtl.weights.rom import init_files
from sim.errors import InputError
from sim.steps import step

START_WITH_INTERRUPT = 0b101
"""Of the register `control`."""
READ_BACK = ("status", "error_address_lo", "error_address_hi", "layers")
_COUNTS = tuple(f"count_{name}_{half}" for name in COUNTERS for half in ("lo", "hi"))
Operation = tuple[int, int, int] | tuple[int, int, int, int]
"""Of the bench's software: kind, register, value; of a write also which bytes it leaves out, a bit each."""
Event = tuple[str, list[int]]
"""A line of the bench: first word, numbers."""
POISON = 0x5AA5_5AA5_5AA5_5AA5
"""In memory where the accelerator has to write."""


class Programmed(Protocol):
    """A memory image of any kind of machine."""

    @property
    def layers(self) -> Sized: ...

    @property
    def windows(self) -> Mapping[str, Window]: ...

    @property
    def streams(self) -> Mapping[str, Stream]: ...


@dataclass(frozen=True)
class Conditions:
    """How memory behaves.

    Attributes:
        stalls: None, or the seed of stalls on every channel of the bus, a quarter of the cycles.
        fault: byte of the memory that answers SLVERR, or None.
        origin: address of the memory's first byte, a multiple of 4096.
        late: commands come late until the run begins, which changes none of its cycles.
    """

    stalls: int | None = None
    fault: int | None = None
    origin: int = 0
    late: bool = False


@dataclass(frozen=True, eq=False)
class Run:
    """What happened.

    Attributes:
        memory: uint64 [words], afterwards.
        begins, ends: cycle of each layer's begin (the one before its cycle 0) and its last cycle.
        interrupt: cycle in which software sees that the run is over; None if it never was.
        counters: by name, of the run up to the end of each layer.
        registers: what software read afterwards, by name.
        cycles: of the simulation, reset and software included.
        limited: it did not end in the cycles given.
        strays: words beyond the maps that the run changed.
        protocol_errors: cycles with a write burst that ends elsewhere than its length says, or an address beyond
            memory or its window.
        overflows: how often rows were lost.
        build_s, run_s: seconds.
        changed: numbers of the ports that have moved (`rtl.verify.activity`).
        printed: every line of the bench.
    """

    memory: np.ndarray
    begins: list[int]
    ends: list[int]
    interrupt: int | None
    counters: list[dict[str, int]]
    registers: dict[str, int]
    cycles: int
    limited: bool
    strays: int
    protocol_errors: int
    overflows: int
    build_s: float
    run_s: float
    changed: frozenset[int] = frozenset()
    printed: tuple[Event, ...] = ()


def run_image(
    image: Image,
    inputs: np.ndarray,
    limit: int,
    simulator: str,
    rtl_dir: Path | None = None,
    conditions: Conditions | None = None,
    look: looking.Look = looking.NOTHING,
) -> Run:
    """Runs an image on an input, int8 [C, H, W].

    Args:
        limit: cycles after which the bench gives up.
        rtl_dir: an export to simulate; otherwise the accelerator is exported afresh.
    """
    begin = time.perf_counter()
    built = build.build(image.accelerator, simulator, rtl_dir, len(image.write_input(inputs)), look)
    build_s = time.perf_counter() - begin
    found = run_built(built, image, inputs, limit, simulator, conditions, look=look)
    return replace(found, build_s=build_s)


def run_built(
    built: Path,
    image: Image,
    inputs: np.ndarray,
    limit: int,
    simulator: str,
    conditions: Conditions | None = None,
    arguments: Sequence[str] = (),
    seconds: float | None = None,
    look: looking.Look = looking.NOTHING,
) -> Run:
    """`run_image` on a bench that is built, in the directory `built`.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `seconds`.
    """
    begin = time.perf_counter()
    memory = memory_before(image, inputs)
    moved = transfers(image)
    origin = (conditions or Conditions()).origin
    software = [*start_operations(image, programming(image, origin), (0, len(moved))), (END, 0, 0)]
    printed, after = run_software(
        built, image, memory, software, moved, limit, simulator, conditions, arguments, seconds, look
    )
    last, (cycles, *_) = next(event for event in reversed(printed) if event[0] in ("end", "limit"))
    found = to_run(image, memory, after, printed, time.perf_counter() - begin)
    return replace(found, cycles=cycles, limited=last == "limit")


def run_software(
    built: Path,
    image: Image,
    memory: np.ndarray,
    software: Sequence[Operation],
    moved: Sequence[Transfer],
    limit: int,
    simulator: str,
    conditions: Conditions | None = None,
    arguments: Sequence[str] = (),
    seconds: float | None = None,
    look: looking.Look = looking.NOTHING,
) -> tuple[list[Event], np.ndarray]:
    """What the bench prints while software runs, and uint64 [words] of the memory afterwards.

    Args:
        image: whose codebook a ROM holds.
        memory: uint64 [words], before.
        moved: all transfers of DRAM that operations of the software name.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        if len(software) > STEPS:
            raise InputError(
                "software", len(software), "more operations than the bench holds", "start less often"
            )
        _write(directory, image, memory, software, moved, limit, conditions or Conditions())
        with step(f"running the Verilog, {simulator}"):
            text = build.run(built, simulator, directory, [*arguments, *look.arguments(simulator)], seconds)
        look.collect(directory)
        # A simulator may say something of its own.
        lines = [words for line in text.splitlines() if (words := line.split()) and words[0] in LINES]
        # An unknown bit can only come from a broken design; it reads as 0.
        printed = [
            (kind, [int(value) if value.isdecimal() else 0 for value in values]) for kind, *values in lines
        ]
        rows = [line for line in (directory / RESULT).read_text().splitlines() if line[:1] not in ("/", "@")]
        return printed, np.frombuffer(bytes.fromhex("".join(rows).translate(_UNKNOWN)), ">u8").astype(
            np.uint64
        )


def _write(
    directory: Path,
    image: Image,
    memory: np.ndarray,
    software: Sequence[Operation],
    moved: Sequence[Transfer],
    limit: int,
    conditions: Conditions,
) -> None:
    stalls, fault = conditions.stalls, conditions.fault
    _words(
        directory / FILES["run"],
        [
            limit,
            conditions.origin >> 12,
            int(stalls is not None),
            stalls or 0,
            int(fault is not None),
            fault or 0,
            len(memory),
            int(conditions.late),
        ],
    )
    _words(directory / FILES["dram.table_"], [transfer.word for transfer in moved] or [0])
    _words(
        directory / FILES["software"],
        [
            kind << 44 | offset << 32 | value | (without[0] << 48 if without else 0)
            for kind, offset, value, *without in software
        ],
    )
    for name, text in init_files(image.accelerator, image.rom).items():
        (directory / name).write_text(text)
    data = memory.astype(">u8").tobytes().hex()
    (directory / FILES["memory"]).write_text(
        "\n".join(data[n : n + 16] for n in range(0, len(data), 16)) + "\n"
    )


def offsets(image: Image) -> dict[str, int]:
    """Byte addresses of the registers by name."""
    return {register.name: register.offset for register in register_map(image.accelerator, COUNTERS)}


def programming(image: Programmed, bases: Mapping[str, int] | int = 0) -> dict[str, int]:
    """What software writes before start, by register.

    Args:
        bases: first byte of each window in the memory of the system, or where `image.memory` begins there.
    """
    values = {"layer_count": len(image.layers)}
    for name, window in image.windows.items():
        base = bases + window.offset if isinstance(bases, int) else bases[name]
        for what, value in (("base", base), ("size", window.bytes)):
            values |= {f"{name}_{what}_lo": value & 0xFFFF_FFFF, f"{name}_{what}_hi": value >> 32}
    for name, stream in image.streams.items():
        values |= {f"{name}_base": stream.address, f"{name}_count": stream.words}
    return values


def memory_before(image: Image, inputs: np.ndarray) -> np.ndarray:
    """uint64 [words]: the memory with an input, and POISON where the accelerator has to write."""
    memory = image.write_input(inputs)
    for written in image.maps.values():
        memory[written.address // 8 : written.address // 8 + written.words] = POISON
    return memory


def strays(image: Image, before: np.ndarray, after: np.ndarray) -> int:
    """Words beyond the maps that a run changed; memory before and after, which may be longer."""
    changed = after[: len(before)] != before
    for written in image.maps.values():
        changed[written.address // 8 : written.address // 8 + written.words] = False
    return int(changed.sum())


def start_operations(image: Image, registers: Mapping[str, int], moved: tuple[int, int]) -> list[Operation]:
    """Register accesses from start to the interrupt, and what software reads then; `moved`: transfers of DRAM."""
    at = offsets(image)
    return [
        *((WRITE, at[name], value) for name, value in registers.items()),
        (DRAM, 0, moved[0] | moved[1] << 16),
        (WRITE, at["control"], START_WITH_INTERRUPT),
        (WAIT, 0, 0),
        *((READ, at[name], 0) for name in (*READ_BACK, *_COUNTS)),
    ]


def changed_ports(printed: Sequence[Event]) -> frozenset[int]:
    """Numbers of the ports that say so."""
    return frozenset(values[0] for kind, values in printed if kind == CHANGED)


def _words(path: Path, words: list[int]) -> None:
    path.write_text("".join(f"{word:x}\n" for word in words))


def to_run(
    image: Image, before: np.ndarray, after: np.ndarray, printed: Sequence[Event], run_s: float
) -> Run:
    """One run from what the bench has printed during it; memory as `Image.memory`, before and after."""
    layers = [values for kind, values in printed if kind == "layer"]
    read = [values[1] for kind, values in printed if kind == "read"]
    return Run(
        memory=after,
        begins=[values[0] for kind, values in printed if kind == "begin"],
        ends=[values[0] for values in layers],
        interrupt=next((values[0] for kind, values in printed if kind == "interrupt"), None),
        counters=[dict(zip(COUNTERS, values[1:], strict=True)) for values in layers],
        registers=dict(zip((*READ_BACK, *_COUNTS), read, strict=False)),
        cycles=0,
        limited=False,
        strays=strays(image, before, after),
        protocol_errors=sum(kind == "protocol" for kind, _ in printed),
        overflows=sum(kind == "overflow" for kind, _ in printed),
        changed=changed_ports(printed),
        printed=tuple(printed),
        build_s=0.0,
        run_s=run_s,
    )


_UNKNOWN = str.maketrans("xzXZ", "0000")
