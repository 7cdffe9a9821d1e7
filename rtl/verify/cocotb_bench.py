"""The cocotb side of `rtl.verify.cocotb_run`: memory and host of cocotbext-axi around the accelerator.

Runs inside the simulator, on what job.json in the working directory says; leaves results.json and a memory
for each attempt.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus, AxiResp

PAUSE = 0.25
"""Share of the cycles in which a channel stands still."""
SLOW = 0.05
"""Share of the beats that take memory longer, up to SLOW_CYCLES."""
SLOW_CYCLES = 40
START_WITH_INTERRUPT, CLEAR = 0b101, 0b010
BUSY, ERROR, INTERRUPT = 0x1, 0x4, 0x100
CHANNELS = ("ar_channel", "r_channel", "aw_channel", "w_channel", "b_channel")


class Side:
    """One direction of a memory: counts its beats, takes its time, and fails when told to.

    Attributes:
        beats: so far.
        fault: beat that fails and its response, or None.
        failed: address of the burst that failed first, or None.
        beyond: accesses that do not lie in memory.
    """

    def __init__(self, dut: Any, slave: Any, name: str, size: int, rng: random.Random) -> None:
        self.beats, self.beyond = 0, 0
        self.fault: tuple[int, int] | None = None
        self.failed: int | None = None
        self._burst = 0
        self._response = AxiResp.SLVERR
        self._dut, self._size, self._rng = dut, size, rng
        address, responses = ("aw", slave.b_channel) if name == "_write" else ("ar", slave.r_channel)
        requests = getattr(slave, f"{address}_channel")
        setattr(slave, name, self._access(getattr(slave, name)))
        requests.recv = self._note(requests.recv, f"{address}addr")
        responses.send = self._answer(responses.send, "bresp" if name == "_write" else "rresp")

    def _access(self, before: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def access(address: int, data: Any) -> Any:
            beat, self.beats = self.beats, self.beats + 1
            if self._rng.random() < SLOW:
                await ClockCycles(self._dut.clk, self._rng.randrange(1, SLOW_CYCLES))
            if self.fault is not None and beat == self.fault[0]:
                self._response = AxiResp(self.fault[1])
                self.failed = self._burst
                raise ValueError("told to fail")
            if address + (data if isinstance(data, int) else len(data)) > self._size:
                self.beyond += 1
                raise ValueError("beyond memory")
            return await before(address, data)

        return access

    def _note(self, before: Callable[[], Awaitable[Any]], field: str) -> Callable[[], Awaitable[Any]]:
        async def recv() -> Any:
            request = await before()
            self._burst = int(getattr(request, field))
            return request

        return recv

    def _answer(
        self, before: Callable[[Any], Awaitable[None]], field: str
    ) -> Callable[[Any], Awaitable[None]]:
        async def send(response: Any) -> None:
            if getattr(response, field) != AxiResp.OKAY:
                setattr(response, field, self._response)
            await before(response)

        return send


class Bench:
    """The accelerator between its memory and its host."""

    def __init__(self, dut: Any, job: dict[str, Any]) -> None:
        self.dut, self.job = dut, job
        self.rng = random.Random(job["seed"])
        self.content = bytearray(job["size"])
        arguments = (dut.clk, dut.rst)
        commands = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi_commands"), *arguments, mem=self.content)
        weights = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi_weights"), *arguments, mem=self.content)
        maps = AxiRam(AxiBus.from_prefix(dut, "m_axi_maps"), *arguments, mem=self.content)
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), *arguments)
        slaves = {
            "commands": (commands, "_read"),
            "weights": (weights, "_read"),
            "maps_read": (maps.read_if, "_read"),
            "maps_write": (maps.write_if, "_write"),
        }
        self.sides = {
            port: Side(dut, slave, name, job["size"], self.rng) for port, (slave, name) in slaves.items()
        }
        for side in (*(slave for slave, _ in slaves.values()), self.host.write_if, self.host.read_if):
            for name in CHANNELS:
                if hasattr(side, name):
                    getattr(side, name).set_pause_generator(pauses(random.Random(self.rng.random())))
        self.cycle = self.begun = self.jobs = self.tiles = self.overflows = 0
        self.begins: list[int] = []
        self.layers: list[dict[str, Any]] = []

    async def release(self) -> None:
        """Ends the reset; from then on the events of the accelerator are watched."""
        if hasattr(self.dut, "scan_enable"):  # of a machine with clock gates
            self.dut.scan_enable.value = 0
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)
        cocotb.start_soon(self._watch())

    async def attempt(self, number: int, attempt: dict[str, Any]) -> dict[str, Any]:
        """One run from start to interrupt, and clear if it failed."""
        self.content[:] = Path(f"memory_{number}.bin").read_bytes()
        self.begun = self.jobs = self.tiles = 0
        self.begins, self.layers = [], []
        for port, side in self.sides.items():
            side.beats, side.failed = 0, None
            side.fault = attempt["fault"][1:] if attempt["fault"] and attempt["fault"][0] == port else None
        for name, value in attempt["registers"].items():
            await self._write(name, value)
        dram = cocotb.start_soon(self._dram(attempt["transfers"]))
        start = self.cycle
        await self._write("control", START_WITH_INTERRUPT)
        limit = start + attempt["limit"]
        while not self.dut.irq.value and self.cycle < limit:
            await RisingEdge(self.dut.clk)
        found: dict[str, Any] = {"limited": not self.dut.irq.value, "cycles": self.cycle - start}
        for name in ("status", "error_address_lo", "error_address_hi", "layers"):
            found[name] = await self._read(name)
        await self._write("status", INTERRUPT)
        found["irq_after"] = int(self.dut.irq.value)
        found["counters"] = {}
        for name in self.job["counters"]:
            low = await self._read(f"count_{name}_lo")
            found["counters"][name] = await self._read(f"count_{name}_hi") << 32 | low
        found |= {
            "begins": self.begins,
            "ends": self.layers,
            "overflows": self.overflows,
            "beats": {port: side.beats for port, side in self.sides.items()},
            "beyond": sum(side.beyond for side in self.sides.values()),
            "failed": next((side.failed for side in self.sides.values() if side.failed is not None), -1),
        }
        dram.cancel()
        self.dut.weights_there.value = self.dut.maps_there.value = 0
        if found["status"] & ERROR:
            found["addresses_after"] = await self._addresses_after()
            await self._write("control", CLEAR)
            while await self._read("status") & BUSY:
                pass
            found["status_after"] = await self._read("status")
        Path(f"after_{number}.bin").write_bytes(self.content)
        return found

    async def _addresses_after(self) -> int:
        """Cycles with an address on any port, once those on their way have been taken."""
        found = 0
        await ClockCycles(self.dut.clk, 60)
        for _ in range(100):
            await RisingEdge(self.dut.clk)
            found += any(
                int(getattr(self.dut, f"m_axi_{name}").value)
                for name in ("commands_arvalid", "weights_arvalid", "maps_arvalid", "maps_awvalid")
            )
        return found

    async def _watch(self) -> None:
        dut = self.dut
        words: Counter[int] = Counter()  # cycles of the run by which events they had
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if dut.begin_run.value:
                words.clear()
            else:
                words[int(dut.events.value)] += 1
            if dut.end_layer.value:
                counts = {
                    name: sum(cycles for word, cycles in words.items() if word >> n & 1)
                    for n, name in enumerate(self.job["counters"])
                }
                self.layers.append({"cycle": self.cycle, "counters": counts})
            if dut.begin_layer.value:
                self.begins.append(self.cycle)
                self.begun += 1
            self.jobs += int(dut.job_written.value)
            self.tiles += int(dut.tile_there.value)
            self.overflows += int(dut.overflow.value)

    async def _dram(self, transfers: list[list[int]]) -> None:
        """Brings one transfer after the other when what it waits for has happened, a little later."""
        for is_map, jobs, layers, tiles in transfers:
            while not (self.begun >= max(1, layers) and self.jobs >= jobs and self.tiles >= tiles):
                await RisingEdge(self.dut.clk)
            await ClockCycles(self.dut.clk, self.rng.randrange(1, SLOW_CYCLES))
            there = self.dut.maps_there if is_map else self.dut.weights_there
            there.value = 1
            await RisingEdge(self.dut.clk)
            there.value = 0

    async def _write(self, name: str, value: int) -> None:
        await self.host.write_dword(self.job["offsets"][name], value)

    async def _read(self, name: str) -> int:
        return await self.host.read_dword(self.job["offsets"][name])


def pauses(rng: random.Random) -> Iterator[bool]:
    while True:
        yield rng.random() < PAUSE


@cocotb.test()
async def attempts(dut: Any) -> None:
    """Every attempt of job.json, one after the other on the same accelerator."""
    job = json.loads(Path("job.json").read_text())
    dut.rst.value, dut.weights_there.value, dut.maps_there.value = 1, 0, 0
    bench = Bench(dut, job)
    await Timer(2, "ns")  # All inputs have values before the first edge.
    Clock(dut.clk, 2, "ns", impl="gpi").start()
    await bench.release()
    Path("results.json").write_text(
        json.dumps([await bench.attempt(n, attempt) for n, attempt in enumerate(job["attempts"])])
    )
