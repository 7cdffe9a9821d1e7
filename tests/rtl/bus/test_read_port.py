"""Queues and the read port of rtl.bus."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from rtl.bus.fifo import Fifo
from rtl.bus.read_port import ReadPort
from rtl.bus.sram_fifo import SramFifo
from sim.errors import InputError
from tests.rtl.bus.axi_memory import ReadMemory, beat, content, fewest_bursts
from tests.rtl.simulate import run


@pytest.mark.parametrize(("kind", "latency"), [(Fifo, 1), (SramFifo, 2)])
def test_queue(kind, latency):
    """Random entries and exits against a list of (cycle of entry, word)."""
    dut = kind(width=9, depth=8)
    rng = np.random.default_rng(1)
    inside: deque = deque()
    moved = 0

    async def bench(ctx):
        nonlocal moved
        for cycle in range(1500):
            # Phases: mostly filling, mostly emptying, full speed.
            entry, leave = ((0.8, 0.3), (0.3, 0.8), (1, 1))[cycle // 100 % 3]
            word = int(rng.integers(512))
            enters, leaves = rng.random() < entry, rng.random() < leave
            clear = cycle % 400 == 399
            assert ctx.get(dut.level) == len(inside)
            if kind is Fifo:
                ctx.set(dut.in_valid, enters)
                ctx.set(dut.in_data, word)
                assert ctx.get(dut.in_ready) == (len(inside) < 8)
            else:
                ctx.set(dut.write, enters and len(inside) < 8)
                ctx.set(dut.write_data, word)
            ctx.set(dut.out_ready, leaves)
            ctx.set(dut.clear, clear)
            there = bool(inside) and inside[0][0] + latency <= cycle
            assert ctx.get(dut.out_valid) == there
            enters = enters and len(inside) < 8
            if there:
                assert ctx.get(dut.out_data) == inside[0][1]
                if leaves:
                    inside.popleft()
                    moved += 1
            if enters:
                inside.append((cycle, word))
            if clear:
                inside.clear()
            await ctx.tick()

    run(dut, bench)
    assert moved > 500


def read(dut, memory, requests, *, offer=lambda: True, take=lambda: True, cycles=4000):
    """Runs the requests; returns (cycle, data) of what is handed on and the errors."""
    queue, found, errors, accepted = deque(requests), [], [], []
    wanted = sum(beats for _, beats in requests)

    async def bench(ctx):
        offered = False
        ctx.set(dut.room, 16)
        for cycle in range(cycles):
            memory.present(ctx)
            offered = offered or (bool(queue) and offer())
            ctx.set(dut.request_valid, offered)
            if offered:
                ctx.set(dut.address, queue[0][0])
                ctx.set(dut.beats, queue[0][1])
            ctx.set(dut.data_ready, take())
            memory.observe(ctx)
            if ctx.get(dut.data_valid) and ctx.get(dut.data_ready):
                found.append((cycle, ctx.get(dut.data)))
            if ctx.get(dut.error):
                errors.append(ctx.get(dut.error_address))
            if offered and ctx.get(dut.request_ready):
                queue.popleft()
                offered = False
                accepted.append(cycle)
            if len(found) == wanted:
                await ctx.tick()
                assert ctx.get(dut.idle)
                return
            await ctx.tick()

    run(dut, bench)
    return found, errors, accepted


def expected(memory, requests, size):
    return [beat(memory, address + n * size, size) for address, beats in requests for n in range(beats)]


@pytest.mark.parametrize(("bits", "latency"), [(64, 8), (128, 1), (512, 4)])
def test_full_speed(bits, latency):
    """One beat a cycle from `latency` after the first request on, runs of one beat included."""
    rng = np.random.default_rng(bits)
    size = bits // 8
    memory = content(rng, 1 << 16)
    lengths = [1] * 24 + [int(n) for n in rng.integers(1, 40, 12)] + [2] * 10 + [200]
    requests = [(int(rng.integers(0, (1 << 16) // size - n)) * size, n) for n in lengths]
    requests += [(4096 - size, 2), (4096 - 3 * size, 17), (0, 16), (8192 - 16 * size, 32)]
    dut = ReadPort(data_bits=bits)
    slave = ReadMemory(dut, memory, latency)
    found, errors, _ = read(dut, slave, requests)
    assert [data for _, data in found] == expected(memory, requests, size)
    assert [cycle for cycle, _ in found] == list(range(latency, latency + len(found)))
    assert not errors
    assert len(slave.bursts) == sum(fewest_bursts(*request, size) for request in requests)


@pytest.mark.parametrize("seed", range(3))
def test_random_stalls(seed):
    rng = np.random.default_rng(seed)
    memory = content(rng, 1 << 14)
    requests = []
    for _ in range(40):
        beats = int(rng.choice([1, 2, 16, 17, int(rng.integers(1, 50))]))
        requests.append((int(rng.integers(0, (1 << 11) - beats)) * 8, beats))
    dut = ReadPort(data_bits=64)
    slave = ReadMemory(dut, memory, int(rng.integers(1, 12)), stalls=rng)
    found, errors, _ = read(
        dut, slave, requests, offer=lambda: rng.random() < 0.75, take=lambda: rng.random() < 0.75
    )
    assert [data for _, data in found] == expected(memory, requests, 8)
    assert not errors


def test_many_bursts_outstanding():
    """A far memory: requests go on until 32 bursts are on their way."""
    dut = ReadPort(data_bits=64)
    slave = ReadMemory(dut, bytearray(1 << 12), 100)
    _, _, accepted = read(dut, slave, [(8 * n, 1) for n in range(40)])
    assert accepted[:32] == list(range(32))
    assert accepted[32] > 100


def test_an_error_names_its_burst():
    dut = ReadPort(data_bits=64)
    memory = content(np.random.default_rng(0), 1 << 12)
    slave = ReadMemory(dut, memory, 5, faulty=[0x108, 0x110, 0x208])
    requests = [(0x80, 4), (0x100, 20), (0x200, 1), (0x208, 1)]
    found, errors, _ = read(dut, slave, requests)
    assert errors == [0x100, 0x100, 0x208]
    assert [data for _, data in found] == expected(memory, requests, 8)


@pytest.mark.parametrize("ready_before", [True, False])
def test_stop_and_clear(ready_before):
    """After `stop` no new burst; after `clear` what is under way is swallowed, then reading goes on."""
    dut = ReadPort(data_bits=64)
    memory = content(np.random.default_rng(0), 1 << 12)
    slave = ReadMemory(dut, memory, 20, stalls=None)

    async def bench(ctx):
        ctx.set(dut.room, 16)
        ctx.set(dut.data_ready, 0)
        found = []
        for cycle in range(120):
            slave.present(ctx)
            if cycle < 12 and not ready_before:
                ctx.set(dut.arready, 0)  # the burst that is shown stays although its request goes
            ctx.set(dut.request_valid, cycle < 8 or cycle >= 20)
            ctx.set(dut.address, 0x200 if cycle < 8 else 0x400)
            ctx.set(dut.beats, 100 if cycle < 8 else 3)
            ctx.set(dut.stop, 4 <= cycle < 8)
            ctx.set(dut.clear, cycle == 8)
            ctx.set(dut.data_ready, cycle >= 20)
            slave.observe(ctx)
            if ctx.get(dut.data_valid):
                found.append(ctx.get(dut.data))
                assert cycle > 20
            if 8 < cycle < 28:
                assert not ctx.get(dut.idle)
            if len(found) == 3:
                break
            await ctx.tick()
        early = [burst for burst in slave.bursts if burst[0] < 20]
        assert len(early) == (4 if ready_before else 1)
        assert all(address < 0x400 for _, address, _ in early)
        assert found == expected(memory, [(0x400, 3)], 8)

    run(dut, bench)


def test_widths_that_axi_lacks_are_refused():
    for bits in (0, 4, 48, 96, 2048):
        with pytest.raises(InputError, match="data_bits"):
            ReadPort(data_bits=bits)
