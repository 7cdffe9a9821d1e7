"""A system in simulation that runs a memory image: RISC-V processor, firmware in C, memory, accelerator."""

from __future__ import annotations

from importlib.resources import files
from zlib import crc32

import numpy as np

from rtl.bus.register_map import WINDOWS, register_map
from rtl.compiler import Image
from rtl.control.counters import COUNTERS
from rtl.image import system
from rtl.packets import STREAMS
from sim.errors import InputError

LOWEST, HIGHEST = 0x5000_0000, 1 << 32
"""Addresses of memory in this system; below lie program, registers, console and flash."""


def sources(image: Image, base: int, transfers: int, cycles: int, output: np.ndarray) -> dict[str, str]:
    """Verilog, firmware, its linker script, and a header that describes the image, by file name.

    Args:
        base: where the image lies.
        transfers: of DRAM.
        cycles: of the engine, for the whole network.
        output: int8 or int32 [K, Y, X], what the network must compute.

    Raises:
        InputError: an image that does not lie in the memory of this system.
    """
    if not LOWEST <= base <= HIGHEST - 8 * len(image.memory):
        problem = f"memory of the system lies from {LOWEST:#x} to {HIGHEST:#x}"
        raise InputError("--base", f"{base:#x}", problem, "give --base 0x80000000")
    here = files(__name__)
    fixed = {name: here.joinpath(name).read_text() for name in ("soc.v", "firmware.c", "firmware.ld")}
    control = next(one.offset for one in register_map(image.accelerator, COUNTERS) if one.name == "control")
    holes = {
        "@SYSTEM@": system.text(image, base, transfers).rstrip(),
        "@LIMIT@": str(4 * cycles + 500 * len(image.memory) + 1_000_000),
        "@CONTROL@": f"{control:x}",
    }
    for hole, text in holes.items():
        fixed["soc.v"] = fixed["soc.v"].replace(hole, text)
    return fixed | {"image.h": _header(image, base, cycles, output)}


def _header(image: Image, base: int, cycles: int, output: np.ndarray) -> str:
    to = image.maps[image.layers[-1].tensor]
    pixels = np.moveaxis(output, 0, -1)  # as they lie in memory
    bytes_each = 4 if to.wide else 1
    values = {
        "BASE": (f"{base:#x}u", "First byte"),
        "WORDS": (len(image.memory), "Of 64 bits"),
        "CYCLES": (f"{cycles}u", "Of the cycle engine"),
        "OUTPUT": (f"{to.address:#x}u", "First byte of the last layer's output, from IMAGE_BASE"),
        "PIXELS": (pixels[..., 0].size, "Of the output"),
        "CHANNELS": (pixels.shape[-1], "Of a pixel"),
        "PIXEL_BYTES": (8 * to.pitch, "From pixel to pixel"),
        "VALUE_BYTES": (bytes_each, "Of a value, signed"),
        "CHECKSUM": (f"{crc32(pixels.astype(f'<i{bytes_each}').tobytes()):#010x}u", "CRC-32 of the values"),
    }
    run = [f".layers = {len(image.layers)}"]
    for name in WINDOWS:
        window = image.windows[name]
        run += [f".{name}_base = {base + window.offset:#x}u", f".{name}_size = {window.bytes:#x}u"]
    for name in STREAMS:
        stream = image.streams[name]
        run += [f".{name}_base = {stream.address:#x}u", f".{name}_count = {stream.words}u"]
    lines = [
        f"/* Memory image of {image.network.name} on {image.accelerator.name}. Generated; do not edit. */",
        "#ifndef IMAGE_H",
        "#define IMAGE_H",
        "",
        *(f"#define IMAGE_{name} {value} /* {what} */" for name, (value, what) in values.items()),
        "/* For codeword_start. */",
        "#define IMAGE_RUN { \\",
        *(f"    {entry}, \\" for entry in run),
        "}",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"
