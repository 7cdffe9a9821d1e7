"""Vectors for counters, buffers and windows."""

from __future__ import annotations

from itertools import product

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number
from rtl.bus.window import Window
from rtl.control.counters import COUNTERS, Counters
from rtl.control.entry_counter import EntryCounter
from rtl.control.watchdog import Watchdog
from rtl.weights.beat_buffer import BeatBuffer


def _entry_counter(rng: np.random.Generator) -> Vectors:
    depth = 8
    legal = [e for e in product(range(1, depth + 1), repeat=4) if np.prod(e) <= depth]
    for n in rng.permutation(len(legal)):
        a, b, u, d = legal[n]
        chunk = {"a": a, "b": b, "u": u, "d": d}
        entries = list(product(range(d), range(b), range(u), range(a)))
        e = 0
        # Once around and a bit; the reset puts the next chunk at entry 0.
        for step in (*(chance(rng, 0.7) for _ in range(a * b * u * d + 3)), None):
            q, r, k, s = entries[e]
            expected = {
                "entry": e,
                "sub": k,
                "word": s,
                "vector": k == s == 0,
                "first": q == r == k == 0,
                "last": (q, r, k) == (d - 1, b - 1, u - 1),
                "group_tail": r == b - 1,
                "column_tail": s == a - 1,
                "complete": e == len(entries) - 1,
            }
            yield chunk | {"step": 1 if step is None else step, "rst": step is None}, expected
            e = 0 if step is None else (e + step) % len(entries)


def _beat_buffer(rng: np.random.Generator) -> Vectors:
    port, row_bits, capacity = 8, 13, 64
    stream = fill = 0
    for n in range(700):
        # A beat is taken while two have room; fast and slow phases fill and empty the ring.
        ready = fill <= capacity - 2 * port
        fast = n // 60 % 2
        write, beat = int(ready and chance(rng, 0.9 if fast else 0.4)), number(rng, port)
        width = int(rng.integers(0, row_bits + 1))
        consume = int(fill >= width and chance(rng, 0.3 if fast else 0.9))
        clear, reset = chance(rng, 0.02), chance(rng, 0.01)
        shown = (1 << min(fill, row_bits)) - 1
        yield (
            {"rst": reset, "clear": clear, "write": write, "data": beat, "consume": consume, "width": width},
            {"ready": ready, "fill": fill, "row": (stream & shown, shown)},
        )
        if write:
            stream |= beat << fill
            fill += port
        if consume:
            stream >>= width
            fill -= width
        if clear or reset:
            stream = fill = 0


def _counters(rng: np.random.Generator) -> Vectors:
    width = 6
    counts = [0] * len(COUNTERS)
    for n in range(600):
        clear, reset, events = int(n % 150 == 140), chance(rng, 0.005), number(rng, len(COUNTERS))
        yield (
            {"clear": clear, "rst": reset, "events": events},
            {f"count_{name}": count for name, count in zip(COUNTERS, counts, strict=True)},
        )
        counts = [
            0 if clear or reset else (count + (events >> i & 1)) % (1 << width)
            for i, count in enumerate(counts)
        ]


_EXTENTS = """
    legal = a != 0 && b != 0 && u != 0 && d != 0 && a <= 8 && b <= 8 && u <= 8 && d <= 8
            && {4'b0, a} * b <= 8'd8 && {4'b0, a} * b * u <= 8'd8 && {4'b0, a} * b * u * d <= 8'd8
            && (fresh || was_rst || was_step && was_complete || {a, b, u, d} == {was_a, was_b, was_u, was_d});
"""
_BUFFER = """
    legal = (ready || !write) && width <= 13 && (!consume || width <= fill);
    seen_row = fill < 13 ? row & ~(13'h1fff << fill) : row;
"""


def _watchdog(rng: np.random.Generator) -> Vectors:
    idle, limit, expired = 0, 0, False
    for n in range(1200):
        if not n % 20:
            limit = below(rng, 14)
        progress, reset = chance(rng, 0.1), chance(rng, 0.02)
        watches = int(n % 20 != 0 and not chance(rng, 0.02))
        idles = watches and not progress
        inputs = {"watches": watches, "progress": progress, "limit": limit, "rst": reset}
        yield inputs, {"expired": expired}
        expired = bool(idles and idle + 1 == limit and not reset)
        idle = idle + 1 if idles and not reset else 0


def _window(rng: np.random.Generator) -> Vectors:
    for _ in range(600):
        pages, base = number(rng, 20), number(rng, 28)
        if chance(rng, 0.1):
            pages = 1 << 28
        page = min(max(0, pages - 2 + below(rng, 4)), (1 << 20) - 1) if chance(rng, 0.6) else number(rng, 20)
        address = page << 12 | 8 * below(rng, 512) | (1 << below(rng, 3) if chance(rng, 0.2) else 0)
        asks, nothing, burst = chance(rng, 0.8), chance(rng, 0.1), number(rng, 32)
        refuse = asks and (address // 4096 >= pages or address % 8 != 0 or nothing)
        inputs = {
            "base": base,
            "pages": pages,
            "asks": asks,
            "asked_address": address,
            "asks_nothing": nothing,
        }
        yield (
            inputs | {"burst_address": burst},
            {"refuse": bool(refuse), "bus_address": (4096 * base + burst) % (1 << 40)},
        )


SUITES = (
    VectorSuite("window_64", lambda: Window(data_bits=64, address_bits=40), _window),
    VectorSuite("watchdog", Watchdog, _watchdog, small={"LIMIT_BITS": 4}),
    VectorSuite("entry_counter", lambda: EntryCounter(depth=8), _entry_counter, view=_EXTENTS),
    VectorSuite(
        "beat_buffer",
        lambda: BeatBuffer(port_bits=8, ring_bits=16, rows=4, row_bits=13),
        _beat_buffer,
        view=_BUFFER,
    ),
    VectorSuite("counters", lambda: Counters(width=6), _counters),
)
