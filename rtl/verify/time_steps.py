"""Time steps of one network, one start after the other, on weights that stay where they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtl.compiler import compile_steps
from rtl.verify import simulators
from rtl.verify.campaign import named, summed
from rtl.verify.result import VerifyResult
from rtl.verify.session import Start, run_session
from rtl.verify.verify import compare, layer_alone
from sim.accelerator import Accelerator
from sim.network import Network
from sim.systolic.engine import simulate


def verify_steps(
    accelerator: Accelerator,
    networks: Sequence[Network],
    images: Sequence[np.ndarray],
    layer: str = "",
    simulator: str = "auto",
    rtl_dir: str | Path | None = None,
) -> VerifyResult:
    """Compares every value, cycle and counter of each step; software writes the bases of commands and maps between.

    Args:
        networks: of each step, on the same weights.
        images: int8 [1, C, H, W], the input of each step.
        layer: name of a convolution or linear layer to run alone, with the ifmap that it has in each step.

    Raises:
        InputError: steps that one memory image cannot hold, or as `verify_network`.
    """
    begin = time.perf_counter()
    pairs = list(zip(networks, images, strict=True))
    if layer:
        pairs = [layer_alone(network, layer, image) for network, image in pairs]
    banks = compile_steps([network for network, _ in pairs], accelerator)
    expected = [simulate(network, accelerator, image[:1], compare=False) for network, image in pairs]
    cycles = sum(one.total_cycles for found in expected for one in found.layers)
    chosen = simulators.choose(simulator, accelerator, cycles)
    starts = [
        Start(bank, image[0], weights_of=0 if n else None)
        for n, (bank, (_, image)) in enumerate(zip(banks, pairs, strict=True))
    ]
    found = run_session(starts, 4 * cycles + 5_000 * len(starts), chosen, Path(rtl_dir) if rtl_dir else None)
    results = [
        named(compare(bank, said, run, False, chosen, begin), f"step {n}: ")
        for n, (bank, said, run) in enumerate(zip(banks, expected, found.runs, strict=False))
    ]
    whole = summed(results)
    missing = len(starts) - len(found.runs)
    wrong = missing + found.strays
    first = whole.first_mismatch or (
        "the run did not end" if missing else "a word beyond the maps has changed"
    )
    return replace(
        whole,
        mismatches=whole.mismatches + wrong,
        first_mismatch=first if whole.mismatches + wrong else "",
        simulator=chosen,
        wall_s=time.perf_counter() - begin,
    )
