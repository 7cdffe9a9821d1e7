"""Vectors for what software and its packet streams command."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np

from evidence.mutation.bus import Reads
from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number, pack
from rtl import packets
from rtl.bus.command_buffer import CommandBuffer
from rtl.bus.command_port import CommandPort
from rtl.bus.registers import Registers
from rtl.control.layer_controller import LayerController
from rtl.geometry import Geometry
from sim.accelerator import load

_ACC = load("ews-4")
_BUFFER_WORDS, _LENGTH_BITS, _FETCHES = 16, 7, 4
_STREAMS = ("jobs", "tiles", "chunks", "units")


class Stream:
    """The buffer of one packet stream."""

    def __init__(self) -> None:
        self.forget()
        self.address = 0

    def forget(self) -> None:
        self.left, self.underway = 0, 0
        self.inside: deque[tuple[int, int]] = deque()  # word, cycle in which it came

    def start(self, base: int, count: int) -> None:
        self.left, self.address = count, base

    def outputs(self, n: int, ready: bool) -> dict[str, int]:
        wants = self.left > 0 and self.underway + len(self.inside) <= _BUFFER_WORDS - 8
        self.shows = bool(self.inside) and self.inside[0][1] + 2 <= n
        self.leaves = self.shows and ready
        found: dict[str, int] = {
            "wants": wants,
            "out_valid": self.shows,
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
        over = not stream.left and not stream.underway and not stream.inside
        start = int(over and chance(rng, 0.3))
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
        self.packet: int | None = None

    def takes(self, ready: bool) -> bool:
        return len(self.collected) < self.words - 1 or self.packet is None or ready

    def tick(self, ready: bool, word: int | None) -> None:
        if ready:
            self.packet = None
        if word is not None:
            self.collected.append(word)
            if len(self.collected) == self.words:
                self.packet, self.collected = pack(self.collected, 64), []


def _command_port(rng: np.random.Generator) -> Vectors:
    geometry = Geometry(_ACC)
    widths = {name: packets.LAYOUTS[name](geometry).size for name in _STREAMS[:3]}
    streams = {name: Stream() for name in _STREAMS}
    assemblers = {name: _Assembler(-(-width // 64)) for name, width in widths.items()}
    port = Reads(8)
    request: tuple[int, int] | None = None  # address and words of the fetch at hand
    order: deque[list[int]] = deque()  # stream, words to come
    turn, started, primed = 0, False, False
    for n in range(6000):
        over = not any(stream.left or stream.underway or stream.inside for stream in streams.values())
        start = over and chance(rng, 0.2)
        bases = {name: number(rng, 32) & ~7 for name in _STREAMS}
        counts = {
            name: below(rng, (1 << _LENGTH_BITS) // size) * size
            for name in _STREAMS
            for size in (assemblers[name].words if name in assemblers else 1,)
        }
        if chance(rng, 0.3):
            counts |= dict.fromkeys(_STREAMS[: 1 + below(rng, 4)], 0)
        rests = n // 150 % 3 == 0
        readies = {name: bool(chance(rng, 0.0 if rests else 0.7)) for name in _STREAMS}
        inputs = (
            port.memory(rng, n)
            | {
                "stop": int(n % 150 > 147),
                "rst": chance(rng, 0.0005),
                "clear": chance(rng, 0.003),
                "start": int(start),
            }
            | {f"{name}_ready": ready for name, ready in readies.items()}
        )
        for name in _STREAMS:
            inputs |= {f"{name}_base": bases[name], f"{name}_count": counts[name]}
        inner = inputs | {
            "request_valid": request is not None,
            "data_ready": 1,
            "room": 16,
            "address": request[0] if request else 0,
            "beats": request[1] if request else 1,
        }
        found = port.outputs(inner)
        expected: dict[str, int] = {name: value for name, value in found.items() if name not in Reads.INSIDE}
        expected["primed"] = primed
        shown = {}
        for name, stream in streams.items():
            ready = assemblers[name].takes(readies[name]) if name in assemblers else readies[name]
            shown[name] = stream.outputs(n, ready)
            if name in assemblers:
                packet = assemblers[name].packet
                expected[f"{name}_valid"] = packet is not None
                if packet is not None:
                    expected[f"{name}_packet"] = packet & (1 << widths[name]) - 1
            else:
                expected[f"{name}_valid"] = shown[name]["out_valid"]
                if shown[name]["out_valid"]:
                    expected[f"{name}_word"] = shown[name]["out_data"]
        yield inputs, expected

        settled = all(outputs["settled"] for outputs in shown.values())
        wanting = [k for k in (*range(turn + 1, 4), *range(turn + 1)) if shown[_STREAMS[k]]["wants"]]
        takes = bool(
            wanting
            and (request is None or found["request_ready"])
            and len(order) < _FETCHES
            and not inputs["clear"]
        )
        to = order[0][0] if found["data_valid"] else -1
        if found["data_valid"]:
            order[0][1] -= 1
            if not order[0][1]:
                order.popleft()
        if found["request_ready"]:
            request = None
        if takes:
            turn = wanting[0]
            chosen = shown[_STREAMS[turn]]
            request = chosen["address"], chosen["words"]
            order.append([turn, chosen["words"]])
        for k, (name, stream) in enumerate(streams.items()):
            if name in assemblers:
                assemblers[name].tick(readies[name], shown[name]["out_data"] if stream.leaves else None)
            stream.tick(n, takes and k == turn, inputs["rdata"] if k == to else None)
            if start:
                stream.start(bases[name], counts[name])
        port.tick(inner)
        primed = started and settled and not start
        started = started or bool(start)
        if inputs["clear"] or inputs["rst"]:
            for stream in streams.values():
                stream.forget()
            for assembler in assemblers.values():
                assembler.forget()
            order.clear()
            request, started, primed = None, False, False
            turn = 0 if inputs["rst"] else turn


_COUNTERS = ("cycles", "beats")
_PORTS = ("commands", "weights", "maps_read", "maps_write")
_CONSTANTS = {  # as sim.accelerator describes ews-4
    0x00: 0x44574443,
    0x04: 0x00010000,
    0x08: _ACC.rows | _ACC.columns << 8 | _ACC.tile_rows << 16 | _ACC.tile_columns << 24,
    0x0C: _ACC.sparse_tile << 4 | _ACC.codeword_length << 5 | _ACC.keep << 13 | _ACC.group << 18,
    0x10: _ACC.wrf_depth | _ACC.prf_depth << 16,
    0x14: _ACC.codebook_entries | _ACC.weight_port_bits << 17,
    0x18: _ACC.l1_bytes,
}


class _Software:
    """What software sees."""

    def __init__(self) -> None:
        self.values = dict.fromkeys((0x30, *range(0x40, 0x60, 4)), 0)
        self.enable = self.running = self.clearing = self.done = self.error = self.pending = 0
        self.port = self.layers = self.upper = self.error_address = 0
        self.read: tuple[int, int] | None = None  # data, response
        self.response: int | None = None

    def value(self, address: int, counts: list[int]) -> int | None:
        status = (
            (self.running | self.clearing)
            | self.done << 1
            | self.error << 2
            | self.port << 4
            | self.pending << 8
        )
        known = (
            _CONSTANTS
            | self.values
            | {0x20: self.enable << 2, 0x24: status, 0x28: self.error_address, 0x2C: self.layers}
        )
        for n, count in enumerate(counts):
            known |= {0x100 + 8 * n: count & 0xFFFFFFFF, 0x104 + 8 * n: self.upper}
        return known.get(address)


def _address(rng: np.random.Generator) -> int:
    """A register, or an address that differs from one in a bit."""
    known = [
        *_CONSTANTS,
        *range(0x20, 0x34, 4),
        *range(0x40, 0x60, 4),
        *range(0x100, 0x100 + 8 * len(_COUNTERS), 4),
    ]
    address = known[below(rng, len(known))]
    return address ^ 1 << 2 + below(rng, 10) if chance(rng, 0.5) else address


def _registers(rng: np.random.Generator) -> Vectors:
    now = _Software()
    for n in range(8000):
        counts = [number(rng, 64) for _ in _COUNTERS]
        write, read = _address(rng), _address(rng)
        if chance(rng, 0.3):
            write = 0x20
        if chance(rng, 0.2):
            read = 0x24
        data = number(rng, 32)
        if write == 0x20:
            data = data & ~3 | (1 if chance(rng, 0.5) else 0) | (2 if chance(rng, 0.1) else 0)
        busy_phase = n // 200 % 2
        fails = [chance(rng, 0.01) for _ in _PORTS]
        if chance(rng, 0.004):
            fails = [chance(rng, 0.5) for _ in _PORTS]
        addresses = [number(rng, 32) for _ in _PORTS]
        inputs = {
            "awaddr": write | below(rng, 4),
            "awvalid": chance(rng, 0.6),
            "awprot": below(rng, 8),
            "wdata": data,
            "wstrb": 15 if chance(rng, 0.5) else below(rng, 16),
            "wvalid": chance(rng, 0.7),
            "bready": chance(rng, 0.7),
            "araddr": read | below(rng, 4),
            "arprot": below(rng, 8),
            "arvalid": chance(rng, 0.7),
            "rready": chance(rng, 0.7),
            "rst": chance(rng, 0.002),
            "finished": chance(rng, 0.02 if busy_phase else 0.3),
            "layer_end": chance(rng, 0.9 if busy_phase else 0.3),
            "ports_idle": chance(rng, 0.4),
        }
        inputs |= {f"{port}_error": fail for port, fail in zip(_PORTS, fails, strict=True)}
        inputs |= {f"{port}_error_address": at for port, at in zip(_PORTS, addresses, strict=True)}
        inputs |= {f"count_{name}": count for name, count in zip(_COUNTERS, counts, strict=True)}
        takes = bool(inputs["awvalid"] and inputs["wvalid"] and (now.response is None or inputs["bready"]))
        busy = now.running | now.clearing
        mask = sum(0xFF << 8 * lane for lane in range(4) if inputs["wstrb"] >> lane & 1)
        bits = data & mask if takes else 0
        clear = write == 0x20 and bits >> 1 & 1
        start = write == 0x20 and bits & 1 and not busy and not now.error and not clear
        accepts = now.read is None or inputs["rready"]
        outputs = {
            "awready": takes,
            "wready": takes,
            "bvalid": now.response is not None,
            "arready": accepts,
            "rvalid": now.read is not None,
            "layer_count": now.values[0x30],
            "start": bool(start),
            "clear": bool(clear),
            "stop": now.error,
            "busy": busy,
            "irq": now.pending & now.enable,
        }
        for s, name in enumerate(_STREAMS):
            outputs |= {f"{name}_base": now.values[0x40 + 8 * s], f"{name}_count": now.values[0x44 + 8 * s]}
        if now.response is not None:
            outputs["bresp"] = now.response
        if now.read is not None:
            outputs |= {"rdata": now.read[0], "rresp": now.read[1]}
        yield inputs, outputs

        if accepts:
            now.read = None
            if inputs["arvalid"]:
                value = now.value(read, counts)
                now.read = (0, 2) if value is None else (value, 0)
                if read >= 0x100 and read % 8 == 0 and value is not None:
                    now.upper = counts[(read - 0x100) // 8] >> 32
        if inputs["bready"]:
            now.response = None
        if takes:
            now.response = 2 if now.value(write, counts) is None else 0
            if write in now.values:
                kept = 0xFFFF if write == 0x30 else 0xFFFFFFFF
                now.values[write] = (now.values[write] & ~mask | bits) & kept
            if write == 0x20 and mask & 1:
                now.enable = bits >> 2 & 1
        now.layers = (now.layers + (inputs["layer_end"] & now.running)) % (1 << 32)
        if now.clearing and inputs["ports_idle"]:
            now.clearing = 0
        if write == 0x24 and bits >> 8 & 1:
            now.pending = 0
        if now.running and inputs["finished"]:
            now.running, now.done, now.pending = 0, 1, 1
        if any(fails) and not now.error:
            first = fails.index(1)
            now.running, now.error, now.pending = 0, 1, 1
            now.port, now.error_address = first, addresses[first]
        if start:
            now.running, now.done, now.pending, now.layers = 1, 0, 0, 0
        if clear:
            now.running, now.clearing, now.done, now.error, now.pending = 0, 1, 0, 0, 0
        if inputs["rst"]:
            now = _Software()


def _layer_controller(rng: np.random.Generator) -> Vectors:
    tail = _CONTROLLED.dma_setup + _CONTROLLED.l2_latency
    state, left, at, rests, passes, gone = "idle", 0, 0, 0, 0, 0
    for n in range(_RANDOM_CYCLES + 12_000):
        long = n > _RANDOM_CYCLES  # runs to the end, so that the upper bits of the number of layers count
        layers = below(rng, 5) if chance(rng, 0.7) else 1 << below(rng, _LAYER_COUNT_BITS)
        if long or chance(rng, 0.2):
            layers = number(rng, _LAYER_COUNT_BITS)
        fast = n // 1500 % 2
        often = 1.0 if long else 0.95 if fast else 0.4
        pass_waiting = chance(rng, 0.4)
        halts = 0.05 if state in ("prime", "gap") else 0.0005 if fast else 0.01
        inputs = {
            "start": chance(rng, 0.3),
            "layers": layers,
            "primed": chance(rng, often),
            "halt": chance(rng, halts),
            "rst": chance(rng, 0.0005),
            "pass_waiting": pass_waiting,
            "rows_waiting": int(not pass_waiting and chance(rng, often)),
            "chunk_valid": chance(rng, often),
            "settled": chance(rng, often),
            "active": chance(rng, 0.5),
            "pass_busy": chance(rng, 0.5),
            "sent": chance(rng, 0.3),
            "idle": chance(rng, often),
        }
        if long:
            inputs |= {"halt": 0, "rst": 0, "rows_waiting": int(not pass_waiting), "sent": 1}
        elif n == _RANDOM_CYCLES:
            inputs["rst"] = 1
        kind_known = bool(inputs["pass_waiting"] or inputs["rows_waiting"])
        known = bool(inputs["pass_waiting"] or (inputs["rows_waiting"] and inputs["chunk_valid"]))
        outputs = dict.fromkeys(
            ("begin", "load", "pass_start", "allowed", "end", "done", "control", "drain", "running"), 0
        )
        outputs |= {"passing": passes, "busy": state not in ("idle", "halted")}
        then = state
        if state == "idle" and inputs["start"]:
            then, left = "prime", inputs["layers"]
        elif state == "prime":
            if left == 0:
                outputs["done"], then = 1, "idle"
            elif inputs["primed"] and known:
                outputs["begin"], then, at = 1, "control", 0
        elif state == "control":
            outputs |= {"running": 1, "control": 1}
            if at < 3:
                at += 1
            elif known:
                outputs["pass_start" if pass_waiting else "load"] = 1
                then, passes, rests, gone = "work", pass_waiting, 0, 0
        elif state == "work":
            outputs |= {"running": 1, "allowed": 1, "drain": not inputs["active"] and not inputs["pass_busy"]}
            works = not gone if passes else not inputs["settled"]
            if not works and rests < tail - 1:
                rests += 1
            elif not works and inputs["idle"]:
                outputs["end"], at = 1, 0
                left -= 1
                if left == 0:
                    outputs["done"], then = 1, "idle"
                else:
                    outputs["begin"], then = kind_known, "control" if kind_known else "gap"
            gone |= inputs["sent"]
        elif state == "gap":
            if kind_known:
                outputs["begin"], then = 1, "control"
        elif state == "halted":
            outputs["done"], then = 1, "idle"
        yield inputs, outputs
        state = "halted" if inputs["halt"] and state not in ("idle", "halted") else then
        if inputs["rst"]:
            state, left, at, rests, passes, gone = "idle", 0, 0, 0, 0, 0


_RANDOM_CYCLES = 12_000
_LAYER_COUNT_BITS = 8
_CONTROLLED = load("ews-4", {"dma_setup": 3, "l2_latency": 1})
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
        partial(CommandPort, accelerator=_ACC),
        _command_port,
        view=None,
        small={"COMMAND_WORDS": _BUFFER_WORDS, "LENGTH_BITS": _LENGTH_BITS, "FETCHES": _FETCHES},
    ),
    VectorSuite(
        "registers",
        partial(Registers, accelerator=_ACC, counters=_COUNTERS),
        _registers,
        view="""
    if (!bvalid) seen_bresp = 0;
    if (!rvalid) begin seen_rdata = 0; seen_rresp = 0; end""",
    ),
    VectorSuite(
        "layer_controller",
        partial(LayerController, accelerator=_CONTROLLED),
        _layer_controller,
        small={"LAYER_COUNT_BITS": _LAYER_COUNT_BITS},
    ),
)
