"""Vectors for what writes to memory."""

from __future__ import annotations

from collections import deque

import numpy as np

from evidence.mutation.bus import REQUEST_BITS, Channel, asked, draw_request
from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number
from rtl.bus.row_mover import FinishedRowMover
from rtl.bus.write_port import WritePort

_LANES = 8


class Writes:
    """A write port and the memory behind it."""

    INSIDE = ("request_ready", "word_ready")
    """Outputs of the port that a unit around it does not show."""

    def __init__(self) -> None:
        self.channel = Channel(_LANES)
        self.reset()

    def reset(self) -> None:
        self.channel.reset()
        self.owed = 0  # words of the bursts that are out, not announced
        self.coming = False
        self.words: deque[tuple[int, int]] = deque()
        self.lengths: deque[int] = deque()
        self.sent = self.addresses = self.complete = 0

    def memory(self, rng: np.random.Generator, n: int) -> dict[str, int]:
        """What memory drives in cycle n."""
        answer = min(self.addresses, self.complete) > 0
        stalls, rests = n // 100 % 4 == 1, n // 300 % 3 == 1
        return {
            "awready": chance(rng, 0.8),
            "wready": chance(rng, 0.1 if stalls else 0.9),
            "bvalid": int(answer and chance(rng, 0.02 if rests else 0.8)),
            "bresp": below(rng, 4) if chance(rng, 0.5) else 0,
            "bid": 0,
        }

    def outputs(self, inputs: dict[str, int]) -> dict[str, int]:
        dropping = self.channel.dropping
        self.found = found = self.channel.outputs(inputs | {"room": 16})
        room = bool(self.owed or found["asked"]) and len(self.words) + self.coming < 8
        self.announced = room and (bool(inputs["word_valid"]) or dropping)
        last = bool(self.words) and self.sent == self.lengths[0] - 1
        expected = {
            "request_ready": found["request_ready"],
            "word_ready": room and not dropping,
            "awvalid": found["burst_valid"],
            "wvalid": bool(self.words),
            "bready": 1,
            "idle": found["idle"],
            "error": bool(inputs["bvalid"] and inputs["bresp"] and not (dropping or inputs["clear"])),
            **asked(found),
        }
        if expected["awvalid"]:
            expected |= {
                "awaddr": found["burst_address"],
                "awlen": found["burst_length"],
                "awsize": 3,
                "awburst": 1,
                "awid": 0,
            }
        if self.words:
            expected |= {"wdata": self.words[0][0], "wstrb": self.words[0][1], "wlast": last}
        if expected["error"]:
            expected["error_address"] = found["oldest"]
        self.last = last
        return expected

    def tick(self, inputs: dict[str, int]) -> None:
        accepted = bool(self.found["burst_valid"] and inputs["awready"])
        leaves = bool(self.words and inputs["wready"])
        if leaves:
            self.words.popleft()
            self.sent += 1
            if self.last:
                self.lengths.popleft()
                self.sent = 0
        if self.coming:
            self.words.append((inputs["word_data"], 0 if self.channel.dropping else inputs["word_strobe"]))
        if self.found["asked"]:
            self.lengths.append(self.found["asked"])
        self.owed += self.found["asked"] - self.announced
        self.coming = self.announced
        self.addresses += accepted - inputs["bvalid"]
        self.complete += (leaves and self.last) - inputs["bvalid"]
        self.channel.tick(inputs, accepted, bool(inputs["bvalid"]))
        if inputs["rst"]:
            self.reset()


def _write_port(rng: np.random.Generator) -> Vectors:
    port = Writes()
    request: tuple[int, int] | None = None
    for n in range(8000):
        # Many requests, or so few that every word that is owed goes out.
        if request is None and chance(rng, 0.8 if n // 200 % 3 == 0 else 0.03):
            request = draw_request(rng)
        address, beats = request or (number(rng, 32) & ~7, 1 + below(rng, 50))
        # Many bursts without their words, then words again.
        hungry = n // 100 % 3 == 2
        inputs = port.memory(rng, n) | {
            "stop": int(n % 150 > 140),
            "rst": chance(rng, 0.002),
            "clear": int(n % 1000 == 399),
            "refuse": chance(rng, 0.1),
            "request_valid": int(request is not None),
            "address": address,
            "beats": beats,
            "word_valid": chance(rng, 0.05 if hungry else 0.9),
            "word_data": number(rng, 64),
            "word_strobe": number(rng, _LANES),
        }
        expected = port.outputs(inputs)
        yield inputs, expected
        port.tick(inputs)
        if expected["request_ready"] or inputs["clear"] or inputs["rst"]:
            request = None


def _row(rng: np.random.Generator) -> dict[str, int]:
    ring = 1 + (below(rng, 1 << 16) if chance(rng, 0.5) else below(rng, 40))
    if chance(rng, 0.1):
        ring = 1 << 16
    size = 1 + below(rng, 256 if chance(rng, 0.4) else 20)
    address = number(rng, 32)
    if chance(rng, 0.3):  # across the end of a page
        address = number(rng, 20) << 12 | 4096 - 1 - below(rng, size + 8)
    word = below(rng, min(2 * ring, 1 << 16))
    if chance(rng, 0.3):  # across the end of the ring
        word = max(0, ring - 1 - below(rng, 4))
    return {
        "map": below(rng, 2),
        "word": word,
        "offset": address % 8,
        "bytes": size,
        "address": address,
        "ends_unit": below(rng, 2),
        "ring": ring,
    }


def _row_mover(rng: np.random.Generator) -> Vectors:
    port = Writes()
    row: dict[str, int] | None = None
    done, requested, strobe = 0, False, 0  # words of the row that are read; of the read before
    for n in range(6000):
        if row is None and chance(rng, 0.9):
            row = _row(rng)
        shown = row or _row(rng)
        count = (shown["offset"] + shown["bytes"] + 7) // 8
        inputs = (
            port.memory(rng, n)
            | {
                "stop": int(n % 150 > 145),
                "rst": chance(rng, 0.001),
                "clear": int(n % 300 == 299),
                "refuse": chance(rng, 0.1),
                "row_valid": int(row is not None),
                "read_data": number(rng, 64),
            }
            | {f"row_{name}": value for name, value in shown.items()}
        )
        expected = port.outputs(
            inputs
            | {
                "request_valid": row is not None and not requested,
                "address": shown["address"] // 8 * 8,
                "beats": count,
                "word_valid": row is not None,
            }
        )
        reads = row is not None and expected["word_ready"]
        ends = reads and done == count - 1
        moved = inputs | {
            "word_data": inputs["read_data"],
            "word_strobe": strobe,
            "request_valid": row is not None and not requested,
        }
        requested = requested or bool(expected["request_ready"])
        expected = {name: value for name, value in expected.items() if name not in Writes.INSIDE}
        expected |= {"read_enable": reads, "row_ready": ends, "unit_sent": ends and shown["ends_unit"]}
        if reads:
            expected |= {"read_map": shown["map"], "read_word": (shown["word"] + done) % shown["ring"]}
            strobe = sum(
                1 << byte - 8 * done
                for byte in range(shown["offset"], shown["offset"] + shown["bytes"])
                if byte // 8 == done
            )
        yield inputs, expected
        port.tick(moved)
        done += reads
        if ends or inputs["clear"] or inputs["rst"]:
            row, done, requested = None, 0, False


SUITES = (
    VectorSuite(
        "write_port_64",
        lambda: WritePort(data_bits=64),
        _write_port,
        zero=lambda: {"address": 7},
        small={"REQUEST_BITS": REQUEST_BITS},
        view="""
    legal = beats != 0;
    if (!awvalid) begin seen_awaddr = 0; seen_awlen = 0; end
    if (!asks) begin seen_asked_address = 0; seen_asks_nothing = 0; end
    if (!wvalid) begin seen_wdata = 0; seen_wstrb = 0; seen_wlast = 0; end
    if (!error) seen_error_address = 0;""",
    ),
    VectorSuite("row_mover", FinishedRowMover, _row_mover, view="    legal = row_bytes != 0;"),
)
