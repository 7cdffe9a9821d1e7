"""The command port: packets, order, pace, and when a run may start."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from rtl import packets
from rtl.bus.command_port import CommandPort, systolic_streams
from rtl.bus.packet_assembler import PacketAssembler
from rtl.geometry import Geometry
from sim.accelerator import load
from tests.rtl.bus.axi_memory import ReadMemory, beat, content
from tests.rtl.simulate import run

ACC = load("ews-4")
SIZES = {"jobs": 2, "tiles": 6, "chunks": 5, "units": 1}  # words of what leaves
STREAMS = tuple(SIZES)


@pytest.mark.parametrize("words", [1, 2, 5])
def test_assembler(words):
    """One packet every `words` cycles; stalls lose nothing."""
    dut = PacketAssembler(words=words)
    rng = np.random.default_rng(words)
    inputs = [int(word) for word in rng.integers(0, 1 << 63, 60)]
    found = []

    async def bench(ctx):
        queue = deque(inputs)
        offered = False
        for cycle in range(400):
            steady = cycle < 30
            offered = bool(queue) and (steady or offered or rng.random() < 0.75)
            ctx.set(dut.in_valid, offered)
            if offered:
                ctx.set(dut.in_data, queue[0])
            ctx.set(dut.out_ready, steady or rng.random() < 0.5)
            if ctx.get(dut.out_valid) and ctx.get(dut.out_ready):
                found.append((cycle, ctx.get(dut.out_data)))
            if offered and ctx.get(dut.in_ready):
                queue.popleft()
                offered = False
            await ctx.tick()

    run(dut, bench)
    expected = [
        sum(word << 64 * n for n, word in enumerate(inputs[start : start + words]))
        for start in range(0, len(inputs), words)
    ]
    assert [packet for _, packet in found] == expected
    early = [cycle for cycle, _ in found if cycle < 30]
    assert early == list(range(words, 30, words))


class Run:
    """Starts the port, takes what leaves, and notes the cycles."""

    def __init__(
        self,
        memory_content,
        bases,
        counts,
        *,
        latency=8,
        stalls=None,
        take=lambda name, cycle: True,
        cycles=3000,
        clear=None,
        faulty=(),
        again=None,
    ):
        self.dut = dut = CommandPort(streams=systolic_streams(ACC))
        self.memory = ReadMemory(dut, memory_content, latency, stalls=stalls, faulty=faulty)
        self.found = {name: [] for name in STREAMS}
        self.primed, self.errors = [], []
        wanted = sum(counts[name] // SIZES[name] for name in STREAMS)

        async def bench(ctx):
            for name in STREAMS:
                ctx.set(getattr(dut, f"{name}_base"), bases[name])
                ctx.set(getattr(dut, f"{name}_count"), counts[name])
            for cycle in range(cycles):
                self.memory.present(ctx)
                ctx.set(dut.start, cycle in (0, again))
                ctx.set(dut.clear, cycle == clear)
                for name in STREAMS:
                    ctx.set(getattr(dut, f"{name}_ready"), bool(take(name, cycle)))
                self.memory.observe(ctx)
                assert ctx.get(dut.rready)
                if ctx.get(dut.primed):
                    self.primed.append(cycle)
                if ctx.get(dut.error):
                    self.errors.append(ctx.get(dut.error_address))
                for name in STREAMS:
                    if ctx.get(getattr(dut, f"{name}_valid")) and ctx.get(getattr(dut, f"{name}_ready")):
                        data = getattr(dut, "units_word" if name == "units" else f"{name}_packet")
                        self.found[name].append((cycle, ctx.get(data)))
                await ctx.tick()
                if again is None and sum(len(found) for found in self.found.values()) == wanted:
                    return

        run(dut, bench)

    def values(self, name):
        return [value for _, value in self.found[name]]


def streams(rng, counts):
    """Streams that lie apart, at any word of memory, one across a page."""
    bases, at = {}, 4096 - 40
    for name in STREAMS:
        bases[name] = at
        at += counts[name] * 8 + 8 * int(rng.integers(1, 20))
    return content(rng, at + 256), bases


def expected(memory, bases, counts, name):
    layout = None if name == "units" else packets.LAYOUTS[name](Geometry(ACC))
    mask = (1 << (64 if layout is None else layout.size)) - 1
    size = 8 * SIZES[name]
    return [beat(memory, bases[name] + n * size, size) & mask for n in range(counts[name] // SIZES[name])]


def test_packets_have_these_sizes():
    assert {name: packets.words(packets.LAYOUTS[name](Geometry(ACC))) for name in STREAMS[:3]} == {
        name: SIZES[name] for name in STREAMS[:3]
    }


@pytest.mark.parametrize("seed", range(3))
def test_random_stalls(seed):
    rng = np.random.default_rng(seed)
    counts = {name: size * int(rng.integers(0, 300 // size)) for name, size in SIZES.items()}
    memory, bases = streams(rng, counts)
    done = Run(
        memory,
        bases,
        counts,
        latency=int(rng.integers(1, 30)),
        stalls=rng,
        take=lambda name, cycle: rng.random() < 0.75,
    )
    for name in STREAMS:
        assert done.values(name) == expected(memory, bases, counts, name)


@pytest.mark.parametrize("name", STREAMS)
def test_one_word_a_cycle(name):
    """A stream alone: a packet of n words every n cycles, as long as it lasts."""
    counts = dict.fromkeys(STREAMS, 0) | {name: 360}
    rng = np.random.default_rng(0)
    memory, bases = streams(rng, counts)
    done = Run(memory, bases, counts, cycles=600)
    assert done.values(name) == expected(memory, bases, counts, name)
    at = [cycle for cycle, _ in done.found[name]]
    assert np.diff(at).tolist() == [SIZES[name]] * (len(at) - 1)


def test_four_streams_share_the_port():
    """A word a cycle between them, in turns of 8; none starves."""
    counts = dict.fromkeys(STREAMS, 240)
    rng = np.random.default_rng(0)
    memory, bases = streams(rng, counts)
    done = Run(memory, bases, counts)
    at = [cycle for cycle, _ in done.memory.received]
    assert at == list(range(at[0], at[0] + 960))
    order = [
        name
        for _, address, _ in done.memory.bursts
        for name in STREAMS
        if address in range(bases[name], bases[name] + 8 * counts[name], 64)
    ]
    assert len(order) == 120
    assert all(set(order[n : n + 4]) == set(STREAMS) for n in range(0, 120, 4))


def test_primed():
    """Buffers full or streams at their end, assemblers full; then all rests until a unit takes something."""
    counts = {"jobs": 2 * 200, "tiles": 6 * 3, "chunks": 5 * 4, "units": 300}
    rng = np.random.default_rng(0)
    memory, bases = streams(rng, counts)
    done = Run(memory, bases, counts, take=lambda name, cycle: cycle >= 1000)
    first = done.primed[0]
    assert done.primed[: 1000 - first] == list(range(first, 1000))
    last = max(cycle for cycle, _ in done.memory.received if cycle < 1000)
    assert last < first <= last + 12
    fetched = [address for cycle, address in done.memory.received if cycle < first]
    held = {
        name: sum(bases[name] <= address < bases[name] + 8 * counts[name] for address in fetched)
        for name in STREAMS
    }
    # A packet waits and all but one word of the next is collected; the buffers have no room for 8 more.
    taken = {"jobs": 3, "tiles": 11, "chunks": 9, "units": 0}
    for name in STREAMS:
        assert held[name] == counts[name] or 248 < held[name] - taken[name] <= 256
    for name in STREAMS:
        assert done.values(name) == expected(memory, bases, counts, name)
        at = [cycle for cycle, _ in done.found[name]]
        steady = range(1001, 1001 + SIZES[name] * (len(at) - 1), SIZES[name])
        assert at == [1000, *steady]


def test_nothing_to_fetch_is_primed_at_once():
    done = Run(bytearray(64), dict.fromkeys(STREAMS, 0), dict.fromkeys(STREAMS, 0), again=0, cycles=20)
    assert done.primed == list(range(2, 20))
    assert not done.memory.bursts


def test_error_clear_and_another_start():
    counts = {"jobs": 40, "tiles": 12, "chunks": 10, "units": 30}
    rng = np.random.default_rng(0)
    memory, bases = streams(rng, counts)
    faulty = [bases["units"] + 16]
    done = Run(
        memory,
        bases,
        counts,
        latency=20,
        faulty=faulty,
        clear=30,
        again=80,
        cycles=500,
        take=lambda name, cycle: cycle >= 80,
    )
    assert len(done.errors) == 1
    assert done.errors[0] <= faulty[0] < done.errors[0] + 128
    assert all(cycle > 80 for cycle in done.primed)
    for name in STREAMS:
        assert done.values(name) == expected(memory, bases, counts, name)
