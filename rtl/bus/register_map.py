"""The registers: one table for the RTL, the documentation and the C header."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtl.geometry import Geometry
from rtl.packets import LAYER_COUNT_BITS, STREAMS
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats import FORMATS

IDENTITY = int.from_bytes(b"CDWD", "little")
VERSION = 2 << 16
"""Major in the upper half, minor in the lower."""
BYTES = 4096
"""Of the address range."""
WINDOW_OF = {"commands": "commands", "weights": "weights", "maps_read": "maps", "maps_write": "maps"}
"""The window of each port."""
PORTS = tuple(WINDOW_OF)
"""Directions of the AXI masters, by their number in `status.error_port`."""
WINDOWS = tuple(dict.fromkeys(WINDOW_OF.values()))
WINDOWS_OFFSET = 0x60
COUNTERS_OFFSET = 0x100
WATCHDOG_CYCLES = 1 << 28
"""After reset: most of a second at 300 MHz, longer than any chunk or pass whose maps fit L1."""
ERRORS = {
    "none": "no error",
    "response": "a response other than OKAY at `error_port`",
    "window": "`error_port` was asked for what lies outside its window, no multiple of a beat, or nothing",
    "setup": "at start, of the window of `error_port`: base or size are no multiple of 4096, or it ends "
    "beyond the address space; of the commands also: a stream's base is no multiple of 8",
    "left": "the layers have ended, and packets of the streams are left",
    "watchdog": "no packet has moved for `watchdog` cycles",
    "overflow": "a row found no room: packets contradict one another",
}
"""By their number in `status.error_code`: name and meaning."""

ACCESSES = {
    "constant": "read only, constant",
    "ro": "read only",
    "rw": "read and write",
    "pulse": "write 1 to act, reads 0",
    "w1c": "read, write 1 to clear",
}


@dataclass(frozen=True)
class Field:
    """Bits `low` to `low + width - 1` of a register; `access`: one of ACCESSES."""

    name: str
    low: int
    width: int
    access: str
    description: str
    reset: int = 0

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class Register:
    """32 bits at byte `offset`. A register of one field of 32 bits bears the field's name."""

    name: str
    offset: int
    description: str
    fields: tuple[Field, ...]

    @property
    def reset(self) -> int:
        return sum(field.reset << field.low for field in self.fields)

    @property
    def whole(self) -> bool:
        return self.fields[0].width == 32


def _single(name: str, offset: int, access: str, description: str, reset: int = 0) -> Register:
    return Register(name, offset, description, (Field(name, 0, 32, access, description, reset),))


def constants(name: str, offset: int, description: str, *fields: tuple[str, int, int, str]) -> Register:
    """Fields one above the other: name, width, value, description."""
    placed, low = [], 0
    for field, width, value, meaning in fields:
        placed.append(Field(field, low, width, "constant", meaning, value))
        low += width
    return Register(name, offset, description, tuple(placed))


def _identity(acc: Accelerator) -> list[Register]:
    """Constants: which accelerator this is."""
    acc = Geometry(acc).accelerator
    return [
        *named(),
        constants(
            "array",
            0x08,
            "The array",
            ("rows", 8, acc.rows, "H, input channels"),
            ("columns", 8, acc.columns, "L, output channels"),
            ("tile_rows", 8, acc.tile_rows, "TH"),
            ("tile_columns", 8, acc.tile_columns, "TL"),
        ),
        constants(
            "weights",
            0x0C,
            "Weight formats",
            (
                "loader",
                4,
                acc.weights.code,
                ", ".join(f"{form.code} {form.loader}" for form in FORMATS.values()),
            ),
            ("sparse_tile", 1, int(acc.sparse_tile), "Q multipliers for each codeword"),
            ("codeword_length", 8, acc.codeword_length, "d"),
            ("keep", 5, acc.keep, "N of N:M"),
            ("group", 5, acc.group, "M of N:M"),
        ),
        constants(
            "register_files",
            0x10,
            "Depths of the register files",
            ("wrf_depth", 16, acc.wrf_depth, "weights of a PE"),
            ("prf_depth", 16, acc.prf_depth, "psums of a column"),
        ),
        constants(
            "memory",
            0x14,
            "Codebook and weight port",
            ("codebook_entries", 17, acc.codebook_entries, "k"),
            ("weight_port_bits", 12, acc.weight_port_bits, "bits of a beat"),
        ),
        *sizes(acc),
    ]


def sizes(acc: Any) -> list[Register]:
    """Constants of every kind of machine."""
    return [
        _single("l1_bytes", 0x18, "constant", "Bytes of L1", acc.l1_bytes),
        _single("address_bits", 0x1C, "constant", "Bits of an address at the AXI ports", acc.address_bits),
    ]


def named() -> list[Register]:
    """Constants of every accelerator of ours: that it is one, and of which map."""
    return [
        _single("id", 0x00, "constant", "The letters CDWD", IDENTITY),
        _single("version", 0x04, "constant", "Of this map: major in the upper half, minor below", VERSION),
    ]


@dataclass(frozen=True)
class Face:
    """What the registers of a kind of machine show beside a run.

    Attributes:
        identity: constants, of its description.
        window_of: the window of each direction of its AXI masters, in the order of `status.error_port`.
        streams: that it fetches from the window `commands`.
    """

    identity: Callable[[Any], list[Register]]
    window_of: Mapping[str, str]
    streams: tuple[str, ...]

    @property
    def ports(self) -> tuple[str, ...]:
        return tuple(self.window_of)

    @property
    def windows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.window_of.values()))


SYSTOLIC = Face(_identity, WINDOW_OF, STREAMS)


def _run(ports: Sequence[str]) -> list[Register]:
    """Starting, watching and ending a run."""
    return [
        Register(
            "control",
            0x20,
            "Control",
            (
                Field("start", 0, 1, "pulse", "clears, then runs the packet streams; ignored while busy"),
                Field("clear", 1, 1, "pulse", "resets units and status; busy until all ports are idle"),
                Field("interrupt_enable", 2, 1, "rw", "lets the interrupt out"),
            ),
        ),
        Register(
            "status",
            0x24,
            "Status",
            (
                Field("busy", 0, 1, "ro", "a run, or clear, goes on"),
                Field("done", 1, 1, "ro", "the run has ended; until start or clear"),
                Field("error", 2, 1, "ro", "the run has failed; until start or clear"),
                Field(
                    "error_port",
                    4,
                    2,
                    "ro",
                    "which: " + ", ".join(f"{n} {name}" for n, name in enumerate(ports)),
                ),
                Field("interrupt", 8, 1, "w1c", "set by done and error"),
                Field(
                    "error_code",
                    12,
                    4,
                    "ro",
                    "; ".join(f"{n} {name}: {meaning}" for n, (name, meaning) in enumerate(ERRORS.items())),
                ),
            ),
        ),
        _single("error_address_lo", 0x28, "ro", "Of `response` and `window`: first byte of the burst"),
        _single("layers", 0x2C, "ro", "Layers that have ended since start"),
        Register(
            "layer_count",
            0x30,
            "Length of a run",
            (Field("layer_count", 0, LAYER_COUNT_BITS, "rw", "layers of a run"),),
        ),
        _single(
            "watchdog",
            0x34,
            "rw",
            "Cycles without a packet that moves after which a run has failed; 0: never",
            WATCHDOG_CYCLES,
        ),
        _single("error_address_hi", 0x38, "ro", "Bits 32 and up"),
    ]


def _windows(windows: Sequence[str]) -> list[Register]:
    """Where in memory the accelerator works; addresses in packets count from the base of their window."""
    registers = []
    for n, name in enumerate(windows):
        offset = WINDOWS_OFFSET + 16 * n
        registers += [
            _single(
                f"{name}_base_lo", offset, "rw", f"First byte of the window `{name}`; a multiple of 4096"
            ),
            _single(f"{name}_base_hi", offset + 4, "rw", "Bits 32 and up"),
            _single(f"{name}_size_lo", offset + 8, "rw", f"Bytes of the window `{name}`; a multiple of 4096"),
            _single(f"{name}_size_hi", offset + 12, "rw", "Bits 32 and up"),
        ]
    return registers


def register_map(accelerator: Any, counters: Sequence[str], face: Face = SYSTOLIC) -> tuple[Register, ...]:
    """All registers by offset; `counters`: names of the performance counters.

    Raises:
        InputError: more counters than the address range holds.
    """
    if COUNTERS_OFFSET + 8 * len(counters) > BYTES:
        raise InputError(
            "counters",
            len(counters),
            "the address range does not hold them",
            f"give {(BYTES - COUNTERS_OFFSET) // 8} at most",
        )
    registers = [*face.identity(accelerator), *_run(face.ports)]
    for n, name in enumerate(face.streams):
        registers += [
            _single(
                f"{name}_base",
                0x40 + 8 * n,
                "rw",
                f"First byte of the stream `{name}` in the window `commands`; a multiple of 8",
            ),
            _single(f"{name}_count", 0x44 + 8 * n, "rw", f"64-bit words of the stream `{name}`"),
        ]
    registers += _windows(face.windows)
    for n, name in enumerate(counters):
        offset = COUNTERS_OFFSET + 8 * n
        registers += [
            _single(f"count_{name}_lo", offset, "ro", f"Counter `{name}`, bits 0 to 31"),
            _single(f"count_{name}_hi", offset + 4, "ro", "Bits 32 to 63 of the counter read last"),
        ]
    return tuple(registers)
