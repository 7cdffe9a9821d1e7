"""The cocotb side of the bench: start, wait, read the counters. Runs inside the simulator."""

from __future__ import annotations

import json
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from rtl.core import COUNTER_BITS
from rtl.counters import COUNTERS


@cocotb.test()
async def run_layer(dut) -> None:
    dut.rst.value, dut.start.value = 1, 0
    Clock(dut.clk, 2, "ns", impl="gpi").start()
    await ClockCycles(dut.clk, 2)
    await FallingEdge(dut.clk)
    dut.rst.value, dut.start.value = 0, 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    await RisingEdge(dut.complete)
    await FallingEdge(dut.clk)
    packed = dut.counters.value.to_unsigned()
    values = {name: packed >> COUNTER_BITS * n & ((1 << COUNTER_BITS) - 1)
              for n, name in enumerate(COUNTERS)}
    Path("counters.json").write_text(json.dumps(values))
