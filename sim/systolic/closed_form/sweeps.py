"""What all chunks of a full part take on one spatial tile, for many factors at once: sums of `demands` over a sweep.

Exact where the widths of weight rows are alike, and at least as much elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import numpy as np

from sim.systolic.candidates import Space
from sim.systolic.closed_form.demands import expected_lookups
from sim.systolic.schedule import Schedule
from sim.technology import off_chip

SUMS = ("tokens", "inside", "wrap", "load", "beats", "dram", "fence")
SWEEP = np.dtype(
    [(name, np.int64) for name in SUMS]
    + [(name, np.int64) for name in ("steps", "chunks", "psum", "first_load", "first_dram", "first_fetch")]
    + [
        (name, np.int64)
        for name in ("last_load", "last_tokens", "last_inside", "last_wrap", "last_store", "step_beats")
    ]
)
"""Of a sweep, by factors. Of a pixel: tokens, and lengths of slots inside a row and at its end. Of jobs: cycles of
loading, beats, cycles of DRAM. Of fences: cycles, if all are set; psum, what tells whether. steps over output groups,
chunks of each. first_, last_: of the first and the last chunk. step_beats: of the first step over output groups.
"""


class _Steps(NamedTuple):
    """Chunks of one kind of step over output groups and channel groups, by factors [n, 1] and kernel subset [n, K]."""

    times: np.ndarray
    A: np.ndarray
    rows: np.ndarray
    groups: np.ndarray
    vectors: np.ndarray
    bits: np.ndarray
    first_bits: np.ndarray
    lookups: float | np.ndarray
    first: np.ndarray
    last: np.ndarray


def sweeps(space: Space) -> np.ndarray:
    """SWEEP [n] of all factors of a space."""
    one, of = space.base, space.factors
    acc = one.accelerator
    found = np.zeros(len(of), SWEEP)
    trips_i = -(-one.output_groups // of["A"])
    trips = -(-one.channel_groups // of["B"]) * -(-one.positions // of["D"])
    last_A = one.output_groups - (trips_i - 1) * of["A"]
    found["steps"], found["chunks"], found["psum"] = trips_i, trips, last_A * one.psum_cycles(1)
    waits = trips_i * (acc.latency - 1) + 2 * one.output_groups * one.psum_cycles(1)
    found["fence"] = (trips - 1) * waits
    depths, fresh = _subsets(one, of["D"])
    every = np.arange(len(of))
    final = -(-one.positions // of["D"]) - 1
    for last_i, last_j, steps in _steps(one, of):
        chunk = _chunks(one, steps, depths, fresh)
        for name in SUMS[:-1]:
            found[name] += (steps.times * chunk[name]).sum(axis=1)
        if not last_i:
            found["step_beats"] += np.where(
                trips_i > 1, (steps.times * chunk["beats"]).sum(axis=1) // np.maximum(trips_i - 1, 1), 0
            )
        else:
            found["step_beats"] += np.where(trips_i == 1, (steps.times * chunk["beats"]).sum(axis=1), 0)
        begins = (trips_i == 1 if last_i else trips_i > 1) & steps.first[:, 0] & (steps.times[:, 0] > 0)
        for name, what in (("first_load", "load"), ("first_dram", "beats"), ("first_fetch", "fetch")):
            found[name] = np.where(begins, chunk[what][:, 0], found[name])
        if last_i and last_j:
            for name, what in (
                ("load",) * 2,
                ("tokens",) * 2,
                ("inside",) * 2,
                ("wrap",) * 2,
                ("store",) * 2,
            ):
                found[f"last_{name}"] = chunk[what][every, final]
    return found


def _subsets(one: Schedule, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel positions of each subset, 0 where there is none, and vectors fetched for them inside a row; [n, K]."""
    most = -(-one.positions // int(D.min()))
    table = np.zeros((int(D.max()) + 1, most, 2), np.int64)
    kx = one.shape.kernel[1]
    for depth in np.unique(D).tolist():
        for k, begin in enumerate(range(0, one.positions, depth)):
            end = min(begin + depth, one.positions)
            rows = [
                min(end, (y + 1) * kx) - max(begin, y * kx) for y in range(begin // kx, (end - 1) // kx + 1)
            ]
            new = [min(one.shape.stride[1], row) if one.reuses else row for row in rows]
            table[depth, k] = end - begin, sum(new)
    return table[D, :, 0], table[D, :, 1]


def _steps(one: Schedule, of: np.ndarray) -> Iterator[tuple[bool, bool, _Steps]]:
    """(last step over output groups, last one over channel groups, its chunks), of every kind of step."""
    acc = one.accelerator
    trips_i, trips_j = -(-one.output_groups // of["A"]), -(-one.channel_groups // of["B"])
    wide, narrow = one.row_bits(acc.columns), one.row_bits(one.columns_of(one.output_groups - 1, one.outputs))
    vector = one.fetch_cycles(0, 1, max(one.channels, acc.rows))
    tail_vector = one.fetch_cycles(one.channel_groups - 1, 1, one.channels)
    tail_A, tail_B = one.output_groups - (trips_i - 1) * of["A"], one.channel_groups - (trips_j - 1) * of["B"]
    tail_rows = one.channels - (trips_j - 1) * of["B"] * acc.rows
    wide_looks, narrow_looks = (
        _lookups(one, columns)
        for columns in (acc.columns, one.columns_of(one.output_groups - 1, one.outputs))
    )
    for last_i in (False, True):
        A = tail_A if last_i else of["A"]
        bits = A * wide - (wide - narrow) * last_i
        looks = A * wide_looks - (wide_looks - narrow_looks) * last_i
        first_bits = np.where((tail_A == 1) & last_i, narrow, wide)
        for kind in ("first", "middle", "last"):
            last_j = kind == "last"
            B = tail_B if last_j else of["B"]
            times = {
                "first": trips_j > 1,
                "middle": np.maximum(trips_j - 2, 0),
                "last": np.ones_like(trips_j),
            }
            yield (
                last_i,
                last_j,
                _Steps(
                    *(
                        np.asarray(field)[:, None]
                        for field in (
                            times[kind] * (1 if last_i else trips_i - 1),
                            A,
                            tail_rows if last_j else B * acc.rows,
                            B,
                            B * vector - (vector - tail_vector) * last_j,
                            bits,
                            first_bits,
                            looks,
                            (trips_j == 1) if last_j else np.full(len(of), kind == "first"),
                            np.full(len(of), last_j),
                        )
                    )
                ),
            )


def _lookups(one: Schedule, columns: int) -> float:
    """Expected cycles in which a ROM serves a row of so many columns; 0 without one."""
    acc = one.accelerator
    if not one.stream.universal:
        return 0.0
    return expected_lookups(-(-columns // acc.codeword_length), acc.rom_banks, acc.rom_ports)


def _chunks(one: Schedule, of: _Steps, depths: np.ndarray, fresh: np.ndarray) -> dict[str, np.ndarray]:
    """Of the chunks of a kind of step, by factors and kernel subset: what `SWEEP` sums, fetches and stores."""
    acc, (bits, _, row_bytes, row_cycles) = one.accelerator, off_chip(one.accelerator)
    there, k = depths > 0, np.arange(depths.shape[1])
    final = there & ~np.roll(there, -1, axis=1)
    final[:, -1] = there[:, -1]
    first, last = of.first & (k == 0), of.last & final
    psum = of.A * one.psum_cycles(1)
    read, write = np.where(first, 0, psum), np.where(last, 0, psum)
    psums = np.maximum(read, write) if acc.psum_ports == 2 else read + write
    tokens, store = of.A * of.groups * depths * one.split, np.where(last, of.A * one.store_cycles(1), 0)
    sent = one.stream.rows_sent(acc, of.rows) * depths * one.split
    beats = -(-sent * of.bits // acc.weight_port_bits)
    opened = -(-of.first_bits // acc.weight_port_bits) - 1
    load = np.maximum(beats, sent * of.A + opened) - 1 + acc.loader_stages
    if one.stream.universal:
        load = np.maximum(load, np.ceil(of.lookups * depths * of.rows).astype(int) + acc.loader_stages - 1)
    size = beats * acc.weight_port_bits // 8
    found = {
        "tokens": tokens,
        "inside": np.maximum.reduce([tokens, of.vectors * fresh, psums, store]),
        "wrap": np.maximum.reduce([tokens, of.vectors * depths, psums, store]),
        "load": load,
        "beats": beats,
        "dram": -(-size * 8 // bits) + -(-size // row_bytes) * row_cycles,
        "fetch": of.vectors * depths,
        "store": store,
    }
    return {name: np.where(there, value, 0) for name, value in found.items()}


def parts_alike(one: Schedule) -> int:
    """Parts that are full ones."""
    return one.parts - (one.tail_groups != one.packed)


def codebook_load(one: Schedule) -> int:
    """Cycles of the codebook job at least; 0 without one."""
    if not one.loads_codebook:
        return 0
    acc = one.accelerator
    bits = 8 * acc.codeword_length
    port = acc.weight_port_bits
    return (
        max(ceil(one.codewords * bits / port), one.codewords + ceil(bits / port) - 1) - 1 + acc.loader_stages
    )
