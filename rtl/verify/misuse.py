"""What software can do to the accelerator besides running a network, and what must come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.lib.data import Const

from rtl import packets
from rtl.bus.register_map import ERRORS, PORTS, WINDOW_OF, Register, register_map
from rtl.compiler import Image
from rtl.compiler.memory import PAGE_BYTES
from rtl.control.counters import COUNTERS
from rtl.geometry import COUNT_BITS, Geometry
from rtl.verify.bench import END, READ, WRITE
from rtl.verify.run import Conditions, Operation, Run, changed_ports, memory_before, run_software
from rtl.verify.session import Session, Start, run_session

OKAY, SLVERR = 0, 2
NOWHERE = 0xFF8
"""No register lies there, nor beside it, nor where any of these address bits is 0."""
DONE, ERROR = 1 << 1, 1 << 2
TO_INTERRUPT = 2
"""Cycles from the last one of the watchdog's patience to the interrupt."""
_PATTERNS = (0xA5C3_F00F, 0x5A3C_0FF0, 0xFFFF_FFFF, 0)


@dataclass(frozen=True)
class Wrong:
    """A start that must fail.

    Attributes:
        registers: written instead of the right ones.
        flips: bits of `Image.memory` that are wrong: word, bit.
        code: what `status.error_code` says then, by name.
        port: what `status.error_port` says, "" for any.
        address: where the burst begins that `error_address` says, from the base of the port's window on; None for any.
        after: cycles from the end of the last layer to the interrupt, None for any.
    """

    registers: Mapping[str, int]
    code: str
    port: str = ""
    flips: Sequence[tuple[int, int]] = ()
    address: int | None = None
    after: int | None = None

    @property
    def says(self) -> str:
        """The start in words."""
        return f"{dict(self.registers)}" + f", bits {list(self.flips)} of memory wrong" * bool(self.flips)

    def problem(self, run: Run, bases: Mapping[str, int]) -> str:
        """What is wrong with how it failed, or ""; `bases`: of the windows."""
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
        found = run.registers.get("error_address_lo", 0) | run.registers.get("error_address_hi", 0) << 32
        if self.address is not None and not 0 <= found - bases[WINDOW_OF[port]] - self.address < PAGE_BYTES:
            return f"error_address {found:#x}, expected {bases[WINDOW_OF[port]] + self.address:#x}"
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
    yield from _beyond_the_windows(image, watched)
    yield Wrong(watched | {"units_base": image.streams["units"].address + 4}, "setup", "commands")


_LAYOUTS = {"jobs": packets.job, "tiles": packets.tile, "units": packets.stripe}


def _packets(image: Image, name: str) -> Iterator[tuple[int, Const]]:
    """Of a stream: the word of `Image.memory` in which each begins, and its fields."""
    layout = _LAYOUTS[name](Geometry(image.accelerator))
    stream = image.streams[name]
    word = (image.windows["commands"].offset + stream.address) // 8
    end = word + stream.words
    while word < end:
        raw = int.from_bytes(image.memory[word : word + packets.words(layout)].tobytes(), "little")
        packet = layout.from_bits(raw & (1 << layout.size) - 1)
        yield word, packet
        word += packets.words(layout)
        if name == "units" and packet["pass"] == packets.PASS_KINDS["rows"]:
            word += int(packet.a) * image.accelerator.columns


def _bit(image: Image, name: str, word: int, field: str, bit: int) -> tuple[int, int]:
    """Where in `Image.memory` a bit of a packet's field lies: word, bit."""
    place = _LAYOUTS[name](Geometry(image.accelerator))[field].offset + bit
    return word + place // 64, place % 64


def _a_pixel_less(image: Image) -> list[tuple[int, int]]:
    """Flips that take a pixel from the last unit of rows: more rows come, and no unit is there to take them.

    None where it has one pixel.
    """
    rows = [at for at in _packets(image, "units") if at[1]["pass"] == packets.PASS_KINDS["rows"]]
    word, pixels = rows[-1][0], int(rows[-1][1].pixels)
    wrong = pixels ^ (pixels - 1) if pixels > 1 else 0
    return [_bit(image, "units", word, "pixels", bit) for bit in range(COUNT_BITS) if wrong >> bit & 1]


_FAR = 30
"""The bit of an address that leads out of every window of a small network."""


def _beyond_the_windows(image: Image, watched: Mapping[str, int]) -> Iterator[Wrong]:
    """A wrong address for each port: of the last packet that names one, and of the commands themselves."""
    for port, name, field in (
        ("weights", "jobs", "address"),
        ("maps_read", "tiles", "ifmap_address"),
        ("maps_write", "units", "address"),
    ):
        sent = [at for at in _packets(image, name) if name != "tiles" or at[1].ifmap_beats]
        word, packet = sent[-1]
        flips = [_bit(image, name, word, field, _FAR)]
        yield Wrong(watched, "window", port, flips, int(packet[field]) | 1 << _FAR)
    begin = image.streams["units"].address | 1 << _FAR
    yield Wrong({**watched, "units_base": begin}, "window", "commands", address=begin)


def answers(
    image: Image, inputs: np.ndarray, limit: int, simulator: str, rtl_dir: Path | None
) -> Iterator[tuple[str, Session]]:
    """What is wrong with a run whose memory answers an error, or "", at each port."""
    last = max((image.maps[layer.tensor] for layer in image.layers), key=lambda written: written.address)
    _, tile = next(_packets(image, "tiles"))
    *_, (_, job) = _packets(image, "jobs")
    units = image.streams["units"]
    places = {  # not where a window begins: its base alone would be right
        "commands": image.windows["commands"].offset + units.address + 8 * (units.words - 1),
        "weights": image.windows["weights"].offset + int(job.address),
        "maps_read": int(tile.ifmap_address) + (int(tile.ifmap_lines) - 1) * int(tile.ifmap_line_stride),
        "maps_write": last.address + 8 * (last.words - 1),
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
    session = Session((), (), 0, False, changed_ports(printed))
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
