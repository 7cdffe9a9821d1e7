"""One memory image of a network's time steps: maps and weights once, scales and biases a step.

Multipliers, shifts, biases and zero points lie in the packet streams, so that a bank of them is a window `commands`
for each step, all of one layout: the register `commands_base` selects the step of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtl.compiler.compile import compile
from rtl.compiler.image import Image, Window
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.network import Network


def compile_steps(
    networks: Sequence[Network], accelerator: Accelerator, objective: str = "edp", l2_holds_all: bool = False
) -> tuple[Image, ...]:
    """The image of each step. All have the same `memory`, maps and weights; only their windows `commands` differ.

    Args:
        networks: of each step, on the same layers and weights (`sim.artifact.save_steps`).
        l2_holds_all: no packet waits for DRAM.

    Raises:
        InputError: as `rtl.compiler.compile`, or a step with other weights or other packets than step 0.
    """
    images = [compile(network, accelerator, objective, l2_holds_all=l2_holds_all) for network in networks]
    first = images[0]
    banks = [image.windows["commands"].of(image.memory) for image in images]
    for number, image in enumerate(images):
        weights = first.windows["weights"].of(first.memory), image.windows["weights"].of(image.memory)
        if not np.array_equal(*weights):
            raise _other(number, "weights")
        if (image.streams, image.windows) != (first.streams, first.windows):
            raise _other(number, "shapes or schedules")
    own = first.windows["commands"]
    memory = np.concatenate([first.memory[: own.offset // 8], *banks])
    return tuple(
        replace(
            image,
            memory=memory,
            windows={**first.windows, "commands": Window(own.offset + number * own.bytes, own.bytes)},
        )
        for number, image in enumerate(images)
    )


def _other(number: int, what: str) -> InputError:
    return InputError(
        f"steps.{number}",
        what,
        f"are others than those of step 0, and one image holds them once, step {number} of the network file",
        "export all steps from one network",
    )
