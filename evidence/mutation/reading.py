"""Vectors for what fetches tiles and weights."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np
from amaranth.lib.data import StructLayout

from evidence.mutation.bus import Reads
from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number
from rtl import packets
from rtl.bus.tile_mover import TileMover
from rtl.bus.weight_port import WeightPort
from rtl.geometry import Geometry
from sim.accelerator import load

_ACC = load("ews-4", {"wrf_depth": 4, "codebook_entries": 16, "dma_setup": 3})
_WORD_ADDRESS_BITS, _CREDIT_BITS = 6, 3
_MOST_CREDITS = 7


def _shown(expected: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in expected.items() if name not in Reads.INSIDE}


def _transfer(rng: np.random.Generator, word_bits: int) -> dict[str, int]:
    """Few words, or many in one direction; they fit into L1."""
    sizes = {name: 1 + below(rng, limit) for name, limit in (("beats", 10), ("lines", 3), ("planes", 2))}
    if chance(rng, 0.4):
        many = ("beats", "lines", "planes")[below(rng, 3)]
        sizes = dict.fromkeys(sizes, 1) | {many: 1 + below(rng, (1 << word_bits) - 1)}
    if chance(rng, 0.35):
        sizes = dict.fromkeys(sizes, 0)
    return sizes | {
        "address": number(rng, 32) & ~7,
        "line_stride": number(rng, 32) & ~7,
        "plane_stride": number(rng, 32) & ~7,
        "to": number(rng, word_bits),
    }


def _below_a_word(layout: StructLayout) -> int:
    """The bits of addresses and strides in a tile packet that are 0: everything lies in words."""
    fields = [field for name, field in layout if name.endswith(("_address", "_stride"))]
    return sum(packets.WORD_BITS // 8 - 1 << field.offset for field in fields)


def _packed(layout: StructLayout, values: dict[str, int]) -> int:
    return sum(
        (value & (1 << layout[name].width) - 1) << layout[name].offset for name, value in values.items()
    )


class _Tiles:
    """The tile mover, from the visit at hand to the words of L1."""

    def __init__(self, setup: int) -> None:
        self.setup = setup
        self.port = Reads(8)
        self.reset()

    def reset(self) -> None:
        self.transfers: deque[tuple[int, dict[str, int]]] = deque()  # of the visit at hand, with their groups
        self.begun, self.credits, self.resident = False, 0, 0
        self.wait = self.missing = self.word = 0
        self.runs: deque[int] = deque()

    def _begin_transfer(self) -> None:
        _, transfer = self.transfers[0]
        self.wait = self.setup
        self.runs = deque(
            (transfer["address"] + plane * transfer["plane_stride"] + line * transfer["line_stride"])
            % (1 << 32)
            for plane in range(transfer["planes"])
            for line in range(transfer["lines"])
        )
        self.missing, self.word = len(self.runs) * transfer["beats"], transfer["to"]

    def cycle(
        self, inputs: dict[str, int], visit: dict[str, int], halves: list[dict[str, int]], word_bits: int
    ) -> tuple[dict[str, int], bool]:
        """Outputs, and whether the visit was taken; then the clock ticks."""
        moved = [(group, half) for group, half in enumerate(halves) if half["beats"]]
        request = inputs | {
            "request_valid": bool(self.runs) and self.wait == 0,
            "data_ready": 1,
            "room": 16,
            "address": self.runs[0] if self.runs else 0,
            "beats": self.transfers[0][1]["beats"] if self.transfers else 1,
        }
        found = self.port.outputs(request)
        arrives = bool(found["data_valid"])
        transfer_ends = arrives and self.missing == 1
        visit_ends = transfer_ends and len(self.transfers) == 1
        stays = self.resident - (1 if inputs["visit_end"] and self.resident else 0)
        free = not self.transfers or (visit_ends and bool(moved))
        allowed = (self.begun or inputs["begin"]) if visit["begins"] else stays < visit["buffers"]
        credited = not visit["wait"] or self.credits or inputs["maps_there"]
        starts = bool(inputs["tile_valid"] and free and allowed and credited and not inputs["clear"])
        outputs = _shown(found) | {
            "tile_ready": starts,
            "write_enable": arrives,
            "tile_there": visit_ends or (starts and not moved),
        }
        if arrives:
            outputs |= {
                "write_group": self.transfers[0][0],
                "write_word": self.word % (1 << word_bits),
                "write_data": inputs["rdata"],
            }
        self.port.tick(request)
        self.wait = max(0, self.wait - 1)
        if found["request_ready"]:
            self.runs.popleft()
        self.missing -= arrives
        self.word += arrives
        if transfer_ends:
            self.transfers.popleft()
            if self.transfers:
                self._begin_transfer()
        first = starts and visit["begins"]
        self.begun = (self.begun or bool(inputs["begin"])) and not first
        self.credits += inputs["maps_there"] - (starts and visit["wait"])
        self.resident = 1 if first else stays + starts
        if starts and moved:
            self.transfers = deque(moved)
            self._begin_transfer()
        if inputs["clear"] or inputs["rst"]:
            self.reset()
        return outputs, starts


def _tile_mover(rng: np.random.Generator) -> Vectors:
    word_bits = _WORD_ADDRESS_BITS
    layout = packets.tile(Geometry(_ACC))
    mover = _Tiles(_ACC.dma_setup)
    visit: dict[str, int] | None = None
    halves: list[dict[str, int]] = []
    for n in range(24000):
        if visit is None and chance(rng, 0.9):
            visit = {"begins": chance(rng, 0.3), "wait": chance(rng, 0.4), "buffers": 1 + below(rng, 2)}
            halves = [_transfer(rng, word_bits) for _ in range(2)]
        shown = visit or {"begins": below(rng, 2), "wait": below(rng, 2), "buffers": 1 + below(rng, 2)}
        if visit is None:
            halves = [_transfer(rng, word_bits) for _ in range(2)]
        fields = shown | {
            f"{name}_{field}": value
            for name, half in zip(("ifmap", "residual"), halves, strict=True)
            for field, value in half.items()
        }
        rich = n // 300 % 2
        inputs = mover.port.memory(rng, n) | {
            "stop": int(n % 150 > 145),
            "rst": chance(rng, 0.001),
            "clear": int(n % 400 == 399),
            "tile_valid": int(visit is not None),
            "tile_packet": _packed(layout, fields),
            "begin": chance(rng, 0.1),
            "visit_end": chance(rng, 0.1),
            "maps_there": int(mover.credits < _MOST_CREDITS and chance(rng, 0.3 if rich else 0.03)),
        }
        outputs, taken = mover.cycle(inputs, shown, halves, word_bits)
        yield inputs, outputs
        if taken or inputs["clear"] or inputs["rst"]:
            visit = None


def _weight_port(rng: np.random.Generator) -> Vectors:
    layout = packets.job(Geometry(_ACC))
    beat = _ACC.weight_port_bits // 8
    port = Reads(beat)
    jobs: deque[tuple[int, int]] = deque()  # packet, wait
    transfers: deque[tuple[int, int, int]] = deque()  # address, beats, wait
    pulses: list[deque[int]] = [deque(), deque()]  # not used by a request; by a packet
    buffer: deque[tuple[int, int]] = deque()  # beat, cycle in which it came
    reserved = 0
    offer: dict[str, int] | None = None
    for n in range(6000):
        if offer is None and chance(rng, 0.5):
            top = (1 << layout["beats"].width) - 1
            offer = {
                "wait": chance(rng, 0.4),
                "beats": 1 + below(rng, top),
                "address": number(rng, 32) & -beat,
            }
            if chance(rng, 0.6):
                offer["beats"] = 1 + below(rng, min(top, 8))
        fields = offer or {"wait": below(rng, 2), "beats": 1, "address": 0}
        noise = number(rng, layout.size)
        for name in fields:
            noise &= ~((1 << layout[name].width) - 1 << layout[name].offset)
        packet = noise | _packed(layout, fields)
        slow = n // 200 % 3 == 1
        request = bool(transfers) and (not transfers[0][2] or bool(pulses[0]))
        inputs = port.memory(rng, n) | {
            "stop": int(n % 150 > 145),
            "rst": chance(rng, 0.001),
            "clear": int(n % 500 == 499),
            "in_valid": int(offer is not None),
            "in_job": packet,
            "out_ready": chance(rng, 0.2 if slow else 0.8),
            "weights_there": int(max(map(len, pulses)) < _MOST_CREDITS and chance(rng, 0.2)),
            "weight_ready": chance(rng, 0.2 if slow else 0.9),
        }
        inner = inputs | {
            "request_valid": request,
            "data_ready": 1,
            "room": 32 - reserved,
            "address": transfers[0][0] if transfers else 0,
            "beats": transfers[0][1] if transfers else 1,
        }
        found = port.outputs(inner)
        ripe = bool(pulses[1]) and pulses[1][0] + 16 <= n
        job_there = bool(jobs) and (not jobs[0][1] or ripe)
        beat_there = bool(buffer) and buffer[0][1] + 2 <= n
        outputs = _shown(found) | {
            "in_ready": len(jobs) < 8 and len(transfers) < 8,
            "out_valid": job_there,
            "weight_valid": beat_there,
        }
        if job_there:
            outputs["out_job"] = jobs[0][0]
        if beat_there:
            outputs["weight_data"] = buffer[0][0]
        yield inputs, outputs
        port.tick(inner)
        if found["request_ready"] and transfers.popleft()[2]:
            pulses[0].popleft()
        if job_there and inputs["out_ready"] and jobs.popleft()[1]:
            pulses[1].popleft()
        if beat_there and inputs["weight_ready"]:
            buffer.popleft()
            reserved -= 1
        reserved += found["asked"]
        if found["data_valid"]:
            buffer.append((inputs["rdata"], n))
        if inputs["weights_there"]:
            for queue in pulses:
                queue.append(n)
        if offer and outputs["in_ready"]:
            jobs.append((packet, offer["wait"]))
            transfers.append((offer["address"], offer["beats"], offer["wait"]))
            offer = None
        if inputs["clear"] or inputs["rst"]:
            jobs.clear()
            transfers.clear()
            buffer.clear()
            pulses = [deque(), deque()]
            offer, reserved = None, 0


SUITES = (
    VectorSuite(
        "tile_mover",
        partial(TileMover, accelerator=_ACC),
        _tile_mover,
        zero=lambda: {"tile_packet": _below_a_word(packets.tile(Geometry(_ACC)))},
        small={"WORD_ADDRESS_BITS": _WORD_ADDRESS_BITS, "CREDIT_BITS": _CREDIT_BITS},
    ),
    VectorSuite(
        "weight_port",
        partial(WeightPort, accelerator=_ACC),
        _weight_port,
        view=None,
        small={"CREDIT_BITS": _CREDIT_BITS},
    ),
)
