"""What software can do to the accelerator besides running a network, and what must come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl import packets
from rtl.bus.register_map import ERRORS, PORTS, WINDOW_OF, Register, register_map
from rtl.compiler import Image
from rtl.control.counters import COUNTERS
from rtl.geometry import COUNT_BITS, Geometry
from rtl.verify.bench import END, READ, WRITE
from rtl.verify.run import Conditions, Operation, Run, changed_ports, memory_before, run_software
from rtl.verify.session import Session, Start, run_session

OKAY, SLVERR = 0, 2
NOWHERE = 0xFF8
"""No register lies there, nor beside it, nor where any of these address bits is 0."""
DONE, ERROR = 1 << 1, 1 << 2
TO_INTERRUPT = 1
"""Cycles from the one in which the watchdog expires to the interrupt."""
_PATTERNS = (0xA5C3_F00F, 0x5A3C_0FF0, 0xFFFF_FFFF, 0)


@dataclass(frozen=True)
class Wrong:
    """A start that must fail.

    Attributes:
        registers: written instead of the right ones.
        flips: bits of `Image.memory` that are wrong: word, bit.
        code: what `status.error_code` says then, by name.
        port: what `status.error_port` says, "" for any.
        after: cycles from the end of the last layer to the interrupt, None for any.
    """

    registers: Mapping[str, int]
    code: str
    port: str = ""
    flips: Sequence[tuple[int, int]] = ()
    after: int | None = None

    def problem(self, run: Run) -> str:
        """What is wrong with how it failed, or ""."""
        status = run.registers.get("status", 0)
        code, port = status >> 12 & 0xF, PORTS[status >> 4 & 3]
        if run.protocol_errors:
            return "a burst that must not be"
        if not status & ERROR or code != list(ERRORS).index(self.code):
            return f"status {status:#x}, expected the error {self.code}"
        if problem := _late_layer(run):
            return problem
        if self.port not in ("", port):
            return f"error_port {port}, expected {self.port}"
        if self.after is not None and (passed := (run.interrupt or 0) - run.ends[-1]) != self.after:
            return f"interrupt {passed} cycles after the last layer, expected {self.after}"
        return ""


def _late_layer(run: Run) -> str:
    """A layer begun by a run that had failed, or ""; in the cycle of the error one still may."""
    late = run.interrupt is not None and any(begin > run.interrupt for begin in run.begins)
    return "a layer begins after the error" if late or not 0 <= len(run.begins) - len(run.ends) <= 1 else ""


def wrong_starts(image: Image, patience: int) -> Iterator[Wrong]:
    """Of an image; `patience`: cycles of the watchdog."""
    watched = {"watchdog": patience}
    layers = len(image.layers)
    yield Wrong(watched | {"layer_count": layers - 1}, "left")
    yield Wrong(watched | {"layer_count": layers + 1}, "watchdog", after=patience + TO_INTERRUPT)
    for name, stream in image.streams.items():
        yield Wrong(watched | {f"{name}_count": stream.words - 1}, "watchdog")
    end = 1 << image.accelerator.address_bits
    for port in PORTS[:3]:
        name = WINDOW_OF[port]
        size = image.windows[name].bytes
        for registers in (
            {"base_lo": 2048},
            {"size_lo": size + 64},
            {"base_lo": end - 4096 & 0xFFFF_FFFF, "base_hi": end - 4096 >> 32, "size_lo": 8192},
        ):
            changed = {f"{name}_{which}": value for which, value in registers.items()}
            yield Wrong(watched | changed, "setup", port)
        yield Wrong(watched | {f"{name}_size_lo": 0}, "window", port)
    if flips := _a_pixel_less(image):
        yield Wrong(watched, "overflow", flips=flips)
    yield Wrong(watched | {"units_base": image.streams["units"].address + 4}, "setup", "commands")


def _a_pixel_less(image: Image) -> list[tuple[int, int]]:
    """Flips that take a pixel from the last unit of rows: more rows come, and no unit is there to take them.

    None where it has one pixel.
    """
    layout = packets.stripe(Geometry(image.accelerator))
    stream, size = image.streams["units"], packets.words(layout)
    begin = (image.windows["commands"].offset + stream.address) // 8
    word, last, pixels = begin, begin, 1
    while word < begin + stream.words:
        raw = int.from_bytes(image.memory[word : word + size].tobytes(), "little")
        unit = layout.from_bits(raw & (1 << layout.size) - 1)
        if unit["pass"] == packets.PASS_KINDS["rows"]:
            last, pixels = word, int(unit.pixels)
            word += int(unit.a) * image.accelerator.columns
        word += size
    place = layout["pixels"].offset
    wrong = pixels ^ (pixels - 1) if pixels > 1 else 0
    return [(last + (place + bit) // 64, (place + bit) % 64) for bit in range(COUNT_BITS) if wrong >> bit & 1]


def answers(
    image: Image, inputs: np.ndarray, limit: int, simulator: str, rtl_dir: Path | None
) -> Iterator[tuple[str, Session]]:
    """What is wrong with a run whose memory answers an error, or "", at each port."""
    first = next(layer for layer in image.layers if layer.program is not None)
    places = {
        "commands": image.windows["commands"].offset + image.streams["jobs"].address,
        "weights": image.windows["weights"].offset,
        "maps_read": image.inputs[0].map.address,
        "maps_write": image.maps[first.tensor].address,
    }
    for number, port in enumerate(PORTS):
        found = run_session(
            [Start(image, inputs)], limit, simulator, rtl_dir, Conditions(fault=_moved(image, places[port]))
        )
        registers = found.runs[0].registers if found.runs else {}
        status, address = registers.get("status", 0), registers.get("error_address_lo", 0)
        problem = ""
        expected = ERROR | number << 4 | 1 << 8 | list(ERRORS).index("response") << 12
        if status != expected:
            problem = f"memory answers an error at {port}: status {status:#x}, expected {expected:#x}"
        elif not 0 <= _moved(image, places[port]) - address < 16 * image.accelerator.weight_port_bits // 8:
            problem = f"memory answers an error at {port}: error_address {address:#x}"
        elif late := _late_layer(found.runs[0]):
            problem = f"memory answers an error at {port}: {late}"
        yield problem, found


def _moved(image: Image, place: int) -> int:
    """A place of the image's memory in that of a session, where a page lies behind each window."""
    before = sum(place >= window.offset for window in image.windows.values()) - 1
    return place + 4096 * before


def registers(image: Image, built: Path, inputs: np.ndarray, simulator: str) -> tuple[str, Session]:
    """The first register that does not read or take what the map says, or ""; a session without runs."""
    mapped = register_map(image.accelerator, COUNTERS)
    operations, expected = _accesses(mapped)
    printed, _ = run_software(
        built,
        image,
        memory_before(image, inputs),
        [*operations, (END, 0, 0)],
        [],
        50 * len(operations),
        simulator,
    )
    session = Session((), 0, False, changed_ports(printed))
    found = [(kind, values) for kind, values in printed if kind in ("read", "refused")]
    names = {register.offset: register.name for register in mapped}
    for one, right in zip(found, expected, strict=False):
        if one != right:
            where = names.get(right[1][0], f"address {right[1][0]:#x}")
            return f"register {where}: expected {right}, found {one}", session
    return "" if len(found) == len(expected) else "an access of a register has no answer", session


def _accesses(mapped: tuple[Register, ...]) -> tuple[list[Operation], list[tuple[str, list[int]]]]:
    """Reads and writes of every register, and what the bench must print of them."""
    operations: list[Operation] = []
    expected: list[tuple[str, list[int]]] = []
    value = {register.name: register.reset for register in mapped}

    def read_all() -> None:
        for register in mapped:
            operations.append((READ, register.offset, 0))
            expected.append(("read", [register.offset, value[register.name], OKAY]))

    read_all()
    for turn, pattern in enumerate(_PATTERNS):
        for number, register in enumerate(mapped):
            without = (0, 0b0101, 0b1010, 0b1110)[(number + turn) % 4]
            given = (pattern ^ 0x0101_0101 * number) & 0xFFFF_FFFF
            # Start and clear are for runs.
            given &= ~sum(field.mask for field in register.fields if field.access == "pulse")
            lanes = sum(0xFF << 8 * n for n in range(4) if not without >> n & 1)
            kept = ~lanes | ~sum(field.mask for field in register.fields if field.access == "rw")
            value[register.name] = value[register.name] & kept | given & ~kept & 0xFFFF_FFFF
            operations.append((WRITE, register.offset, given, without))
        read_all()
    taken = {register.offset for register in mapped}
    for place in sorted({NOWHERE, *(NOWHERE & ~(1 << bit) for bit in range(3, 12))} - taken):
        operations += [(READ, place, 0), (WRITE, place, 0)]
        expected += [("read", [place, 0, SLVERR]), ("refused", [place, SLVERR])]
    return operations, expected
