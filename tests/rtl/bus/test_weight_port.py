"""The weight port: every beat, and the cycles of announced jobs."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from amaranth.lib.data import View

from rtl import packets
from rtl.bus.weight_port import WeightPort
from sim.accelerator import load
from sim.errors import InputError
from tests.rtl.bus.axi_memory import ReadMemory, beat, content
from tests.rtl.simulate import run

LATENCY = 8
ALWAYS = lambda: True  # noqa: E731


def jobs(rng, count, size, *, waits=0.0, most=60):
    found = []
    for _ in range(count):
        beats = int(rng.choice([1, 2, int(rng.integers(1, most))]))
        address = int(rng.integers(0, (1 << 14) // size - beats)) * size
        found.append(
            dict(
                beats=beats,
                address=address,
                wait=int(rng.random() < waits),
                a=int(rng.integers(4)),
                row_bits=int(rng.integers(30)),
            )
        )
    return found


class Run:
    """Offers jobs, takes jobs and beats, and notes the cycle of everything."""

    def __init__(
        self,
        acc,
        content,
        queue,
        *,
        pulses=(),
        latency=LATENCY,
        stalls=None,
        offer=ALWAYS,
        take_job=ALWAYS,
        take_beat=ALWAYS,
        act=lambda ctx, cycle, dut: None,
        faulty=(),
        cycles=6000,
    ):
        self.dut = dut = WeightPort(accelerator=acc)
        self.memory = ReadMemory(dut, content, latency, stalls=stalls, faulty=faulty)
        self.jobs, self.beats, self.offered, self.errors = [], [], [], []
        self.jobs_shown = {}
        wanted = sum(job["beats"] for job in queue)
        count, queue = len(queue), deque(queue)

        async def bench(ctx):
            shown = False
            job_in, job_out = View(dut.layout, dut.in_job), View(dut.layout, dut.out_job)
            for cycle in range(cycles):
                self.memory.present(ctx)
                shown = shown or (bool(queue) and offer())
                ctx.set(dut.in_valid, shown)
                if shown:
                    for name, value in queue[0].items():
                        ctx.set(getattr(job_in, name), value)
                ctx.set(dut.weights_there, cycle in pulses)
                ctx.set(dut.out_ready, take_job())
                ctx.set(dut.weight_ready, take_beat())
                act(ctx, cycle, dut)
                self.memory.observe(ctx)
                assert ctx.get(dut.rready)
                if ctx.get(dut.out_valid):
                    self.jobs_shown.setdefault(len(self.jobs), cycle)
                    self.last_shown = cycle
                    if ctx.get(dut.out_ready):
                        self.jobs.append(
                            (
                                cycle,
                                {
                                    name: ctx.get(getattr(job_out, name))
                                    for name in ("beats", "address", "wait", "a", "row_bits")
                                },
                            )
                        )
                if ctx.get(dut.weight_valid) and ctx.get(dut.weight_ready):
                    self.beats.append((cycle, ctx.get(dut.weight_data)))
                if ctx.get(dut.error):
                    self.errors.append(ctx.get(dut.error_address))
                if shown and ctx.get(dut.in_ready):
                    queue.popleft()
                    self.offered.append(cycle)
                    shown = False
                await ctx.tick()
                if len(self.jobs) == count and len(self.beats) == wanted:
                    assert ctx.get(dut.idle)
                    return

        run(dut, bench)


def expected(content, queue, size):
    return [beat(content, job["address"] + n * size, size) for job in queue for n in range(job["beats"])]


@pytest.mark.parametrize(("bits", "latency"), [(64, LATENCY), (512, 4), (64, 14)])
def test_one_beat_a_cycle(bits, latency):
    """From the first beat on without a gap, jobs of one beat included; never more than 32 beats ahead."""
    rng = np.random.default_rng(bits)
    memory = content(rng, 1 << 14)
    queue = [dict(job, beats=1) for job in jobs(rng, 25, bits // 8)] + jobs(rng, 25, bits // 8)
    done = Run(load("ews-4", {"weight_port_bits": bits}), memory, queue, latency=latency)
    assert [job for _, job in done.jobs] == queue
    assert [data for _, data in done.beats] == expected(memory, queue, bits // 8)
    first = 1 + latency + 2  # AR in the cycle after the job came; a beat is there two after it came
    assert [cycle for cycle, _ in done.beats] == list(range(first, first + len(done.beats)))


def test_a_full_buffer():
    """A loader that takes nothing: 32 beats are fetched and 8 jobs are queued, then all goes on."""
    rng = np.random.default_rng(0)
    memory = content(rng, 1 << 14)
    queue = [dict(beats=n, address=0x100 * n, wait=0, a=1, row_bits=2) for n in (5, 20, 40, *range(1, 12))]
    cycle = iter(range(10**6))
    clock = {"now": -1}

    def tick():
        clock["now"] = next(cycle)
        return clock["now"] >= 100

    done = Run(load("ews-4"), memory, queue, take_job=tick, take_beat=lambda: clock["now"] >= 100)
    assert sum(beats for at, _, beats in done.memory.bursts if at < 100) <= 32
    assert sum(at < 100 for at, _ in done.memory.received) == 25  # 5, 16, 4; 16 more have no room
    assert sum(at < 100 for at in done.offered) == 8
    assert [job for _, job in done.jobs] == queue
    assert [data for _, data in done.beats] == expected(memory, queue, 8)
    assert [at for at, _ in done.beats] == list(range(100, 100 + len(done.beats)))


def test_announced_jobs():
    """Pulse in u: AR from u+1, the packet from u+16, its beats without a gap from there on."""
    rng = np.random.default_rng(0)
    memory = content(rng, 1 << 14)
    queue = [
        dict(beats=3, address=0, wait=0, a=1, row_bits=1),
        *(dict(beats=40, address=0x400 * n, wait=1, a=2, row_bits=n) for n in range(1, 4)),
        dict(beats=2, address=8, wait=0, a=1, row_bits=9),
    ]
    pulses = [50, 200, 201]
    clock = {"now": -1}

    def step():
        clock["now"] += 1
        return True

    done = Run(
        load("ews-4"),
        memory,
        queue,
        pulses=pulses,
        take_job=step,
        take_beat=lambda: clock["now"] >= 66 or clock["now"] < 40,
    )
    assert done.jobs_shown[0] == 1
    assert [done.jobs_shown[n] for n in (1, 2, 3, 4)] == [66, 216, 217, 218]
    first = [next(at for at, address, _ in done.memory.bursts if address == 0x400 * n) for n in (1, 2, 3)]
    assert first[:2] == [51, 201]
    assert [data for _, data in done.beats] == expected(memory, queue, 8)
    beats = [at for at, _ in done.beats][3:]
    assert beats[0] <= 66


def test_beats_of_an_announced_job_wait_for_it():
    """A loader that asks from u+16 on gets a beat each cycle."""
    memory = content(np.random.default_rng(0), 1 << 14)
    queue = [dict(beats=100, address=0x800, wait=1, a=2, row_bits=1)]
    clock = {"now": -1}

    def step():
        clock["now"] += 1
        return True

    done = Run(
        load("ews-4"),
        memory,
        queue,
        pulses=[20],
        take_job=step,
        take_beat=lambda: clock["now"] >= 20 + packets.ANNOUNCE,
    )
    assert done.jobs[0][0] == 36
    assert [at for at, _ in done.beats] == list(range(36, 136))


def test_credits_come_before_their_jobs():
    """Announced long before: nothing waits. One credit serves one job."""
    memory = content(np.random.default_rng(0), 1 << 14)
    queue = [dict(beats=1, address=8 * n, wait=1, a=1, row_bits=n) for n in range(4)]
    clock = {"now": -1}

    def late():
        clock["now"] += 1
        return clock["now"] >= 40

    done = Run(load("ews-4"), memory, queue, pulses=[2, 3, 5, 300], offer=late)
    assert [at for at, _ in done.jobs] == [41, 42, 43, 316]
    assert [at for at, *_ in done.memory.bursts] == [41, 42, 43, 301]


@pytest.mark.parametrize("seed", range(3))
def test_random_stalls(seed):
    rng = np.random.default_rng(seed)
    memory = content(rng, 1 << 14)
    queue = jobs(rng, 25, 8, waits=0.4)
    pulses = np.sort(rng.choice(600, sum(job["wait"] for job in queue), replace=False)).tolist()
    done = Run(
        load("ews-4"),
        memory,
        queue,
        pulses=pulses,
        latency=int(rng.integers(1, 12)),
        stalls=rng,
        offer=lambda: rng.random() < 0.75,
        take_job=lambda: rng.random() < 0.75,
        take_beat=lambda: rng.random() < 0.75,
    )
    assert [job for _, job in done.jobs] == queue
    assert [data for _, data in done.beats] == expected(memory, queue, 8)
    shown = [at for at, job in done.jobs if job["wait"]]
    assert all(at >= pulse + 16 for at, pulse in zip(shown, pulses, strict=True))


def test_error_and_clear():
    """The failed burst is named; after `clear` the queues are empty and credits forgotten."""
    memory = content(np.random.default_rng(0), 1 << 14)
    queue = [dict(beats=30, address=0x100, wait=0, a=1, row_bits=1)]

    def act(ctx, cycle, dut):
        ctx.set(dut.clear, cycle == 20)

    done = Run(
        load("ews-4"),
        memory,
        queue,
        act=act,
        faulty=[0x108],
        pulses=[3],
        take_job=lambda: False,
        take_beat=lambda: False,
        cycles=60,
    )
    assert done.errors == [0x100]
    assert done.jobs_shown == {0: 1}
    assert done.last_shown == 20
    assert not done.beats


def test_jobs_longer_than_a_request_are_refused():
    with pytest.raises(InputError, match="wrf_depth"):
        WeightPort(accelerator=load("ews-64", {"wrf_depth": 512}))
