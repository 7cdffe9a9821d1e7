"""Runs inside the simulator: the digit-serial machine between memory and host of cocotbext-axi."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiRamRead, AxiRamWrite, AxiReadBus, AxiWriteBus

from rtl.verify.cocotb_bench import BUSY, CHANNELS, CLEAR, INTERRUPT, START_WITH_INTERRUPT, Side, pauses


@cocotb.test()
async def attempts(dut: Any) -> None:
    """Every attempt of job.json, one after the other: its fault, and what is left."""
    job = json.loads(Path("job.json").read_text())
    rng = random.Random(job["seed"])
    content = bytearray(Path("memory.bin").read_bytes())
    before = bytes(content)
    dut.rst.value = 1
    if hasattr(dut, "scan_enable"):
        dut.scan_enable.value = 0
    arguments = (dut.clk, dut.rst)
    reads = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi_commands"), *arguments, mem=content)
    writes = AxiRamWrite(AxiWriteBus.from_prefix(dut, "m_axi_maps"), *arguments, mem=content)
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), *arguments)
    sides = {
        "commands": Side(dut, reads, "_read", len(content), rng),
        "maps_write": Side(dut, writes, "_write", len(content), rng),
    }
    for side in (reads, writes, host.write_if, host.read_if):
        for name in CHANNELS:
            if hasattr(side, name):
                getattr(side, name).set_pause_generator(pauses(random.Random(rng.random())))
    await Timer(2, "ns")  # All inputs have values before the first edge.
    Clock(dut.clk, 2, "ns", impl="gpi").start()
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    at = job["offsets"]
    found = []
    for number, fault in enumerate(job["faults"]):
        content[:] = before
        for port, side in sides.items():
            side.beats, side.failed = 0, None
            side.fault = fault[1:] if fault and fault[0] == port else None
        for name, value in job["registers"].items():
            await host.write_dword(at[name], value)
        await host.write_dword(at["control"], START_WITH_INTERRUPT)
        cycles = 0
        while not dut.irq.value and cycles < job["limit"]:
            await RisingEdge(dut.clk)
            cycles += 1
        result = {name: await host.read_dword(at[name]) for name in ("status", "layers")}
        result["counters"] = {name: await host.read_dword(at[f"count_{name}_lo"]) for name in job["counters"]}
        await host.write_dword(at["status"], INTERRUPT)
        result["irq_after"] = int(dut.irq.value)
        if fault:
            await host.write_dword(at["control"], CLEAR)
            while await host.read_dword(at["status"]) & BUSY:
                pass
        Path(f"after_{number}.bin").write_bytes(content)
        found.append(result)
    Path("results.json").write_text(json.dumps(found))
