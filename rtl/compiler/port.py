"""Whether packets come fast enough (docs/hardware.md section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtl import packets
from rtl.compiler.image import Layer, Stream
from rtl.geometry import Geometry
from rtl.packets import COMMAND_WORDS
from sim.accelerator import Accelerator
from sim.systolic.program import Program
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES

_SLOWER = "the run is slower than docs/timing.md says"


def slow_packets(
    accelerator: Accelerator, layers: Sequence[Layer], streams: Sequence[Stream]
) -> tuple[str, ...]:
    """A warning for each layer that may wait for packets, from the fewest cycles that its chunks can take."""
    sizes = {name: packets.words(layout(Geometry(accelerator))) for name, layout in packets.LAYOUTS.items()}
    found = _port(accelerator, layers, sizes) if any(s.words > COMMAND_WORDS for s in streams) else []
    return tuple(found + _parameters(accelerator, layers, sizes))


def _port(accelerator: Accelerator, layers: Sequence[Layer], sizes: dict[str, int]) -> list[str]:
    """Four streams share the command port, which brings a word a cycle.

    A run of chunks that takes more words than cycles lives on what the buffers hold; the estimate gives it
    one buffer's depth.
    """
    found = []
    excess = least = 0
    for layer in layers:
        if layer.program is None:
            continue
        lead = excess + np.cumsum(_words(accelerator, layer.program, sizes)) - _cycles(layer.program)
        lowest = np.minimum.accumulate(np.append(least, lead))
        if (lead - lowest[:-1]).max() > COMMAND_WORDS:
            found.append(f"{layer.name}: packets come faster than the command port brings them; {_SLOWER}")
        excess, least = int(lead[-1]), int(lowest[-1])
    return found


def _parameters(accelerator: Accelerator, layers: Sequence[Layer], sizes: dict[str, int]) -> list[str]:
    """The storer takes a word a cycle: the packet and parameters of a stripe, while the one before it runs."""
    found = []
    between = (
        CONTROL_CYCLES + accelerator.latency + STORER_STAGES + accelerator.dma_setup + accelerator.l2_latency
    )
    room = 0  # cycles of the stripe before; the first one is there before the run begins
    known = False
    for layer in layers:
        if layer.program is None:
            words, cycles = np.array([sizes["units"]]), np.array([0])
        else:
            last = layer.program.chunks["last"] == 1
            words = _stripe_words(accelerator, layer.program, sizes)[last]
            cycles = np.diff(_cycles(layer.program)[last], prepend=0)
        rooms = np.append(room, cycles[:-1])
        if (words > rooms)[0 if known else 1 :].any():
            found.append(f"{layer.name}: stripes are shorter than their parameters; {_SLOWER}")
        room, known = int(cycles[-1]) + between, True
    return found


def _stripe_words(accelerator: Accelerator, program: Program, sizes: dict[str, int]) -> np.ndarray:
    """int64 [chunks]: words of the stripe that ends with each chunk, 0 where none does."""
    chunks = program.chunks
    return chunks["last"] * (sizes["units"] + chunks["A"].astype(np.int64) * accelerator.columns)


def _words(accelerator: Accelerator, program: Program, sizes: dict[str, int]) -> np.ndarray:
    """int64 [chunks]: packet words that each chunk needs."""
    opens = np.diff(program.chunks["visit"], prepend=-1) > 0
    return (
        sizes["jobs"] + sizes["chunks"] + opens * sizes["tiles"] + _stripe_words(accelerator, program, sizes)
    )


def _cycles(program: Program) -> np.ndarray:
    """int64 [chunks]: cycles until the end of each chunk, at least."""
    chunks = program.chunks
    tokens = chunks["A"] * chunks["B"] * chunks["U"] * chunks["D"]
    slots = chunks["pixels"].astype(np.int64) * np.maximum(
        tokens, np.maximum(chunks["store"], chunks["psum_write"])
    )
    beats = np.cumsum(chunks["beats"], dtype=np.int64)
    if not program.schedule.overlap:
        return np.cumsum(slots) + beats
    return np.maximum(np.cumsum(slots), beats)
