"""Writes a network as files that a system can load and run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtl import owned, tables
from rtl.compiler import Image, Map, compile_steps
from rtl.compiler.memory import PAGE_BYTES
from rtl.image import soc as systems
from rtl.image import testbench
from rtl.verify.dram import transfers
from rtl.verify.run import START_WITH_INTERRUPT, offsets, programming
from rtl.weights.rom import init_files
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.network import Network
from sim.systolic.engine import Simulation, simulate

MANIFEST = "codeword_image.json"
"""Beside that of an export, so that both may share a directory."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        files: names, in the directory.
        memory_bytes: of the image.
        cycles: of the engine, all layers.
        output: tensor that the last layer writes.
        warnings: why a run may take more cycles.
    """

    files: tuple[str, ...]
    memory_bytes: int
    cycles: int
    output: str
    warnings: tuple[str, ...]


def write(
    network: Network,
    accelerator: Accelerator,
    directory: str | Path,
    image: np.ndarray,
    *,
    objective: str = "edp",
    l2_holds_all: bool = False,
    base: int = 0,
    soc: bool = False,
    force: bool = False,
    steps: Sequence[Network] = (),
    step: int = 0,
) -> Written:
    """Compiles a network and writes its memory, registers, layout and expected output, and a test bench.

    Args:
        network: step `step` of `steps`, where there are several.
        image: int8 [1, C, H, W], which lies in the memory, and whose output is expected.
        l2_holds_all: no packet waits for DRAM.
        base: address of the image's first byte in the system, a multiple of 4096.
        soc: write a system with a processor and its firmware too.
        force: replace files that were edited since the last time.
        steps: of all time steps, whose packets the memory holds too.

    Raises:
        InputError: the hardware cannot run a layer, a base that does not do, or a file of the user in the way.
    """
    banks = compile_steps(steps or [network], accelerator, objective, l2_holds_all)
    compiled = banks[step]
    require_base(base, compiled)
    expected = simulate(
        network, accelerator, image[:1], compare=False, objective=objective, l2_holds_all=l2_holds_all
    )
    contents = files(compiled, expected, image[0], base, soc=soc, commands=_commands(banks, base))
    machine = accelerator.model_dump(mode="json")
    owned.write(directory, contents, machine=machine, force=force, manifest=MANIFEST)
    return Written(
        tuple(contents),
        8 * len(compiled.memory),
        _cycles(expected),
        compiled.layers[-1].tensor,
        compiled.warnings,
    )


def files(
    image: Image,
    expected: Simulation,
    inputs: np.ndarray,
    base: int,
    *,
    soc: bool = False,
    commands: Sequence[int] = (),
) -> dict[str, str | bytes]:
    """Contents by file name.

    Args:
        inputs: int8 [C, H, W].
        soc: those of a system with a processor too.
        commands: where the window `commands` of each time step lies, if there are several.

    Raises:
        InputError: a base where that system has no memory.
    """
    memory = image.write_input(inputs)
    tensor = image.layers[-1].tensor
    output = image.maps[tensor]
    after = memory.copy()
    computed = expected.tensors[tensor][0]
    output.write(after, computed)
    first = output.address // 8
    at = offsets(image)
    writes = programming(image, base)
    moved = transfers(image)
    cycles = _cycles(expected)
    registers = {
        "write": [{"register": name, "offset": at[name], "value": value} for name, value in writes.items()],
        "start": {"register": "control", "offset": at["control"], "value": START_WITH_INTERRUPT},
        "ended": {"register": "status", "offset": at["status"], "mask": 0b111, "value": 0b010},
    }
    hexes = testbench.FILES
    return {
        "memory.bin": memory.astype("<u8").tobytes(),
        hexes["memory"]: _hex(memory),
        hexes["expected"]: _hex(after[first : first + output.words]),
        "registers.json": _json(registers),
        hexes["registers"]: "".join(f"{at[name] << 32 | value:011x}\n" for name, value in writes.items()),
        hexes["transfers"]: "".join(f"{transfer.word:x}\n" for transfer in moved),
        "layout.json": _json(
            _layout(image, expected, base) | ({"steps": list(commands)} if commands else {})
        ),
        **testbench.sources(image, base, len(writes), len(moved), cycles),
        **init_files(image.accelerator, image.rom),
        **tables.files(image.accelerator),
        **(systems.sources(image, base, len(moved), cycles, computed) if soc else {}),
    }


def _commands(banks: Sequence[Image], base: int) -> list[int]:
    """Byte addresses of the window `commands` of each step; none of a network of one."""
    return [base + bank.windows["commands"].offset for bank in banks] if len(banks) > 1 else []


def placed(image: Any, base: int) -> dict[str, Any]:
    """Network, machine, and where memory, windows and packet streams lie, of an image of any kind of machine."""
    commands = base + image.windows["commands"].offset
    return {
        "network": image.network.name,
        "accelerator": image.accelerator.name,
        "memory": {
            "address": base,
            "bytes": 8 * len(image.memory),
            "word_bits": 64,
            "bytes_in_a_word": "little",
        },
        "windows": {
            name: {"address": base + one.offset, "bytes": one.bytes} for name, one in image.windows.items()
        },
        "streams": {
            name: {"address": commands + one.address, "words": one.words}
            for name, one in image.streams.items()
        },
    }


def _layout(image: Image, expected: Simulation, base: int) -> dict[str, Any]:
    """Where everything lies, in bytes of the system's memory."""
    tensor = image.layers[-1].tensor
    return {
        **placed(image, base),
        "inputs": [
            _map(one.map, base) | {"of_shape": list(one.shape), "fold": one.fold and asdict(one.fold)}
            for one in image.inputs
        ],
        "layers": [
            {"name": layer.name, "cycles": counts.total_cycles, "tensor": layer.tensor}
            | _map(image.maps[layer.tensor], base)
            for layer, counts in zip(image.layers, expected.layers, strict=True)
        ],
        "output": {"tensor": tensor, "expected": testbench.FILES["expected"]}
        | _map(image.maps[tensor], base),
        "cycles": _cycles(expected),
        "warnings": list(image.warnings),
    }


def _cycles(run: Simulation) -> int:
    return sum(layer.total_cycles for layer in run.layers)


def _map(one: Map, base: int) -> dict[str, Any]:
    return {
        "address": base + one.address,
        "shape": list(one.shape),
        "value_bits": 32 if one.wide else 8,
        "pixel_words": one.pitch,
        "words": one.words,
    }


def require_base(base: int, image: Any) -> None:
    """Raises InputError where an image cannot lie."""
    most = 1 << image.accelerator.address_bits
    if base < 0 or base % PAGE_BYTES or base + 8 * len(image.memory) > most:
        raise InputError(
            "--base",
            base,
            f"must be a multiple of {PAGE_BYTES}, and the image must end within {most:#x}",
            "give another address, or set address_bits of the accelerator up to 40",
        )


def _hex(words: np.ndarray) -> str:
    return "".join(f"{word:016x}\n" for word in words.tolist())


def _json(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
