"""Vectors for queues and the AXI ports."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from itertools import count

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, pack
from rtl.bus.address_channel import AddressChannel
from rtl.bus.fifo import Fifo
from rtl.bus.packet_assembler import PacketAssembler
from rtl.bus.read_port import ReadPort
from rtl.bus.runs import Runs
from rtl.bus.sram_fifo import SramFifo


def _fifo(rng: np.random.Generator) -> Vectors:
    width, depth = 6, 4
    inside: deque[int] = deque()
    for n in range(400):
        full_phase = n // 40 % 2
        valid, ready = chance(rng, 0.9 if full_phase else 0.4), chance(rng, 0.3 if full_phase else 0.9)
        data, clear, reset = number(rng, width), chance(rng, 0.03), chance(rng, 0.01)
        expected: dict[str, int] = {
            "in_ready": len(inside) < depth,
            "out_valid": bool(inside),
            "level": len(inside),
        }
        if inside:
            expected["out_data"] = inside[0]
        yield {"clear": clear, "rst": reset, "in_valid": valid, "in_data": data, "out_ready": ready}, expected
        enters = valid and len(inside) < depth
        if inside and ready:
            inside.popleft()
        if enters:
            inside.append(data)
        if clear or reset:
            inside.clear()


def _sram_fifo(rng: np.random.Generator) -> Vectors:
    width, depth = 6, 4
    inside: deque[tuple[int, int]] = deque()  # word, cycle of entry
    for n in range(500):
        full_phase = n // 40 % 2
        write = int(len(inside) < depth and chance(rng, 0.9 if full_phase else 0.4))
        ready = chance(rng, 0.3 if full_phase else 0.9)
        data, clear, reset = number(rng, width), chance(rng, 0.03), chance(rng, 0.01)
        shows = bool(inside) and inside[0][1] <= n - 2
        expected: dict[str, int] = {"out_valid": shows, "level": len(inside)}
        if shows:
            expected["out_data"] = inside[0][0]
        yield {"clear": clear, "rst": reset, "write": write, "write_data": data, "out_ready": ready}, expected
        if shows and ready:
            inside.popleft()
        if write:
            inside.append((data, n))
        if clear or reset:
            inside.clear()


def _packet_assembler(rng: np.random.Generator) -> Vectors:
    words = 3
    collected: list[int] = []
    kept: deque[int] = deque()  # whole packets, two at most
    for n in range(400):
        valid, ready, data = chance(rng, 0.8), chance(rng, 0.8 if n // 50 % 2 else 0.2), number(rng, 64)
        clear, reset = chance(rng, 0.02), chance(rng, 0.01)
        takes = len(kept) < 2
        expected: dict[str, int] = {
            "in_ready": takes,
            "out_valid": bool(kept),
            "empty": not kept and not collected,
        }
        if kept:
            expected["out_data"] = kept[0]
        yield {"clear": clear, "rst": reset, "in_valid": valid, "in_data": data, "out_ready": ready}, expected
        if ready and kept:
            kept.popleft()
        if valid and takes:
            collected.append(data)
            if len(collected) == words:
                kept.append(pack(collected, 64))
                collected = []
        if clear or reset:
            kept.clear()
            collected = []


_RUN_COUNT_BITS = 10


def _runs(rng: np.random.Generator) -> Vectors:
    left: deque[int] = deque()
    random_cycles = 1500
    # Transfers that are let through, so that the upper bits of both counts tell.
    counts = [(1 << _RUN_COUNT_BITS) - 1, *(1 + number(rng, _RUN_COUNT_BITS - 1) for _ in range(8))]
    whole = deque([*((lines, 2) for lines in counts), *((1, planes) for planes in counts)])
    for n in count():
        load = int(not left and chance(rng, 0.7))
        start, line_stride, plane_stride = (number(rng, 32) for _ in range(3))
        if n < random_cycles:
            lines, planes = (1 + below(rng, 4) for _ in range(2))
            if chance(rng, 0.3):  # more than `clear` lets pass
                lines += 1 << below(rng, _RUN_COUNT_BITS)
            ready, clear = chance(rng, 0.8), chance(rng, 0.04)
            reset = int(n == random_cycles - 1 or chance(rng, 0.005))
        elif whole or left:
            ready, clear, reset = 1, 0, 0
            lines, planes = whole.popleft() if load else (1, 1)
        else:
            break
        expected: dict[str, int] = {"valid": bool(left)}
        if left:
            expected |= {"address": left[0], "last": len(left) == 1}
        yield (
            {
                "load": load,
                "clear": clear,
                "rst": reset,
                "start": start,
                "lines": lines,
                "planes": planes,
                "line_stride": line_stride,
                "plane_stride": plane_stride,
                "ready": ready,
            },
            expected,
        )
        if left and ready:
            left.popleft()
        if load:
            left.extend(
                (start + p * plane_stride + k * line_stride) % (1 << 32)
                for p in range(planes)
                for k in range(lines)
            )
        if clear or reset:
            left.clear()


class Channel:
    """The address channel: what its contract says of every cycle."""

    def __init__(self, beat_bytes: int) -> None:
        self.beat_bytes = beat_bytes
        self.reset()

    def reset(self) -> None:
        self.underway: deque[int] = deque()
        self.rest: tuple[int, int] | None = None
        self.waiting: tuple[int, int] | None = None
        self.dropping = False

    def outputs(self, inputs: dict[str, int]) -> dict[str, int]:
        address, beats = self.rest or (inputs["address"], inputs["beats"])
        size = min(beats, 16, (4096 - address % 4096) // self.beat_bytes)
        asks = bool(
            inputs["request_valid"]
            and self.waiting is None
            and not (inputs["stop"] or inputs["clear"] or self.dropping)
        )
        self.offered = (
            asks and len(self.underway) < 32 and size <= inputs["room"] and not inputs.get("refuse", 0)
        )
        self.burst = self.waiting or (address, size)
        self.after = (address + size * self.beat_bytes) % (1 << 32), beats - size
        expected = {
            "request_ready": self.offered and size == beats,
            "begins": self.offered,
            "asked": size if self.offered else 0,
            "burst_valid": self.offered or self.waiting is not None,
            "idle": not self.underway,
            "dropping": self.dropping,
            "asks": asks,
        }
        if asks:
            expected |= {"asked_address": address, "asks_nothing": beats == 0}
        if expected["burst_valid"]:
            expected |= {"burst_address": self.burst[0], "burst_length": self.burst[1] - 1}
        if self.underway:
            expected["oldest"] = self.underway[0]
        return expected

    def tick(self, inputs: dict[str, int], accepted: bool, finish: bool) -> None:
        idle = not self.underway
        if finish:
            self.underway.popleft()
        if self.offered:
            self.underway.append(self.burst[0])
            self.rest = self.after if self.after[1] else None
        sends = self.offered or self.waiting is not None
        self.waiting = self.burst if sends and not accepted else None
        if inputs["clear"]:
            self.rest, self.dropping = None, True
        elif idle:
            self.dropping = False


def asked(found: Mapping[str, int]) -> dict[str, int]:
    """What a port shows of the next burst of its channel."""
    return {name: found[name] for name in ("asks", "asked_address", "asks_nothing") if name in found}


REQUEST_BITS = 9
MOST_BEATS = 1 << REQUEST_BITS - 1


def draw_request(rng: np.random.Generator) -> tuple[int, int]:
    """Address and beats of 8 bytes, often near the end of a page."""
    page = number(rng, 20) << 12
    beats = extent(rng, MOST_BEATS) if chance(rng, 0.5) else 1 + below(rng, 40)
    return page | (4096 - 8 * (1 + below(rng, 40)) if chance(rng, 0.5) else 8 * below(rng, 512)), beats


def _traffic(rng: np.random.Generator, n: int) -> dict[str, int]:
    """Inputs of a port that depend on nothing."""
    return {
        "room": below(rng, 33) if chance(rng, 0.3) else 32,
        "stop": int(n % 150 > 140),
        "rst": chance(rng, 0.003),
        "refuse": chance(rng, 0.1),
    }


def _address_channel(rng: np.random.Generator) -> Vectors:
    channel = Channel(8)
    request: tuple[int, int] | None = None
    out = 0  # bursts that memory has taken and not finished
    for n in range(4000):
        if request is None and chance(rng, 0.8):
            request = draw_request(rng)
        address, beats = request or (number(rng, 32) & ~7, 1 + below(rng, 50))
        slow = n // 100 % 3 == 0
        finish = int(out > 0 and chance(rng, 0.05 if slow else 0.6))
        inputs = _traffic(rng, n) | {
            "clear": int(n % 60 == 59 or chance(rng, 0.01)),
            "request_valid": int(request is not None),
            "address": address,
            "beats": beats,
            "burst_ready": chance(rng, 0.7),
            "finish": finish,
        }
        expected = channel.outputs(inputs)
        yield inputs, expected
        accepted = bool(expected["burst_valid"] and inputs["burst_ready"])
        channel.tick(inputs, accepted, bool(finish))
        out += accepted - finish
        if expected["request_ready"] or inputs["clear"]:
            request = None
        if inputs["rst"]:
            channel.reset()
            request, out = None, 0


class Reads:
    """A read port and the memory behind it."""

    INSIDE = ("request_ready", "asked", "data_valid", "data")
    """Outputs of the port that a unit around it does not show."""

    def __init__(self, beat_bytes: int) -> None:
        self.channel = Channel(beat_bytes)
        self.bursts: deque[int] = deque()  # beats to come

    def memory(self, rng: np.random.Generator, n: int) -> dict[str, int]:
        """What memory drives in cycle n."""
        valid = int(bool(self.bursts) and chance(rng, 0.2 if n // 150 % 3 == 0 else 0.9))
        return {
            "arready": chance(rng, 0.7),
            "rvalid": valid,
            "rlast": int(bool(self.bursts) and self.bursts[0] == 1),
            "rdata": number(rng, 8 * self.channel.beat_bytes),
            "rresp": below(rng, 4) if chance(rng, 0.5) else 0,
            "rid": 0,
        }

    def outputs(self, inputs: dict[str, int]) -> dict[str, int]:
        self.found = found = self.channel.outputs(inputs)
        discard = self.channel.dropping or bool(inputs["clear"])
        ready = inputs["data_ready"] or discard
        self.moves = bool(inputs["rvalid"] and ready)
        expected = {
            "request_ready": found["request_ready"],
            "asked": found["asked"],
            "arvalid": found["burst_valid"],
            "idle": found["idle"],
            "rready": ready,
            "data_valid": inputs["rvalid"] and not discard,
            "error": bool(self.moves and inputs["rresp"] and not discard),
            **asked(found),
        }
        if expected["arvalid"]:
            expected |= {
                "araddr": found["burst_address"],
                "arlen": found["burst_length"],
                "arsize": self.channel.beat_bytes.bit_length() - 1,
                "arburst": 1,
                "arid": 0,
            }
        if expected["data_valid"]:
            expected["data"] = inputs["rdata"]
        if expected["error"]:
            expected["error_address"] = found["oldest"]
        return expected

    def tick(self, inputs: dict[str, int]) -> None:
        accepted = bool(self.found["burst_valid"] and inputs["arready"])
        self.channel.tick(inputs, accepted, bool(self.moves and inputs["rlast"]))
        if self.moves:
            self.bursts[0] -= 1
            if inputs["rlast"]:
                self.bursts.popleft()
        if accepted:
            self.bursts.append(self.found["burst_length"] + 1)
        if inputs["rst"]:
            self.channel.reset()
            self.bursts.clear()


def _read_port(rng: np.random.Generator) -> Vectors:
    port = Reads(8)
    request: tuple[int, int] | None = None
    for n in range(1500):
        if request is None and chance(rng, 0.8):
            request = draw_request(rng)
        address, beats = request or (number(rng, 32) & ~7, 1 + below(rng, 50))
        inputs = (
            _traffic(rng, n)
            | port.memory(rng, n)
            | {
                "clear": int(n % 500 == 499),
                "request_valid": int(request is not None),
                "address": address,
                "beats": beats,
                "data_ready": chance(rng, 0.8),
            }
        )
        expected = port.outputs(inputs)
        yield inputs, expected
        port.tick(inputs)
        if expected["request_ready"] or inputs["clear"] or inputs["rst"]:
            request = None


_HIDDEN = "    if (!out_valid) seen_out_data = 0;"
"""What an empty queue shows counts for nothing."""

SUITES = (
    VectorSuite("fifo_4x6", partial(Fifo, width=6, depth=4), _fifo, view=_HIDDEN),
    VectorSuite("fifo_4x6_ahead", partial(Fifo, width=6, depth=4, ahead=True), _fifo, view=_HIDDEN),
    VectorSuite(
        "sram_fifo_4x6",
        lambda: SramFifo(width=6, depth=4),
        _sram_fifo,
        view="    legal = !write || level < 4; if (!out_valid) seen_out_data = 0;",
    ),
    VectorSuite("packet_assembler_3", partial(PacketAssembler, words=3), _packet_assembler, view=_HIDDEN),
    VectorSuite(
        "runs",
        Runs,
        _runs,
        view="""
    legal = !(load && valid) && lines != 0 && planes != 0;
    if (!valid) begin seen_address = 0; seen_last = 0; end""",
        small={"WORD_ADDRESS_BITS": _RUN_COUNT_BITS},
    ),
    VectorSuite(
        "address_channel_64",
        lambda: AddressChannel(data_bits=64),
        _address_channel,
        zero=lambda: {"address": 7},
        small={"REQUEST_BITS": REQUEST_BITS},
        view=f"""
    legal = beats != 0 && beats <= {MOST_BEATS} && room <= 32 && (!finish || !idle)
            && (fresh || was_rst || was_clear || !was_request_valid || was_request_ready
                || request_valid && address == was_address && beats == was_beats);
    if (!burst_valid) begin seen_burst_address = 0; seen_burst_length = 0; end
    if (!asks) begin seen_asked_address = 0; seen_asks_nothing = 0; end
    if (idle) seen_oldest = 0;""",
    ),
    VectorSuite(
        "read_port_64",
        lambda: ReadPort(data_bits=64),
        _read_port,
        zero=lambda: {"address": 7},
        small={"REQUEST_BITS": REQUEST_BITS},
        view="""
    legal = beats != 0 && !(rvalid && idle);
    if (!arvalid) begin seen_araddr = 0; seen_arlen = 0; seen_arsize = 0; seen_arburst = 0; seen_arid = 0; end
    if (!data_valid) seen_data = 0;
    if (!asks) begin seen_asked_address = 0; seen_asks_nothing = 0; end
    if (!error) seen_error_address = 0;""",
    ),
)
