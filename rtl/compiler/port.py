"""Whether packets come fast enough: four streams share the command port (docs/hardware.md section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtl import packets
from rtl.compiler.image import Layer, Stream
from rtl.geometry import Geometry
from rtl.packets import COMMAND_WORDS
from sim.accelerator import Accelerator
from sim.program import Program


def starved(accelerator: Accelerator, layers: Sequence[Layer], streams: Sequence[Stream]) -> tuple[str, ...]:
    """A warning for each layer that may wait for packets; none if every stream fits its buffer.

    The port brings a word a cycle. A run of chunks that takes more words than cycles lives on what the
    buffers hold; the estimate gives it one buffer's depth, and the fewest cycles that its chunks can take.
    """
    if all(stream.words <= COMMAND_WORDS for stream in streams):
        return ()
    found = []
    excess = least = 0
    for layer in layers:
        if layer.program is None:
            continue
        lead = excess + _words(accelerator, layer.program) - _cycles(layer.program)
        lowest = np.minimum.accumulate(np.append(least, lead))
        if (lead - lowest[:-1]).max() > COMMAND_WORDS:
            found.append(f"{layer.name}: packets come faster than the command port brings them; "
                         "the run is slower than docs/timing.md says")
        excess, least = int(lead[-1]), int(lowest[-1])
    return tuple(found)


def _words(accelerator: Accelerator, program: Program) -> np.ndarray:
    """int64 [chunks]: packet words until the end of each chunk."""
    chunks, geometry = program.chunks, Geometry(accelerator)
    sizes = {name: packets.words(layout(geometry)) for name, layout in packets.LAYOUTS.items()}
    opens = np.diff(chunks["visit"], prepend=-1) > 0
    unit = chunks["last"] * (sizes["units"] + chunks["a"] * accelerator.columns)
    return np.cumsum(sizes["jobs"] + sizes["chunks"] + opens * sizes["tiles"] + unit, dtype=np.int64)


def _cycles(program: Program) -> np.ndarray:
    """int64 [chunks]: cycles until the end of each chunk, at least."""
    chunks = program.chunks
    tokens = chunks["a"] * chunks["b"] * chunks["u"] * chunks["d"]
    slots = chunks["pixels"].astype(np.int64) * np.maximum(tokens, np.maximum(chunks["store"],
                                                                             chunks["psum_write"]))
    beats = np.cumsum(chunks["beats"], dtype=np.int64)
    if not program.schedule.overlap:
        return np.cumsum(slots) + beats
    return np.maximum(np.cumsum(slots), beats)
