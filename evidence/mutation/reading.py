"""Vectors for what fetches tiles and weights."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np
from amaranth.lib.data import StructLayout

from evidence.mutation.bus import Reads
from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number, packet
from rtl import packets
from rtl.bus.tile_mover import TileMover
from rtl.bus.weight_port import WeightPort
from rtl.geometry import Geometry
from sim.accelerator import load

_ACC = load("ews-4", {"wrf_depth": 4, "codebook_entries": 16, "dma_setup": 3})
_BEAT = _ACC.weight_port_bits // 8
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
        self.loads = False  # the packet of a visit that has started is to be taken
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
        taken = self.loads or (starts and not moved)
        outputs = _shown(found) | {
            "tile_ready": taken,
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
        self.loads = bool(starts and moved)
        if self.loads:
            self.transfers = deque(moved)
            self._begin_transfer()
        if inputs["clear"] or inputs["rst"]:
            self.reset()
        return outputs, taken


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
            "refuse": chance(rng, 0.1),
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


class _Weights:
    """The weight port: jobs on their way to the loader, and the beats that they ask for.

    Attributes:
        jobs: packet, and whether it waits for a pulse.
        transfers: address, beats, and whether it waits.
        pulses: of `weights_there`, by the cycle in which they came: not used by a request; by a packet.
        buffer: beats, and the cycle in which each came; `reserved`: beats that it keeps room for.
    """

    def __init__(self) -> None:
        self.port = Reads(_BEAT)
        self.clear()

    def clear(self) -> None:
        self.jobs: deque[tuple[int, int]] = deque()
        self.transfers: deque[tuple[int, int, int]] = deque()
        self.pulses: list[deque[int]] = [deque(), deque()]
        self.buffer: deque[tuple[int, int]] = deque()
        self.reserved = 0

    def outputs(self, n: int, inputs: dict[str, int]) -> dict[str, int]:
        """Of cycle n."""
        address, beats, waits = self.transfers[0] if self.transfers else (0, 1, 0)
        self.asked = inputs | {
            "request_valid": bool(self.transfers) and (not waits or bool(self.pulses[0])),
            "data_ready": 1,
            "room": 32 - self.reserved,
            "address": address,
            "beats": beats,
        }
        self.found = self.port.outputs(self.asked)
        ripe = bool(self.pulses[1]) and self.pulses[1][0] + 16 <= n
        self.job_there = bool(self.jobs) and (not self.jobs[0][1] or ripe)
        self.beat_there = bool(self.buffer) and self.buffer[0][1] + 2 <= n
        self.ready = len(self.jobs) < 8 and len(self.transfers) < 8
        outputs = _shown(self.found) | {
            "in_ready": self.ready,
            "out_valid": self.job_there,
            "empty": not self.jobs,
            "weight_valid": self.beat_there,
        }
        if self.job_there:
            outputs["out_job"] = self.jobs[0][0]
        if self.beat_there:
            outputs["weight_data"] = self.buffer[0][0]
        return outputs

    def clock(self, n: int, inputs: dict[str, int], offer: dict[str, int] | None) -> None:
        """`offer`: fields of the packet at the input, if there is one."""
        self.port.tick(self.asked)
        if self.found["request_ready"] and self.transfers.popleft()[2]:
            self.pulses[0].popleft()
        if self.job_there and inputs["out_ready"] and self.jobs.popleft()[1]:
            self.pulses[1].popleft()
        if self.beat_there and inputs["weight_ready"]:
            self.buffer.popleft()
            self.reserved -= 1
        self.reserved += self.found["asked"]
        if self.found["data_valid"]:
            self.buffer.append((inputs["rdata"], n))
        if inputs["weights_there"]:
            for queue in self.pulses:
                queue.append(n)
        if offer and self.ready:
            self.jobs.append((inputs["in_job"], offer["wait"]))
            self.transfers.append((offer["address"], offer["beats"], offer["wait"]))
        if inputs["clear"] or inputs["rst"]:
            self.clear()


def _offer(layout: StructLayout, rng: np.random.Generator) -> dict[str, int]:
    """What the port reads of a packet."""
    most = (1 << layout["beats"].width) - 1
    wait, beats, address = chance(rng, 0.4), 1 + below(rng, most), number(rng, 32) & -_BEAT
    if chance(rng, 0.6):
        beats = 1 + below(rng, min(most, 8))
    return {"wait": wait, "beats": beats, "address": address}


def _weight_port(rng: np.random.Generator) -> Vectors:
    layout = packets.job(Geometry(_ACC))
    model = _Weights()
    offer: dict[str, int] | None = None
    for n in range(6000):
        if offer is None and chance(rng, 0.5):
            offer = _offer(layout, rng)
        fields = offer or {"wait": below(rng, 2), "beats": 1, "address": 0}
        slow = n // 200 % 3 == 1
        job = packet(layout, rng, **fields)
        inputs = model.port.memory(rng, n) | {
            "stop": int(n % 150 > 145),
            "rst": chance(rng, 0.001),
            "clear": int(n % 500 == 499),
            "refuse": chance(rng, 0.1),
            "in_valid": int(offer is not None),
            "in_job": job,
            "out_ready": chance(rng, 0.2 if slow else 0.8),
            "weights_there": int(max(map(len, model.pulses)) < _MOST_CREDITS and chance(rng, 0.2)),
            "weight_ready": chance(rng, 0.2 if slow else 0.9),
        }
        yield inputs, model.outputs(n, inputs)
        model.clock(n, inputs, offer)
        if model.ready or inputs["clear"] or inputs["rst"]:
            offer = None


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
