"""The cocotb side of the bench: start, wait, read the counters.

Runs inside the simulator, for every verification; it imports nothing that takes time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge


@cocotb.test()
async def run_layer(dut: Any) -> None:
    """Runs the layer whose stimulus lies in the working directory."""
    dut.rst.value, dut.start.value = 1, 0
    Clock(dut.clk, 2, "ns", impl="gpi").start()
    await ClockCycles(dut.clk, 2)
    await FallingEdge(dut.clk)
    dut.rst.value, dut.start.value = 0, 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    await RisingEdge(dut.complete)
    await FallingEdge(dut.clk)
    Path("counters.txt").write_text(str(dut.counters.value))
