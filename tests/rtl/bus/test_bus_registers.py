"""The registers against their table, and what is generated from it."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

from rtl.bus import register_map, register_text
from rtl.bus.registers import Registers
from sim.accelerator import load
from sim.errors import InputError
from tests.rtl.simulate import run

COUNTERS = ("cycles", "compute", "beats")
STREAMS = ("jobs", "tiles", "chunks", "units")
OKAY, SLVERR = 0, 2
CONTROL, STATUS, ERROR_ADDRESS, LAYERS, LAYER_COUNT = 0x20, 0x24, 0x28, 0x2C, 0x30
WATCHDOG = 0x34


def make(name="ews-4"):
    return Registers(accelerator=load(name), counters=COUNTERS)


class Bus:
    """Single accesses: everything is offered at once, the response taken at once."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def write(self, address, data, strobe=15):
        ctx, dut = self.ctx, self.dut
        for name, value in (
            ("awaddr", address),
            ("wdata", data),
            ("wstrb", strobe),
            ("awvalid", 1),
            ("wvalid", 1),
            ("bready", 1),
        ):
            ctx.set(getattr(dut, name), value)
        assert ctx.get(dut.awready)
        assert ctx.get(dut.wready)
        self.pulses = {name: ctx.get(getattr(dut, name)) for name in ("start", "clear")}
        await ctx.tick()
        ctx.set(dut.awvalid, 0)
        ctx.set(dut.wvalid, 0)
        assert ctx.get(dut.bvalid)
        return ctx.get(dut.bresp)

    async def read(self, address):
        ctx, dut = self.ctx, self.dut
        for name, value in (("araddr", address), ("arvalid", 1), ("rready", 1)):
            ctx.set(getattr(dut, name), value)
        assert ctx.get(dut.arready)
        await ctx.tick()
        ctx.set(dut.arvalid, 0)
        assert ctx.get(dut.rvalid)
        return ctx.get(dut.rdata), ctx.get(dut.rresp)

    async def value(self, address):
        data, response = await self.read(address)
        assert response == OKAY
        return data

    async def pulse(self, name, value=1):
        self.ctx.set(getattr(self.dut, name), value)
        await self.ctx.tick()
        self.ctx.set(getattr(self.dut, name), 0)

    async def start(self, control=1):
        """A start clears, and begins the run when the ports are idle."""
        ctx, dut = self.ctx, self.dut
        await self.write(CONTROL, control)
        assert self.pulses == {"start": 0, "clear": 1}
        for idle in (0, 1):
            ctx.set(dut.ports_idle, idle)
            assert ctx.get(dut.busy)
            started = ctx.get(dut.start)
            await ctx.tick()
        ctx.set(dut.ports_idle, 0)
        return started


def drive(dut, scenario):
    async def bench(ctx):
        await scenario(ctx, Bus(ctx, dut))

    run(dut, bench)


@pytest.mark.parametrize("name", ["ews-4", "ews-cms-16", "ews-c-8"])
def test_what_software_reads_first(name):
    """Every word of the range after reset: constants from the description, SLVERR where nothing is."""
    acc = load(name)
    loader = ("dense", "vq", "mvq").index(acc.format)
    expected = {
        0x00: 0x44574443,
        0x04: 0x00020000,
        0x08: acc.rows | acc.columns << 8 | acc.tile_rows << 16 | acc.tile_columns << 24,
        0x0C: loader | acc.sparse_tile << 4 | acc.codeword_length << 5 | acc.keep << 13 | acc.group << 18,
        0x10: acc.wrf_depth | acc.prf_depth << 16,
        0x14: acc.codebook_entries | acc.weight_port_bits << 17,
        0x18: acc.l1_bytes,
        0x1C: acc.address_bits,
        CONTROL: 0,
        STATUS: 0,
        ERROR_ADDRESS: 0,
        ERROR_ADDRESS + 0x10: 0,
        LAYERS: 0,
        LAYER_COUNT: 0,
        WATCHDOG: 1 << 28,
        **dict.fromkeys(range(0x40, 0x90, 4), 0),
        **dict.fromkeys(range(0x100, 0x100 + 24, 4), 0),
    }

    async def scenario(ctx, bus):
        for address in range(0, 4096, 4):
            data, response = await bus.read(address)
            assert (data, response) == (expected.get(address, 0), OKAY if address in expected else SLVERR)
        for address in (0x3C, 0x90, 0x118, 0xFFC):
            assert await bus.write(address, 1) == SLVERR
        for address in (0x00, 0x08, LAYERS, 0x100):
            assert await bus.write(address, 0xFFFFFFFF) == OKAY
            assert await bus.value(address) == expected[address]

    drive(make(name), scenario)


def test_strobes():
    rng = np.random.default_rng(0)
    dut = make()
    values = dict.fromkeys((WATCHDOG, *range(0x40, 0x90, 4)), 0)
    values[WATCHDOG] = 1 << 28

    async def scenario(ctx, bus):
        for _ in range(300):
            address = int(rng.choice(list(values)))
            data, strobe = int(rng.integers(1 << 32)), int(rng.integers(16))
            mask = sum(0xFF << 8 * n for n in range(4) if strobe >> n & 1)
            values[address] = values[address] & ~mask | data & mask
            assert await bus.write(address, data, strobe) == OKAY
            assert await bus.value(address) == values[address]
        for n, name in enumerate(STREAMS):
            assert ctx.get(getattr(dut, f"{name}_base")) == values[0x40 + 8 * n]
            assert ctx.get(getattr(dut, f"{name}_count")) == values[0x44 + 8 * n]
        for n, name in enumerate(("commands", "weights", "maps")):
            base, size = (values[0x60 + 16 * n + at] | values[0x64 + 16 * n + at] << 32 for at in (0, 8))
            assert ctx.get(getattr(dut, f"{name}_page")) == base >> 12 & 0xFFFFF
            assert ctx.get(getattr(dut, f"{name}_pages")) == size >> 12 & 0x1FFFFF
        assert ctx.get(dut.watchdog) == values[WATCHDOG]
        await bus.write(LAYER_COUNT, 0xFFFF9234)
        assert await bus.value(LAYER_COUNT) == ctx.get(dut.layer_count) == 0x9234
        await bus.write(CONTROL, 1, 0b1110)
        assert bus.pulses == {"start": 0, "clear": 0}

    drive(dut, scenario)


def test_a_run_from_start_to_interrupt():
    dut = make()

    async def scenario(ctx, bus):
        assert await bus.start(0b101)
        assert not ctx.get(dut.start)
        assert ctx.get(dut.busy)
        assert await bus.value(STATUS) == 1
        for again in (0b101, 0b100):
            await bus.write(CONTROL, again)
            assert not bus.pulses["start"]
        for _ in range(3):
            await bus.pulse("layer_end")
        assert not ctx.get(dut.irq)
        await bus.pulse("finished")
        assert ctx.get(dut.irq)
        assert await bus.value(STATUS) == 0x102
        assert await bus.value(LAYERS) == 3
        await bus.write(CONTROL, 0)  # disabled: pending, but not out
        assert not ctx.get(dut.irq)
        await bus.write(CONTROL, 4)
        assert ctx.get(dut.irq)
        await bus.write(STATUS, 0x100, 0b0001)
        assert ctx.get(dut.irq)
        await bus.write(STATUS, 0x100)
        assert not ctx.get(dut.irq)
        assert await bus.value(STATUS) == 2
        assert await bus.start()
        assert await bus.value(STATUS) == 1
        assert await bus.value(LAYERS) == 0

    drive(dut, scenario)


@pytest.mark.parametrize(
    ("port", "number"), [("commands", 0), ("weights", 1), ("maps_read", 2), ("maps_write", 3)]
)
def test_the_first_error_stops_the_run(port, number):
    dut = make()

    async def scenario(ctx, bus):
        assert await bus.start(0b101)
        ctx.set(getattr(dut, f"{port}_error_address"), 0x1234)
        await bus.pulse(f"{port}_error")
        assert ctx.get(dut.stop)
        assert ctx.get(dut.irq)
        other = "weights" if port == "commands" else "commands"
        ctx.set(getattr(dut, f"{other}_error_address"), 0x9999)
        await bus.pulse(f"{other}_error")
        await bus.pulse("layer_end")  # the response that failed was the last of its layer
        assert await bus.value(LAYERS) == 0
        assert await bus.value(STATUS) == 0x1104 | number << 4
        assert await bus.value(ERROR_ADDRESS) == 0x1234
        # clear: busy until the ports are idle
        await bus.write(CONTROL, 2)
        assert bus.pulses == {"start": 0, "clear": 1}
        assert not ctx.get(dut.stop)
        assert await bus.value(STATUS) == 1 | number << 4
        await bus.write(CONTROL, 1)
        assert not bus.pulses["start"]
        ctx.set(dut.ports_idle, 1)
        await ctx.tick()
        assert await bus.value(STATUS) == number << 4
        # A start clears by itself.
        assert await bus.start()
        await bus.pulse(f"{port}_error")
        assert ctx.get(dut.stop)
        assert await bus.start()
        assert not ctx.get(dut.stop)
        assert await bus.value(STATUS) == 1 | number << 4

    drive(dut, scenario)


def test_a_counter_is_read_at_one_moment():
    dut = make()

    async def scenario(ctx, bus):
        ctx.set(dut.count_compute, 0x1_FFFF_FFFF)
        ctx.set(dut.count_cycles, 0x7_0000_0005)
        assert await bus.value(0x108) == 0xFFFFFFFF
        ctx.set(dut.count_compute, 0x2_0000_0000)
        assert await bus.value(0x10C) == 1
        assert await bus.value(0x100) == 5
        assert await bus.value(0x104) == 7

    drive(dut, scenario)


@pytest.mark.parametrize("seed", range(2))
def test_random_stalls(seed):
    """Address, data and responses at any time: every access is answered once, in order."""
    rng = np.random.default_rng(seed)
    dut = make()
    places = list(range(0x40, 0x60, 4))
    writes = [(int(rng.choice([*places, 0x800])), int(rng.integers(1 << 32))) for _ in range(120)]
    reads = [int(rng.choice([0x00, 0x18, 0xFFC])) for _ in range(120)]
    answers = {0x00: (0x44574443, OKAY), 0x18: (load("ews-4").l1_bytes, OKAY), 0xFFC: (0, SLVERR)}
    found_writes, found_reads = [], []

    async def bench(ctx):
        at = {"aw": 0, "w": 0, "ar": 0}
        shown = dict.fromkeys(at, False)
        held = None
        for _ in range(1000):
            for channel, items in (("aw", writes), ("w", writes), ("ar", reads)):
                shown[channel] = shown[channel] or (at[channel] < len(items) and rng.random() < 0.75)
                ctx.set(getattr(dut, f"{channel}valid"), shown[channel])
            if shown["aw"]:
                ctx.set(dut.awaddr, writes[at["aw"]][0])
            if shown["w"]:
                ctx.set(dut.wdata, writes[at["w"]][1])
                ctx.set(dut.wstrb, 15)
            if shown["ar"]:
                ctx.set(dut.araddr, reads[at["ar"]])
            ctx.set(dut.bready, rng.random() < 0.75)
            ctx.set(dut.rready, rng.random() < 0.75)
            response = (ctx.get(dut.rdata), ctx.get(dut.rresp)) if ctx.get(dut.rvalid) else None
            assert held is None or response == held
            held = None if ctx.get(dut.rready) else response
            if ctx.get(dut.bvalid) and ctx.get(dut.bready):
                found_writes.append(ctx.get(dut.bresp))
            if response and ctx.get(dut.rready):
                found_reads.append(response)
            for channel in at:
                if shown[channel] and ctx.get(getattr(dut, f"{channel}ready")):
                    at[channel] += 1
                    shown[channel] = False
            await ctx.tick()
        for n, name in enumerate(STREAMS):
            for address, what in ((0x40 + 8 * n, "base"), (0x44 + 8 * n, "count")):
                last = [data for place, data in writes if place == address][-1]
                assert ctx.get(getattr(dut, f"{name}_{what}")) == last

    run(dut, bench)
    assert found_writes == [SLVERR if address == 0x800 else OKAY for address, _ in writes]
    assert found_reads == [answers[address] for address in reads]


def test_no_two_registers_or_fields_overlap():
    registers = register_map.register_map(load("ews-cms-64"), COUNTERS)
    offsets = [register.offset for register in registers]
    assert offsets == sorted(set(offsets))
    assert all(offset % 4 == 0 and offset < 4096 for offset in offsets)
    for register in registers:
        taken = 0
        for field in register.fields:
            assert field.access in register_map.ACCESSES
            assert field.reset >> field.width == 0
            assert not taken & field.mask
            assert field.mask < 1 << 32
            taken |= field.mask
    names = [field.name for register in registers for field in register.fields]
    assert len(names) == len(set(names))


def test_the_page_lists_every_field():
    registers = register_map.register_map(load("ews-4"), COUNTERS)
    rows = [line for line in register_text.markdown(registers).splitlines() if line.startswith("|")][2:]
    assert len(rows) == sum(len(register.fields) for register in registers)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 8 for row in rows)


PROGRAM = r"""
#include <stdio.h>
#include "registers.h"
int main(void)
{
    static volatile uint32_t registers[1024];
    struct codeword_run run = {7, 0x9100001000, 0x2000, 0x3000, 0x100004000, 0x5000, 0x6000,
                               0x1000, 10, 0x2000, 20, 0x3000, 30, 0x4000, 40};
    int refused = codeword_start(registers, &run);
    registers[0] = CODEWORD_ID_VALUE;
    registers[1] = CODEWORD_VERSION_VALUE + 1;
    registers[CODEWORD_STATUS / 4] = CODEWORD_STATUS_BUSY;
    int busy = codeword_start(registers, &run);
    registers[CODEWORD_STATUS / 4] = 0;
    int started = codeword_start(registers, &run);
    printf("%d %d %d %x", refused, busy, started, registers[CODEWORD_CONTROL / 4]);
    for (int n = 0x40 / 4; n < 0x90 / 4; n++)
        printf(" %x", registers[n]);
    registers[CODEWORD_COUNT_COMPUTE_LO / 4] = 5;
    registers[CODEWORD_COUNT_COMPUTE_HI / 4] = 7;
    codeword_clear(registers);
    printf(" %llx %x\n", (unsigned long long)codeword_counter(registers, CODEWORD_COUNT_COMPUTE_LO),
           registers[CODEWORD_CONTROL / 4]);
    return 0;
}
"""


def test_the_header_runs_the_accelerator(tmp_path):
    registers = register_map.register_map(load("ews-cms-16"), COUNTERS)
    (tmp_path / "registers.h").write_text(register_text.header(registers))
    (tmp_path / "main.c").write_text(PROGRAM)
    subprocess.run(
        ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "-o", "main"],
        cwd=tmp_path,
        check=True,
    )
    out = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    streams = "1000 a 2000 14 3000 1e 4000 28"
    windows = "1000 91 2000 0 3000 0 4000 1 5000 0 6000 0"
    assert out == f"0 0 1 5 {streams} {windows} 700000005 2\n"


def test_too_many_counters_are_refused():
    with pytest.raises(InputError, match="counters"):
        register_map.register_map(load("ews-4"), [f"c{n}" for n in range(1000)])
