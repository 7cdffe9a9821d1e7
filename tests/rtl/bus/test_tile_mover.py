"""The tile mover: every word of every tile, and `tile_there` by docs/timing.md section 7."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from amaranth.lib.data import View

from rtl.bus.tile_mover import TileMover
from sim.accelerator import load
from sim.errors import InputError
from tests.rtl.bus.axi_memory import ReadMemory, beat, content
from tests.rtl.simulate import run

MEMORY = 1 << 15
NOTHING = dict(address=0, beats=0, lines=0, line_stride=0, planes=0, plane_stride=0, to=0)


def transfer(rng, most=12):
    """A transfer within memory; its runs may touch, overlap or lie far apart."""
    beats, lines, planes = (int(rng.integers(1, n)) for n in (most, 5, 4))
    return dict(
        address=int(rng.integers(0, 1000)) * 8,
        beats=beats,
        lines=lines,
        planes=planes,
        line_stride=int(rng.integers(1, 100)) * 8,
        plane_stride=int(rng.integers(0, 600)) * 8,
        to=int(rng.integers(0, 1 << 16)),
    )


def visit(ifmap=NOTHING, residual=NOTHING, *, begins=0, wait=0, buffers=1):
    return (
        dict(begins=begins, wait=wait, buffers=buffers)
        | {f"ifmap_{name}": value for name, value in ifmap.items()}
        | {f"residual_{name}": value for name, value in residual.items()}
    )


def words(visit, half):
    if visit[f"{half}_beats"]:
        for plane in range(visit[f"{half}_planes"]):
            for line in range(visit[f"{half}_lines"]):
                for n in range(visit[f"{half}_beats"]):
                    yield (
                        visit[f"{half}_address"]
                        + plane * visit[f"{half}_plane_stride"]
                        + line * visit[f"{half}_line_stride"]
                        + 8 * n
                    )


def layers(rng, count, *, empty=0.2):
    """Visits of random layers, the first one of each with `begins`."""
    visits = []
    for _ in range(count):
        buffers = int(rng.integers(1, 3))
        for n in range(int(rng.integers(1, 6))):
            halves = [NOTHING if rng.random() < empty else transfer(rng) for _ in range(2)]
            if n == 0 and rng.random() < 0.3:
                halves = [NOTHING, NOTHING]
            visits.append(visit(*halves, begins=int(n == 0), wait=int(rng.random() < 0.3), buffers=buffers))
    return visits


class Run:
    """A machine around the mover: it ends visits some time after their tiles came, then begins the next
    layer."""

    def __init__(
        self,
        acc,
        memory,
        visits,
        rng,
        *,
        latency=4,
        stalls=None,
        offer=lambda: True,
        most=40,
        early=0,
        faulty=(),
        cycles=20000,
    ):
        self.dut = dut = TileMover(accelerator=acc)
        self.memory = ReadMemory(dut, memory, latency, stalls=stalls, faulty=faulty)
        self.begins, self.ends, self.credits, self.there = [], [], [], []
        self.offered, self.written, self.errors = [], [], []
        due = sorted(int(n) for n in rng.integers(0, 40 * len(visits), sum(v["wait"] for v in visits)))
        if early:
            due = [0] * len(due)
        credits_due = deque(cycle + n for n, cycle in enumerate(due))

        async def bench(ctx):
            queue, shown = deque(visits), False
            packet = View(dut.layout, dut.tile_packet)
            end_due, begin_due = None, int(rng.integers(0, 10))
            for cycle in range(cycles):
                self.memory.present(ctx)
                if not shown and queue and offer():
                    shown = True
                    self.offered.append(cycle)
                    for name, value in queue[0].items():
                        ctx.set(getattr(packet, name), value)
                ctx.set(dut.tile_valid, shown)
                begin, end = cycle == begin_due, cycle == end_due
                credit = bool(credits_due) and cycle >= credits_due[0]
                ctx.set(dut.begin, begin)
                ctx.set(dut.visit_end, end)
                ctx.set(dut.maps_there, credit)
                for happens, log in ((begin, self.begins), (end, self.ends), (credit, self.credits)):
                    if happens:
                        log.append(cycle)
                if credit:
                    credits_due.popleft()
                self.memory.observe(ctx)
                if ctx.get(dut.write_enable):
                    self.written.append(
                        tuple(ctx.get(signal) for signal in (dut.write_group, dut.write_word, dut.write_data))
                    )
                if ctx.get(dut.error):
                    self.errors.append(ctx.get(dut.error_address))
                if ctx.get(dut.tile_there):
                    self.there.append(cycle + 1)
                if shown and ctx.get(dut.tile_ready):
                    queue.popleft()
                    shown = False
                # What comes next, from the cycle after this one on.
                if end:
                    end_due = None
                running = len(self.ends)
                if end_due is None and len(self.there) > running:
                    end_due = max(cycle, self.there[running]) + 1 + int(rng.integers(0, most))
                if begin:
                    begin_due = None
                started = sum(v["begins"] for v in visits[:running])
                if (
                    begin_due is None
                    and running < len(visits)
                    and visits[running]["begins"]
                    and started == len(self.begins)
                ):
                    begin_due = cycle + 1 + int(rng.integers(0, 10))
                await ctx.tick()
                if len(self.ends) == len(visits):
                    assert ctx.get(dut.idle)
                    return

        run(dut, bench)


def expected_there(visits, done, acc, latency):
    """First cycle of every tile, from the pulses of the run."""
    there, credit, layer, previous = [], 0, -1, None
    for v, item in enumerate(visits):
        start = done.offered[v] + 1
        if there:
            start = max(start, there[-1] + (previous == 0))
        if item["begins"]:
            layer, first = layer + 1, v
            start = max(start, done.begins[layer] + 1)
        elif v - first >= item["buffers"]:
            start = max(start, done.ends[v - item["buffers"]] + 1)
        if item["wait"]:
            start, credit = max(start, done.credits[credit] + 1), credit + 1
        counts = [len(list(words(item, half))) for half in ("ifmap", "residual")]
        previous = sum(counts)
        if not previous and there:
            start = max(start, there[-1] + 1)
        there.append(start + sum(acc.dma_setup + latency + n for n in counts if n))
    return there


def expected_words(memory, visits):
    return [
        (group, (item[f"{half}_to"] + n) % (1 << 16), beat(memory, address, 8))
        for item in visits
        for group, half in enumerate(("ifmap", "residual"))
        for n, address in enumerate(words(item, half))
    ]


@pytest.mark.parametrize(
    ("seed", "setup", "latency", "most"), [(0, 8, 4, 40), (1, 2, 1, 3), (2, 3, 8, 80), (3, 8, 4, 1)]
)
def test_every_tile_is_there_in_its_cycle(seed, setup, latency, most):
    rng = np.random.default_rng(seed)
    acc = load("ews-4", {"dma_setup": setup, "l2_latency": latency})
    memory = content(rng, MEMORY)
    visits = layers(rng, 8)
    done = Run(acc, memory, visits, rng, latency=latency, most=most, early=seed % 2)
    assert done.there == expected_there(visits, done, acc, latency)
    assert done.written == expected_words(memory, visits)
    assert not done.errors


def test_runs_of_one_word_and_long_ones():
    """One word a cycle whatever the runs; the first burst leaves dma_setup cycles after the start."""
    rng = np.random.default_rng(0)
    acc = load("ews-4")
    memory = content(rng, MEMORY)
    single = dict(address=8, beats=1, lines=20, line_stride=40, planes=3, plane_stride=1024, to=5)
    long = dict(address=4096 - 16, beats=100, lines=2, line_stride=808, planes=1, plane_stride=0, to=65500)
    visits = [visit(single, long, begins=1, buffers=2), visit(long, single, buffers=2)]
    done = Run(acc, memory, visits, rng)
    assert done.there == expected_there(visits, done, acc, 4)
    assert done.written == expected_words(memory, visits)
    received = [cycle for cycle, _ in done.memory.received]
    assert done.memory.bursts[0][0] == done.begins[0] + 1 + 8
    assert received[:60] == list(range(received[0], received[0] + 60))
    assert received[60:260] == list(range(received[59] + 1 + 12, received[59] + 1 + 12 + 200))


def test_nothing_to_bring_is_there_with_begin():
    rng = np.random.default_rng(0)
    visits = [visit(begins=1), visit(begins=1, buffers=2), visit(buffers=2)]
    done = Run(load("ews-4"), bytearray(64), visits, rng)
    assert done.there[:2] == [cycle + 1 for cycle in done.begins]
    assert done.there[2] == done.there[1] + 1
    assert not done.written


@pytest.mark.parametrize("seed", range(3))
def test_random_stalls(seed):
    """A slow memory and packets that come late delay, and lose nothing."""
    rng = np.random.default_rng(seed)
    acc = load("ews-4")
    memory = content(rng, MEMORY)
    visits = layers(rng, 5)
    done = Run(
        acc,
        memory,
        visits,
        rng,
        latency=int(rng.integers(1, 20)),
        stalls=rng,
        offer=lambda: rng.random() < 0.75,
    )
    assert done.written == expected_words(memory, visits)
    ideal = expected_there(visits, done, acc, done.memory.latency)
    assert all(there >= best for there, best in zip(done.there, ideal, strict=True))


def test_an_error_names_its_burst():
    rng = np.random.default_rng(0)
    item = dict(address=0x100, beats=20, lines=2, line_stride=0x400, planes=1, plane_stride=0, to=0)
    done = Run(load("ews-4"), content(rng, MEMORY), [visit(item, begins=1)], rng, faulty=[0x508, 0x590])
    assert done.errors == [0x500, 0x580]


def test_clear_in_the_middle_of_a_tile():
    """What is under way is swallowed, then the next packet is served as after a reset."""
    rng = np.random.default_rng(0)
    acc = load("ews-4")
    memory = content(rng, MEMORY)
    dut = TileMover(accelerator=acc)
    slave = ReadMemory(dut, memory, 10)
    first = visit(dict(transfer(rng), beats=60, lines=1, planes=1), transfer(rng), begins=1)
    second = visit(transfer(rng), begins=1, wait=1)
    found, there = [], []

    async def bench(ctx):
        packet = View(dut.layout, dut.tile_packet)
        for cycle in range(200):
            slave.present(ctx)
            ctx.set(dut.begin, cycle in (0, 90))
            ctx.set(dut.maps_there, cycle in (3, 100))
            ctx.set(dut.tile_valid, cycle < 5 or 85 <= cycle <= 100)
            for name, value in (first if cycle < 40 else second).items():
                ctx.set(getattr(packet, name), value)
            ctx.set(dut.clear, cycle == 25)
            slave.observe(ctx)
            if ctx.get(dut.write_enable) and cycle > 25:
                found.append(
                    tuple(ctx.get(signal) for signal in (dut.write_group, dut.write_word, dut.write_data))
                )
            if ctx.get(dut.tile_there):
                there.append(cycle + 1)
            if cycle == 30:
                assert not ctx.get(dut.idle)
            await ctx.tick()

    run(dut, bench)
    assert found == expected_words(memory, [second])
    assert there == [101 + acc.dma_setup + 10 + len(found)]


def test_what_the_mover_cannot_do_is_refused():
    for field, value in (("dma_setup", 1), ("l2_latency", 0), ("dma_burst_gap", 1), ("dma_bits", 128)):
        with pytest.raises(InputError, match=field):
            TileMover(accelerator=load("ews-4", {field: value}))
