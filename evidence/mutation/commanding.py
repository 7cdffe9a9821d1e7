"""Vectors for the packet streams."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np

from evidence.mutation.bus import Reads
from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number, pack
from rtl import packets
from rtl.bus.command_buffer import CommandBuffer
from rtl.bus.command_port import PACKETS, CommandPort, systolic_streams
from rtl.geometry import Geometry
from sim.accelerator import load

_ACC = load("ews-4")
_BUFFER_WORDS, _LENGTH_BITS, _FETCHES = 16, 7, 4


class Stream:
    """The buffer of one packet stream."""

    def __init__(self) -> None:
        self.forget()
        self.address = 0

    def forget(self) -> None:
        self.left, self.underway = 0, 0
        self.inside: deque[tuple[int, int]] = deque()  # word, cycle in which it came

    @property
    def empty(self) -> bool:
        return not self.left and not self.underway and not self.inside

    def start(self, base: int, count: int) -> None:
        self.left, self.address = count, base

    def outputs(self, n: int, ready: bool) -> dict[str, int]:
        wants = self.left > 0 and self.underway + len(self.inside) <= _BUFFER_WORDS - 8
        self.shows = bool(self.inside) and self.inside[0][1] + 2 <= n
        self.leaves = self.shows and ready
        found: dict[str, int] = {
            "wants": wants,
            "out_valid": self.shows,
            "empty": self.empty,
            "settled": not wants and not self.underway and (not self.inside or (self.shows and not ready)),
        }
        if wants:
            found |= {"address": self.address, "words": min(8, self.left)}
        if self.shows:
            found["out_data"] = self.inside[0][0]
        return found

    def tick(self, n: int, take: bool, word: int | None) -> None:
        if self.leaves:
            self.inside.popleft()
        if word is not None:
            self.inside.append((word, n))
            self.underway -= 1
        if take:
            words = min(8, self.left)
            self.left -= words
            self.underway += words
            self.address = (self.address + 8 * words) % (1 << 32)


def _command_buffer(rng: np.random.Generator) -> Vectors:
    stream = Stream()
    for n in range(4000):
        start = int(stream.empty and chance(rng, 0.3))
        base, count = number(rng, 32), number(rng, _LENGTH_BITS)
        slow = n // 100 % 3 == 0
        ready, data = chance(rng, 0.1 if slow else 0.7), number(rng, 64)
        clear, reset = chance(rng, 0.005), chance(rng, 0.001)
        expected = stream.outputs(n, bool(ready))
        take = int(expected["wants"] and chance(rng, 0.5))
        write = int(stream.underway > 0 and chance(rng, 0.2 if n // 100 % 2 else 0.8))
        yield (
            {
                "start": start,
                "base": base,
                "count": count,
                "clear": clear,
                "rst": reset,
                "take": take,
                "write": write,
                "write_data": data,
                "out_ready": ready,
            },
            expected,
        )
        stream.tick(n, bool(take), data if write else None)
        if start:
            stream.start(base, count)
        if clear or reset:
            stream.forget()


class _Assembler:
    """Words to packets."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.forget()

    def forget(self) -> None:
        self.collected: list[int] = []
        self.packets: deque[int] = deque()

    @property
    def takes(self) -> bool:
        return len(self.packets) < 2

    def tick(self, ready: bool, word: int | None) -> None:
        if ready and self.packets:
            self.packets.popleft()
        if word is not None:
            self.collected.append(word)
            if len(self.collected) == self.words:
                self.packets.append(pack(self.collected, 64))
                self.collected = []


class _Port:
    """Streams that take turns in fetching, and their words as packets.

    Attributes:
        requests: address and words of the fetches that wait for their bursts.
        order: stream and words to come, of each fetch that is under way.
        turn: the stream that fetched last.
    """

    def __init__(self) -> None:
        geometry = Geometry(_ACC)
        self.widths = {name: packets.LAYOUTS[name](geometry).size for name in PACKETS}
        self.streams = {name: Stream() for name in packets.STREAMS}
        self.assemblers = {name: _Assembler(-(-width // 64)) for name, width in self.widths.items()}
        self.reads = Reads(8)
        self.clear()

    def clear(self) -> None:
        for stream in self.streams.values():
            stream.forget()
        for assembler in self.assemblers.values():
            assembler.forget()
        self.requests: deque[tuple[int, int]] = deque()
        self.order: deque[list[int]] = deque()
        self.started = self.primed = False
        self.turn = 0

    @property
    def over(self) -> bool:
        return all(stream.empty for stream in self.streams.values())

    def outputs(self, n: int, inputs: dict[str, int]) -> dict[str, int]:
        """Of cycle n."""
        address, beats = self.requests[0] if self.requests else (0, 1)
        self.asked = inputs | {
            "request_valid": bool(self.requests),
            "data_ready": 1,
            "room": 16,
            "address": address,
            "beats": beats,
        }
        self.found = self.reads.outputs(self.asked)
        expected = {name: value for name, value in self.found.items() if name not in Reads.INSIDE}
        expected["primed"] = self.primed
        self.shown = {}
        for name, stream in self.streams.items():
            ready = bool(inputs[f"{name}_ready"])
            if name not in self.assemblers:
                self.shown[name] = shown = stream.outputs(n, ready)
                expected[f"{name}_valid"] = shown["out_valid"]
                if shown["out_valid"]:
                    expected[f"{name}_word"] = shown["out_data"]
                continue
            assembler = self.assemblers[name]
            self.shown[name] = stream.outputs(n, assembler.takes)
            expected[f"{name}_valid"] = bool(assembler.packets)
            if assembler.packets:
                expected[f"{name}_packet"] = assembler.packets[0] & (1 << self.widths[name]) - 1
        kept = any(a.packets or a.collected for a in self.assemblers.values())
        expected["empty"] = self.over and not kept
        expected["moves"] = any(
            expected[f"{name}_valid"] and inputs[f"{name}_ready"] for name in self.streams
        )
        return expected

    def clock(self, n: int, inputs: dict[str, int]) -> None:
        settled = all(shown["settled"] for shown in self.shown.values())
        chosen = self._choose(inputs)
        returned = self._return()
        if self.found["request_ready"]:
            self.requests.popleft()
        if chosen is not None:
            self.turn = chosen
            shown = self.shown[packets.STREAMS[chosen]]
            self.requests.append((shown["address"], shown["words"]))
            self.order.append([chosen, shown["words"]])
        for k, (name, stream) in enumerate(self.streams.items()):
            if name in self.assemblers:
                word = self.shown[name]["out_data"] if stream.leaves else None
                self.assemblers[name].tick(bool(inputs[f"{name}_ready"]), word)
            stream.tick(n, k == chosen, inputs["rdata"] if k == returned else None)
            if inputs["start"]:
                stream.start(inputs[f"{name}_base"], inputs[f"{name}_count"])
        self.reads.tick(self.asked)
        self.primed = self.started and settled and not inputs["start"]
        self.started = self.started or bool(inputs["start"])
        if inputs["clear"] or inputs["rst"]:
            self.clear()

    def _choose(self, inputs: dict[str, int]) -> int | None:
        """The stream that fetches next, if one may: the first one behind the last that wants to."""
        count = len(packets.STREAMS)
        after = [(self.turn + 1 + k) % count for k in range(count)]
        wanting = [k for k in after if self.shown[packets.STREAMS[k]]["wants"]]
        if not wanting or len(self.requests) == 2 or len(self.order) >= _FETCHES or inputs["clear"]:
            return None
        return wanting[0]

    def _return(self) -> int | None:
        """The stream whose word comes."""
        if not self.found["data_valid"]:
            return None
        stream = self.order[0][0]
        self.order[0][1] -= 1
        if not self.order[0][1]:
            self.order.popleft()
        return stream


def _command_port(rng: np.random.Generator) -> Vectors:
    model = _Port()
    for n in range(6000):
        start = model.over and chance(rng, 0.2)
        bases = {name: number(rng, 32) & ~7 for name in packets.STREAMS}
        counts = {}
        for name in packets.STREAMS:
            size = model.assemblers[name].words if name in PACKETS else 1
            counts[name] = below(rng, (1 << _LENGTH_BITS) // size) * size
        if chance(rng, 0.3):
            counts |= dict.fromkeys(packets.STREAMS[: 1 + below(rng, 4)], 0)
        rests = n // 150 % 3 == 0
        readies = {f"{name}_ready": chance(rng, 0.0 if rests else 0.7) for name in packets.STREAMS}
        inputs = model.reads.memory(rng, n) | {
            "stop": int(n % 150 > 147),
            "rst": chance(rng, 0.0005),
            "clear": chance(rng, 0.003),
            "refuse": chance(rng, 0.1),
            "start": int(start),
        }
        inputs |= readies
        for name in packets.STREAMS:
            inputs |= {f"{name}_base": bases[name], f"{name}_count": counts[name]}
        yield inputs, model.outputs(n, inputs)
        model.clock(n, inputs)


SUITES = (
    VectorSuite(
        "command_buffer",
        CommandBuffer,
        _command_buffer,
        small={"COMMAND_WORDS": _BUFFER_WORDS, "LENGTH_BITS": _LENGTH_BITS},
        view="""
    if (!wants) begin seen_address = 0; seen_words = 0; end
    if (!out_valid) seen_out_data = 0;""",
    ),
    VectorSuite(
        "command_port",
        partial(CommandPort, streams=systolic_streams(_ACC)),
        _command_port,
        view=None,
        small={"COMMAND_WORDS": _BUFFER_WORDS, "LENGTH_BITS": _LENGTH_BITS, "FETCHES": _FETCHES},
    ),
)
