"""From a program to the files that the bench reads. Written from docs/timing.md, not from `sim.engine`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.lib.data import StructLayout

from rtl.geometry import Geometry
from rtl.loader import layer_ports
from sim import encoding
from sim.errors import InputError
from sim.program import Program

CHUNK_LIMIT = 1 << 16


def write(program: Program, token_ifmap: np.ndarray, cycle_limit: int, directory: Path) -> None:
    """Writes the stimulus of one image.

    Args:
        token_ifmap: int8 [C', H', W'].
        cycle_limit: the bench gives up after so many cycles.
    """
    geometry = Geometry(program.schedule.accelerator)
    chunks = program.chunks
    if len(chunks) > CHUNK_LIMIT:
        raise InputError("chunks", len(chunks), f"the bench holds {CHUNK_LIMIT}",
                         "verify a smaller layer")
    _write_words(directory / "layer.hex", [cycle_limit, *layer_values(program).values()])
    for name in ("loader_chunk", "slot_chunk"):
        layout = getattr(geometry, name)
        _write_words(directory / f"{name}.hex", [pack_chunk(chunk, layout) for chunk in chunks])
    jobs = [program.codebook, *(program.beats[c["beat"] : c["beat"] + c["beats"]] for c in chunks)]
    _write_rows(directory / "beats.hex", np.concatenate(jobs).view(np.uint8))
    _write_rows(directory / "vectors.hex", vectors(program, token_ifmap).view(np.uint8))


def layer_values(program: Program) -> dict[str, int]:
    """Values of the core's layer configuration, in the order of its ports."""
    schedule = program.schedule
    coded = schedule.format in ("vq", "mvq")
    values = {
        "chunk_count": len(program.chunks), "overlap": int(schedule.overlap), "raw": int(not coded),
        "codewords": schedule.codewords if coded else 0,
        "codebook_beats": len(program.codebook) if coded else 0,
        "index_bits": encoding.index_bits(schedule.codewords) if coded else 0,
    }
    return {name: values[name] for name in layer_ports(Geometry(schedule.accelerator))}


def vectors(program: Program, token_ifmap: np.ndarray) -> np.ndarray:
    """int8 [n, H]: the activation vectors in the order of request.

    Lanes without a channel carry noise, which the core must ignore.
    """
    schedule, layer = program.schedule, program.schedule.shape
    rows, (_, kernel_x) = schedule.accelerator.rows, layer.kernel
    parts = []
    for chunk in program.chunks:
        y = chunk["tile"] + np.arange(chunk["pixels"]) // chunk["width"]
        x = np.arange(chunk["pixels"]) % chunk["width"]
        steps = []
        for q in range(chunk["d"]):
            ky, kx = divmod(int(chunk["position"]) + q, kernel_x)
            ky, kx = ky * layer.dilation[0], kx * layer.dilation[1]
            plane = token_ifmap[:, y * layer.stride[0] + ky, x * layer.stride[1] + kx]
            for r in range(chunk["b"]):
                used = chunk["rows_tail"] if r == chunk["b"] - 1 else chunk["rows"]
                low = chunk["channel"] + r * rows
                step = np.full((chunk["pixels"], rows), 0x55, np.int8)
                step[:, :used] = plane[low : low + used].T
                steps.append(step)
        parts.append(np.stack(steps, 1).reshape(-1, rows))
    return np.ascontiguousarray(np.concatenate(parts))


@dataclass(frozen=True, eq=False)
class Emission:
    """What identifies every emitted row, in order: int64 [n] each.

    `output` is the row's first output channel, of which `columns` are valid.
    """

    chunk: np.ndarray
    pixel: np.ndarray
    address: np.ndarray
    output: np.ndarray
    columns: np.ndarray
    final: np.ndarray


def emission(program: Program) -> Emission:
    """Every row that the core emits: by chunk, pixel and output group."""
    columns = program.schedule.accelerator.columns
    fields: list[np.ndarray] = []
    for number, chunk in enumerate(program.chunks):
        a = int(chunk["a"])
        address = np.arange(int(chunk["pixels"]) * a)
        s = address % a
        fields.append(np.stack([
            np.full_like(address, number), address // a, address, chunk["output"] + s * columns,
            np.where(s == a - 1, chunk["columns_tail"], chunk["columns"]),
            np.full_like(address, chunk["last"])]))
    return Emission(*np.concatenate(fields, 1))


def pack_chunk(chunk: np.void, layout: StructLayout) -> int:
    """A descriptor as the core's port takes it."""
    word = 0
    for name, field in layout:
        value = int(chunk[name])
        if value >> field.width:
            raise InputError(f"chunk {name}", value, f"exceeds {field.width} bits in hardware",
                             "choose another schedule")
        word |= value << field.offset
    return word


def _write_words(path: Path, words: list[int]) -> None:
    path.write_text("".join(f"{word:x}\n" for word in words))


def _write_rows(path: Path, data: np.ndarray) -> None:
    """uint8 [n, bytes], byte 0 lowest, as one hexadecimal number a line."""
    digits = np.ascontiguousarray(data[:, ::-1]).tobytes().hex()
    width = 2 * data.shape[1]
    path.write_text("\n".join(digits[n : n + width] for n in range(0, len(digits), width)) + "\n")
