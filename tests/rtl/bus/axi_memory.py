"""AXI4 memory for Amaranth's simulator, which watches the rules of the protocol.

`present` sets what the slave drives in this cycle, `observe` looks at what the master drives in it; between
them the test drives and reads everything else. Written from the AXI4 specification, not from rtl.bus.
"""

from __future__ import annotations

from collections import deque

import numpy as np


class Never:
    """Random numbers for a side that never stalls."""

    def random(self):
        return 1.0


class Channel:
    """A handshake: valid must wait for nothing, and stays with its payload until ready."""

    def __init__(self, valid, ready, *payload):
        self.valid, self.ready, self.payload = valid, ready, payload
        self.held = None

    def moved(self, ctx):
        """The payload, if it moves in this cycle."""
        valid = ctx.get(self.valid)
        values = tuple(ctx.get(signal) for signal in self.payload) if valid else None
        if self.held is not None:
            assert values == self.held, "valid or payload withdrawn"
        moves = valid and ctx.get(self.ready)
        self.held = None if moves else values
        return values if moves else None


def check_burst(address, length, size, burst, beat_bytes):
    assert 1 << size == beat_bytes
    assert burst == 1
    assert length < 16
    assert address % beat_bytes == 0
    assert address // 4096 == (address + (length + 1) * beat_bytes - 1) // 4096


class Memory:
    """What both halves share: stalls, bursts, and answers in order, each when it is due."""

    def __init__(self, dut, letters, content, latency, *, stalls=None, stall=0.25, faulty=()):
        self.dut, self.content, self.latency, self.faulty = dut, content, latency, set(faulty)
        self.stalls, self.stall = stalls or Never(), stall
        self.addresses = Channel(
            *(
                getattr(dut, letters + name)
                for name in ("valid", "ready", "addr", "len", "size", "burst", "id")
            )
        )
        self.answers = deque()  # (cycle, address, ...)
        self.presented = None
        self.cycle = 0
        self.bursts = []  # (cycle, address, beats)

    def present_ready(self, ctx, *readies):
        for ready in readies:
            ctx.set(ready, self.stalls.random() >= self.stall)

    def present_answer(self, ctx, valid, response):
        """The oldest answer, if it is there; None otherwise."""
        due = self.presented is None and self.answers and self.answers[0][0] <= self.cycle
        if due and self.stalls.random() >= self.stall:
            self.presented = self.answers[0]
        ctx.set(valid, self.presented is not None)
        if self.presented is not None:
            ctx.set(response, 2 if self.presented[1] in self.faulty else 0)
        return self.presented

    def observe_burst(self, ctx):
        """(burst address, beat address, last) of every beat of a burst that is taken in this cycle."""
        moved = self.addresses.moved(ctx)
        if not moved:
            return []
        address, length, size, burst, _ = moved
        check_burst(address, length, size, burst, self.bytes)
        self.bursts.append((self.cycle, address, length + 1))
        return [(address, address + n * self.bytes, n == length) for n in range(length + 1)]

    def observe_answer(self, ctx, ready):
        """The answer that is taken in this cycle, or None; the cycle ends."""
        taken = self.presented if ctx.get(ready) else None
        if taken is not None:
            self.answers.popleft()
            self.presented = None
        self.cycle += 1
        return taken


class ReadMemory(Memory):
    """Answers reads from `content` [bytes] `latency` cycles after AR; `faulty`: addresses with SLVERR."""

    def __init__(self, dut, content, latency, **options):
        super().__init__(dut, "ar", content, latency, **options)
        self.bytes = len(dut.rdata) // 8
        self.received = []  # (cycle, address)

    def present(self, ctx):
        dut = self.dut
        self.present_ready(ctx, dut.arready)
        answer = self.present_answer(ctx, dut.rvalid, dut.rresp)
        if answer:
            _, address, last = answer
            ctx.set(dut.rdata, int.from_bytes(self.content[address : address + self.bytes], "little"))
            ctx.set(dut.rlast, last)

    def observe(self, ctx):
        self.answers += [
            (self.cycle + self.latency, address, last) for _, address, last in self.observe_burst(ctx)
        ]
        cycle, taken = self.cycle, self.observe_answer(ctx, self.dut.rready)
        if taken:
            self.received.append((cycle, taken[1]))


class WriteMemory(Memory):
    """Takes writes into `content`, responds `latency` cycles after the last beat."""

    def __init__(self, dut, content, latency, **options):
        super().__init__(dut, "aw", content, latency, **options)
        self.bytes = len(dut.wdata) // 8
        self.data = Channel(dut.wvalid, dut.wready, dut.wdata, dut.wstrb, dut.wlast)
        self.open = deque()  # bursts without all of their data
        self.beats = deque()
        self.written = []  # (cycle, address, strobe)

    def present(self, ctx):
        self.present_ready(ctx, self.dut.awready, self.dut.wready)
        self.present_answer(ctx, self.dut.bvalid, self.dut.bresp)

    def observe(self, ctx):
        self.open += self.observe_burst(ctx)
        moved = self.data.moved(ctx)
        if moved:
            self.beats.append((self.cycle, *moved))
        while self.beats and self.open:
            (cycle, data, strobe, last), (burst, address, is_last) = self.beats.popleft(), self.open.popleft()
            assert last == is_last
            self.written.append((cycle, address, strobe))
            for n in range(self.bytes):
                if strobe >> n & 1:
                    self.content[address + n] = data >> 8 * n & 0xFF
            if last:
                self.answers.append((self.cycle + self.latency, burst))
        self.observe_answer(ctx, self.dut.bready)


def content(rng: np.random.Generator, size: int) -> bytearray:
    return bytearray(rng.integers(0, 256, size, np.uint8).tobytes())


def beat(memory: bytearray, address: int, size: int) -> int:
    """The `size` bytes at `address` as one number."""
    return int.from_bytes(memory[address : address + size], "little")


def fewest_bursts(address: int, beats: int, size: int) -> int:
    """Bursts that 16 beats and pages of 4 KiB ask for."""
    count = 0
    while beats:
        part = min(beats, 16, (4096 - address % 4096) // size)
        count, address, beats = count + 1, address + part * size, beats - part
    return count
