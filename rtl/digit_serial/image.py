"""A network in memory: packets, input, and room for the charges of the last layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtl.bus.register_map import register_map
from rtl.compiler.image import Stream, Window
from rtl.compiler.memory import Memory
from rtl.digit_serial import stream
from rtl.digit_serial.charges import row_bytes, value_bytes
from rtl.digit_serial.top import COUNTERS, FACE
from sim.digit_serial import functional
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.convert import SpikingLayer, convert
from sim.digit_serial.lowering import Program, lower
from sim.errors import InputError
from sim.network import Network


@dataclass(frozen=True, eq=False)
class Image:
    """A network in memory; what it shares with that of a systolic machine has the same names.

    Attributes:
        memory: uint64 [words], one window behind the other, the digits of the input still 0.
        windows: by name; `maps` holds the charges and comes first.
        streams: by name, in the order of `rtl.digit_serial.top.STREAMS`.
        output_words: of the charges, from the begin of `maps`.
    """

    network: Network
    accelerator: DigitSerial
    program: Program
    memory: np.ndarray
    windows: Mapping[str, Window]
    streams: Mapping[str, Stream]
    output_words: int

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        return self.program.network.layers

    def digits(self, image: np.ndarray) -> np.ndarray:
        """int8 [T, C, H, W] of an input int8 [C, H, W]."""
        steps = self.accelerator.steps
        return functional.input_digits(image[None], self.network.input.zero_point, steps)[:, 0]

    def write_input(self, image: np.ndarray) -> np.ndarray:
        """uint64 [words]: the memory with an input, int8 [C, H, W]."""
        memory = self.memory.copy()
        words = stream.input_packet(self.program, self.digits(image))
        first = (self.windows["commands"].offset + self.streams["input"].address) // 8
        memory[first : first + len(words)] = words
        return memory

    def read(self, memory: np.ndarray) -> np.ndarray:
        """Charges int64 [classes] from a memory after the run."""
        dtype = "<i4" if value_bytes(self.accelerator) == 4 else "<i8"
        outputs = len(self.layers[-1].bias)
        return memory[: self.output_words].view(dtype)[:outputs].astype(np.int64)


def compiled(network: Network, acc: DigitSerial) -> Image:
    """
    Raises:
        InputError: a network that the machine does not run, or whose packets or charges have no room.
    """
    program = lower(convert(network), acc)
    rows = -(-len(program.network.layers[-1].bias) // acc.lanes)
    if rows > acc.l1_words:
        raise InputError(
            "l1_bytes", acc.l1_bytes, f"numbers fewer than {rows} rows of charges", "set a larger l1_bytes"
        )
    shape = (acc.steps, *network.input.shape)
    nothing = stream.input_packet(program, np.zeros(shape, np.int8))
    packets = np.concatenate([stream.packet_words(one, acc) for one in program.packets])
    maps, commands = Memory("maps"), Memory("commands")
    output_words = rows * row_bytes(acc) // 8
    maps.place(np.zeros(output_words, np.uint64))
    streams = {
        name: Stream(commands.place(words), len(words))
        for name, words in (("input", nothing), ("packets", packets))
    }
    parts = {"maps": maps.words(), "commands": commands.words()}
    windows = {
        "maps": Window(0, 8 * len(parts["maps"])),
        "commands": Window(8 * len(parts["maps"]), 8 * len(parts["commands"])),
    }
    memory = np.concatenate(list(parts.values()))
    return Image(network, acc, program, memory, windows, streams, output_words)


def offsets(acc: DigitSerial) -> dict[str, int]:
    """Byte addresses of the registers by name."""
    return {register.name: register.offset for register in register_map(acc, COUNTERS, FACE)}
