"""Vectors for the weight loader: jobs from beats to WRF words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count, product

import numpy as np

from evidence.mutation.suite import Expected, Vectors, VectorSuite
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
        for h in range(f["rows_tail" if r == f["b"] - 1 else "rows"]):
            weights = [below(rng, 256) for _ in range(width)]
            written = pack(weights, 8), (1 << 8 * width) - 1
            if diagonal:
                written = written[0] << h // f["block_inputs"] * width * 8, (1 << 8 * acc.columns) - 1
            rows.append(
                (
                    {"write_enable": 1 << h, "write_address": entry, "write_data": written},
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


def _loader(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    geometry = Geometry(acc)
    layout, port = packets.job(geometry), acc.weight_port_bits
    capacity = geometry.buffer_row_bits * geometry.buffer_rows
    claims: list[_Banks] = []
    turn = 0  # bank of the next job
    for episode in range(200):
        speed = (1.0, 0.9, 0.4)[episode % 3]
        f, rows = _job(acc, rng)
        word = packet(layout, rng, **f)
        stream = low = 0
        for _, value, bits in rows:
            stream |= value << low
            low += bits
        stream |= number(rng, port) << low
        numbers = [0, 1] if f["serial"] else [turn]
        given_up = below(rng, 60) if chance(rng, 0.1) else -1
        loading = last = False  # at work; the last row is written in this cycle
        sent = fill = at = 0  # beats, bits that wait, rows that were looked up
        writes: Expected = {}
        for cycle in count():
            offered = int(not loading and chance(rng, speed))
            free = not any(n in claim.numbers for claim in claims for n in numbers)
            begins = bool(offered and free and not loading)
            ready = int((begins or (loading and sent < f["beats"])) and fill <= capacity - 2 * port)
            accepted = int(ready and chance(rng, speed))
            valid = accepted or (not ready and chance(rng, speed))
            takes = [c for c in claims if c.state == "full" and chance(rng, 0.3)][:1]
            retires = [c for c in claims if c.state == "taken" and chance(rng, 0.2)][:1]
            reset = cycle == given_up
            inputs = {
                "weight_valid": valid,
                "rst": reset,
                "job_valid": offered,
                "weight_data": stream >> port * sent & (1 << port) - 1 if accepted else number(rng, port),
                "job": word if offered else number(rng, layout.size),
            }
            for name, chosen in (("take", takes), ("retire", retires)):
                serial = len(chosen[0].numbers) == 2 if chosen else chance(rng, 0.5)
                inputs |= {
                    name: len(chosen),
                    f"{name}_serial": serial,
                    f"{name}_bank": chosen[0].numbers[0] if chosen and not serial else below(rng, 2),
                }
            yield (
                inputs,
                {
                    "idle": not loading,
                    "weight_ready": ready,
                    "beat_accepted": accepted,
                    "job_written": last,
                    "row_written": bool(writes),
                    "again": 0,
                    "write_enable": 0,
                    "full": sum(1 << c.numbers[0] for c in claims if c.state == "full"),
                    **({"job_ready": free} if offered else {}),
                    **writes,
                },
            )
            if reset:
                claims, turn = [], 0
                break
            looks = loading and not last and fill >= rows[at][2]
            writes = {}
            if looks:
                written, _, bits = rows[at]
                entry = written["write_address"]
                assert isinstance(entry, int)
                writes = dict(written) | {"write_address": entry + numbers[0] * acc.wrf_depth // 2}
                fill -= bits
                at += 1
            claims = [c for c in claims if c not in retires]
            for claim in takes:
                claim.state = "taken"
            if begins:
                loading = True
                claims.append(_Banks(numbers))
            sent, fill = sent + accepted, fill + accepted * port
            if last:
                claims[-1].state = "full"
                turn = 0 if f["serial"] else 1 - numbers[0]
                break
            last = looks and at == len(rows)


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
