"""Helpers around Amaranth's simulator."""

from __future__ import annotations

import numpy as np
from amaranth.sim import Simulator


def run(dut, testbench) -> None:
    """Runs an async test bench; `dut` is clocked if it has registers."""
    simulator = Simulator(dut)
    if dut.clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def pack(values, width: int) -> int:
    """Integers as fields of `width` bits, the first one lowest."""
    return sum((int(value) & (1 << width) - 1) << width * n for n, value in enumerate(values))


def fields(word: int, width: int, count: int, signed: bool = False) -> list[int]:
    values = [word >> width * n & (1 << width) - 1 for n in range(count)]
    return [v - (1 << width) if signed and v >> width - 1 else v for v in values]


def int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random bytes, every fourth one an extreme."""
    values = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape) < 0.25, rng.choice([-128, 127], shape), values)
