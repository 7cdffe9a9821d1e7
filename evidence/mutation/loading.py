"""Vectors for the weight loader: jobs from beats to WRF words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from evidence.mutation.suite import Expected, Inputs, Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, pack, packet
from rtl import packets
from rtl.geometry import Geometry
from rtl.weights.loader import Loader
from sim.accelerator import Accelerator, preset


def _job(
    acc: Accelerator, rng: np.random.Generator
) -> tuple[dict[str, int], list[tuple[Expected, int, int]]]:
    """Fields, and for each row what is written (address within the bank), its weights and their bits."""
    serial, diagonal = chance(rng, 0.3), chance(rng, 0.4)
    f, room = {"serial": serial, "diagonal": diagonal}, acc.wrf_depth // (1 if serial else 2)
    for name in rng.permutation(["a", "b", "u", "d"]):
        f[str(name)] = extent(rng, room)
        room //= f[str(name)]
    f |= {"rows": 1 + below(rng, acc.rows), "rows_tail": 1 + below(rng, acc.rows)}
    columns = [1 + below(rng, acc.columns) for _ in range(2)]
    if diagonal:
        outputs = [n for n in range(1, acc.columns + 1) if acc.columns % n == 0][below(rng, 3)]
        inputs = 1 + below(rng, acc.rows // (acc.columns // outputs))
        f |= {
            "block_inputs": inputs,
            "block_outputs": outputs,
            "rows": inputs * (1 + below(rng, acc.columns // outputs)),
            "rows_tail": inputs * (1 + below(rng, acc.columns // outputs)),
        }
        columns = [outputs, outputs]
    f |= {"row_bits": 8 * columns[0], "row_bits_tail": 8 * columns[1]}
    rows: list[tuple[Expected, int, int]] = []
    extents = product(range(f["d"]), range(f["b"]), range(f["u"]), range(f["a"]))
    for entry, (_, r, _, s) in enumerate(extents):
        width = columns[s == f["a"] - 1]
        used = f["rows_tail" if r == f["b"] - 1 else "rows"]
        for h in range(used):
            enable = 1 << h if h else 1 | (1 << acc.rows) - (1 << used)
            weights = [below(rng, 256) for _ in range(width)]
            written = pack(weights, 8), (1 << 8 * width) - 1
            if diagonal:
                written = written[0] << h // f["block_inputs"] * width * 8, (1 << 8 * acc.columns) - 1
            rows.append(
                (
                    {"write_enable": enable, "write_address": entry, "write_data": written},
                    pack(weights, 8),
                    8 * width,
                )
            )
    f["beats"] = -(-sum(bits for _, _, bits in rows) // acc.weight_port_bits)
    return f, rows


@dataclass
class _Banks:
    """Banks that a job claimed, and what they hold."""

    numbers: list[int]
    state: str = "loading"  # then "full", then "taken"


class _Loader:
    """One job after the other: beats into the buffer, rows out of it into the WRF.

    Attributes:
        turn: bank of the next job.
        numbers: banks of this one.
        loading: at work; `last`: the last row is written in this cycle; `over`: the job is, or was given up.
        sent: beats; `fill`: bits that wait; `at`: rows that were looked up.
        writes: what goes into the WRF in this cycle.
    """

    def __init__(self, acc: Accelerator) -> None:
        self.acc = acc
        geometry = Geometry(acc)
        self.capacity = geometry.buffer_row_bits * geometry.buffer_rows
        self.reset()

    def reset(self) -> None:
        self.claims: list[_Banks] = []
        self.turn = 0

    def begin(self, f: dict[str, int], rows: list[tuple[Expected, int, int]]) -> None:
        """Another job, once it is offered."""
        self.f, self.rows = f, rows
        self.numbers = [0, 1] if f["serial"] else [self.turn]
        self.loading = self.last = self.over = False
        self.sent = self.fill = self.at = 0
        self.writes: Expected = {}

    @property
    def free(self) -> bool:
        """Whether no job has the banks."""
        return not any(n in claim.numbers for claim in self.claims for n in self.numbers)

    def ready(self, offered: int) -> int:
        """For a beat."""
        wants = self._begins(offered) or (self.loading and self.sent < self.f["beats"])
        return int(wants and self.fill <= self.capacity - 2 * self.acc.weight_port_bits)

    def _begins(self, offered: int) -> bool:
        return bool(offered and self.free and not self.loading)

    def in_state(self, state: str) -> list[_Banks]:
        return [claim for claim in self.claims if claim.state == state]

    def outputs(self, inputs: Inputs) -> Expected:
        ready = self.ready(inputs["job_valid"])
        return {
            "idle": not self.loading,
            "weight_ready": ready,
            "beat_accepted": ready and inputs["weight_valid"],
            "job_written": self.last,
            "row_written": bool(self.writes),
            "again": 0,
            "write_enable": 0,
            "full": sum(1 << claim.numbers[0] for claim in self.in_state("full")),
            **({"job_ready": self.free} if inputs["job_valid"] else {}),
            **self.writes,
        }

    def clock(self, inputs: Inputs, takes: list[_Banks], retires: list[_Banks]) -> None:
        """`takes`, `retires`: of the banks of other jobs."""
        if inputs["rst"]:
            self.reset()
            self.over = True
            return
        accepted = inputs["weight_valid"] and self.ready(inputs["job_valid"])
        begins, was_last = self._begins(inputs["job_valid"]), self.last
        self._look_up()
        self.claims = [claim for claim in self.claims if claim not in retires]
        for claim in takes:
            claim.state = "taken"
        if begins:
            self.loading = True
            self.claims.append(_Banks(self.numbers))
        self.sent += accepted
        self.fill += accepted * self.acc.weight_port_bits
        if was_last:
            self.claims[-1].state = "full"
            self.turn = 0 if self.f["serial"] else 1 - self.numbers[0]
            self.over = True

    def _look_up(self) -> None:
        """The next row, once all of it is there, to be written in the next cycle."""
        self.writes = {}
        looks = self.loading and not self.last and self.fill >= self.rows[self.at][2]
        if looks:
            written, _, bits = self.rows[self.at]
            entry = written["write_address"]
            assert isinstance(entry, int)
            address = entry + self.numbers[0] * self.acc.wrf_depth // 2
            self.writes = dict(written) | {"write_address": address}
            self.fill -= bits
            self.at += 1
        self.last = looks and self.at == len(self.rows)


def _loader(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout, port = packets.job(Geometry(acc)), acc.weight_port_bits
    model = _Loader(acc)
    for episode in range(200):
        speed = (1.0, 0.9, 0.4)[episode % 3]
        f, rows = _job(acc, rng)
        word = packet(layout, rng, **f)
        stream = low = 0
        for _, value, bits in rows:
            stream |= value << low
            low += bits
        stream |= number(rng, port) << low
        given_up = below(rng, 60) if chance(rng, 0.1) else -1
        model.begin(f, rows)
        cycle = 0
        while not model.over:
            offered = int(not model.loading and chance(rng, speed))
            ready = model.ready(offered)
            accepted = int(ready and chance(rng, speed))
            valid = accepted or (not ready and chance(rng, speed))
            takes = [claim for claim in model.in_state("full") if chance(rng, 0.3)][:1]
            retires = [claim for claim in model.in_state("taken") if chance(rng, 0.2)][:1]
            inputs = {
                "weight_valid": valid,
                "rst": cycle == given_up,
                "job_valid": offered,
                "weight_data": stream >> port * model.sent & (1 << port) - 1
                if accepted
                else number(rng, port),
                "job": word if offered else number(rng, layout.size),
            }
            for name, chosen in (("take", takes), ("retire", retires)):
                serial = len(chosen[0].numbers) == 2 if chosen else chance(rng, 0.5)
                inputs |= {
                    name: len(chosen),
                    f"{name}_serial": serial,
                    f"{name}_bank": chosen[0].numbers[0] if chosen and not serial else below(rng, 2),
                }
            yield inputs, model.outputs(inputs)
            model.clock(inputs, takes, retires)
            cycle += 1


_TINY = preset("ews-4")
SUITES = (
    VectorSuite(
        "loader",
        partial(Loader, accelerator=_TINY),
        partial(_loader, _TINY),
        configuration="ews-4",
        view="    if (write_enable == 0) begin seen_write_address = 0; seen_write_data = 0; end",
    ),
)
