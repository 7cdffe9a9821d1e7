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


class ReadMemory:
    """Answers reads from `content` [bytes] `latency` cycles after AR; `faulty`: addresses with SLVERR."""

    def __init__(self, dut, content, latency, *, stalls=None, stall=0.25, faulty=()):
        self.dut, self.content, self.latency, self.faulty = dut, content, latency, set(faulty)
        self.stalls, self.stall = stalls or Never(), stall
        self.bytes = len(dut.rdata) // 8
        self.addresses = Channel(dut.arvalid, dut.arready, dut.araddr, dut.arlen, dut.arsize, dut.arburst,
                                 dut.arid)
        self.beats = deque()  # (cycle, address, last)
        self.presented = None
        self.cycle = 0
        self.bursts = []  # (cycle, address, beats)
        self.received = []  # (cycle, address)

    def present(self, ctx):
        dut = self.dut
        ctx.set(dut.arready, self.stalls.random() >= self.stall)
        due = self.presented is None and self.beats and self.beats[0][0] <= self.cycle
        if due and self.stalls.random() >= self.stall:
            self.presented = self.beats[0]
        ctx.set(dut.rvalid, self.presented is not None)
        if self.presented is not None:
            _, address, last = self.presented
            ctx.set(dut.rdata, int.from_bytes(self.content[address : address + self.bytes], "little"))
            ctx.set(dut.rlast, last)
            ctx.set(dut.rresp, 2 if address in self.faulty else 0)

    def observe(self, ctx):
        moved = self.addresses.moved(ctx)
        if moved:
            address, length, size, burst, _ = moved
            check_burst(address, length, size, burst, self.bytes)
            self.bursts.append((self.cycle, address, length + 1))
            self.beats += [(self.cycle + self.latency, address + n * self.bytes, n == length)
                           for n in range(length + 1)]
        if self.presented is not None and ctx.get(self.dut.rready):
            self.received.append((self.cycle, self.presented[1]))
            self.beats.popleft()
            self.presented = None
        self.cycle += 1


class WriteMemory:
    """Takes writes into `content`, responds `latency` cycles after the last beat."""

    def __init__(self, dut, content, latency, *, stalls=None, stall=0.25, faulty=()):
        self.dut, self.content, self.latency, self.faulty = dut, content, latency, set(faulty)
        self.stalls, self.stall = stalls or Never(), stall
        self.bytes = len(dut.wdata) // 8
        self.addresses = Channel(dut.awvalid, dut.awready, dut.awaddr, dut.awlen, dut.awsize, dut.awburst,
                                 dut.awid)
        self.data = Channel(dut.wvalid, dut.wready, dut.wdata, dut.wstrb, dut.wlast)
        self.open = deque()  # bursts without all of their data
        self.beats = deque()
        self.responses = deque()
        self.presented = None
        self.cycle = 0
        self.bursts = []
        self.written = []  # (cycle, address, strobe)

    def present(self, ctx):
        dut = self.dut
        ctx.set(dut.awready, self.stalls.random() >= self.stall)
        ctx.set(dut.wready, self.stalls.random() >= self.stall)
        due = self.presented is None and self.responses and self.responses[0][0] <= self.cycle
        if due and self.stalls.random() >= self.stall:
            self.presented = self.responses[0]
        ctx.set(dut.bvalid, self.presented is not None)
        if self.presented is not None:
            ctx.set(dut.bresp, 2 if self.presented[1] in self.faulty else 0)

    def observe(self, ctx):
        moved = self.addresses.moved(ctx)
        if moved:
            address, length, size, burst, _ = moved
            check_burst(address, length, size, burst, self.bytes)
            self.bursts.append((self.cycle, address, length + 1))
            self.open += [(address, address + n * self.bytes, n == length) for n in range(length + 1)]
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
                self.responses.append((self.cycle + self.latency, burst))
        if self.presented is not None and ctx.get(self.dut.bready):
            self.responses.popleft()
            self.presented = None
        self.cycle += 1


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
