"""Vectors for the sequencer: every cycle of a layer as docs/timing.md counts it."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np

from evidence.mutation.suite import Expected, Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, packet
from rtl import packets
from rtl.control.sequencer import CAUSES, Sequencer
from rtl.geometry import Geometry
from sim.accelerator import Accelerator, preset


def _chunk(acc: Accelerator, rng: np.random.Generator, most_pixels: int, most_cycles: int) -> dict[str, int]:
    fields, room = {}, 1 if chance(rng, 0.1) else acc.wrf_depth
    for name in rng.permutation(["a", "b", "u", "d"]):
        fields[str(name)] = extent(rng, room)
        room //= fields[str(name)]
    width = extent(rng, most_pixels // fields["a"])
    cycles = {
        name: below(rng, most_cycles + 1) if chance(rng, 0.1) else below(rng, 12) * chance(rng, 0.6)
        for name in ("fetch_row", "fetch_in", "psum_read", "psum_write", "store")
    }
    return (
        fields
        | cycles
        | {
            "width": width,
            "pixels": width * extent(rng, most_pixels // fields["a"] // width),
            "rows": 1 + below(rng, acc.rows),
            "rows_tail": 1 + below(rng, acc.rows),
        }
        | {name: chance(rng, 0.4) for name in ("fence", "first", "last", "serial", "opens", "double")}
    )


def _tokens(acc: Accelerator, chunk: dict[str, int]) -> list[dict[str, int]]:
    """What every token of a pixel carries."""
    d, b, u, a = (chunk[name] for name in "dbua")
    return [
        {
            "vector": k == s == 0,
            "entry": entry,
            "rows": chunk["rows_tail"] if r == b - 1 else chunk["rows"],
            "word": s,
            "first": q == r == k == 0,
            "last": (q, r, k) == (d - 1, b - 1, u - 1),
        }
        for entry, (q, r, k, s) in enumerate(product(range(d), range(b), range(u), range(a)))
    ]


def _sequencer(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    geometry = Geometry(acc)
    layout, tag_layout = packets.chunk(geometry), geometry.tag
    limits = [(1 << layout[name].width) - 1 for name in ("pixels", "store")]
    loaded = waiting = 0  # units whose parameters are there; whose rows have not left
    turn = 0  # bank of the next chunk
    token: Expected = {"valid": 0}
    for layer in range(160):
        chunks = [_chunk(acc, rng, *limits) for _ in range(1 + below(rng, 5))]
        for n, chunk in enumerate(chunks):
            chunk["ends"] = n == len(chunks) - 1
        words = [packet(layout, rng, **chunk) for chunk in chunks]
        eager = (0.9, 0.5, 0.2)[layer % 3]
        leaves = eager / 3 if layer % 2 else 0.01  # so rarely that units wait for room
        given_up = below(rng, 200) if chance(rng, 0.1) else -1
        at = -1  # chunk at work; before the first one the layer has not begun
        current: dict[str, int] = {}
        tokens: list[dict[str, int]] = []
        bank = 0
        pixel, age, longest, demands = 0, -1, 0, dict[str, int]()  # age: cycles of the slot that have passed
        fence, cycle, head_there = 0, 0, False
        while at < len(chunks):
            following = chunks[at + 1] if at + 1 < len(chunks) else None
            head_there = head_there or (following is not None and bool(chance(rng, eager)))
            load = int(at < 0 and head_there and chance(rng, 0.5))
            full = sum(chance(rng, eager) << n for n in range(2))
            inputs = {
                "load": load,
                "chunk_valid": head_there,
                "full": full,
                "chunk": words[at + 1] if head_there else number(rng, layout.size),
                "ready": chance(rng, eager),
                "unit_loaded": int(loaded < 5 and chance(rng, eager / 3)),
                "unit_sent": int(waiting > 0 and chance(rng, leaves)),
                **{name: chance(rng, 0.5) for name in ("missing", "again", "tile_missing")},
            }
            expected = dict(token) | {
                "active": at >= 0,
                "settled": at < 0 and waiting == 0,
                "unit_there": loaded > 0,
            }
            token = {"valid": 0, "tag": (0, 1)}
            begins = issues = ends_chunk = over = False
            cause = ""
            if at >= 0:
                last_pixel = pixel == current["pixels"] - 1
                known = not last_pixel or current["ends"] or head_there
                room = waiting <= current["double"]
                if age < 0:
                    waits = (
                        ""
                        if pixel
                        else (
                            ("dma" if inputs["missing"] else "rom" if inputs["again"] else "weight")
                            if not full >> bank & 1
                            else "psum"
                            if cycle < fence
                            else "store"
                            if current["last"] and not room
                            else "dma"
                            if inputs["tile_missing"]
                            else "ifmap"
                            if not inputs["ready"]
                            else ""
                        )
                    )
                    may = pixel or (
                        full >> bank & 1
                        and cycle >= fence
                        and inputs["ready"]
                        and (not current["last"] or (room and loaded))
                    )
                    begins = bool(may and known)
                    cause = waits or "control"
                if begins:
                    age = 0
                    row_end = (pixel + 1) % current["width"] == 0
                    then = following if last_pixel else current
                    fetch = "fetch_row" if last_pixel or row_end else "fetch_in"
                    demands = {
                        "fetch": 0 if then is None else then[fetch],
                        "psum": current["psum_write"]
                        + (0 if then is None or (last_pixel and then["fence"]) else then["psum_read"]),
                        "store": current["store"],
                    }
                    longest = max(len(tokens), *demands.values())
                if age >= 0:
                    issues = age < len(tokens)
                    left = {name: max(0, demand - age) for name, demand in demands.items()}
                    top = max(left.values())
                    cause = (
                        "compute"
                        if issues
                        else next(
                            name
                            for demand, name in (("psum", "psum"), ("store", "store"), ("fetch", "ifmap"))
                            if left[demand] == top
                        )
                    )
                    over = age == longest - 1
                if issues:
                    one = tokens[age]
                    final = last_pixel and age == len(tokens) - 1
                    tag = packet(
                        tag_layout,
                        rng,
                        valid=1,
                        word=one["word"],
                        first=one["first"],
                        stored=one["first"] and not current["first"],
                        last=one["last"],
                        final=current["last"],
                        retire=final,
                        bank=bank,
                        serial=current["serial"],
                        address=pixel * current["a"] + one["word"],
                    )
                    token = {
                        "valid": 1,
                        "address": one["entry"] + bank * acc.wrf_depth // 2,
                        "lanes": (1 << one["rows"]) - 1,
                        "tag": tag,
                    }
                    if final and following is not None and following["fence"]:
                        fence = cycle + current["psum_write"] + following["psum_read"] + acc.latency
                    ends_chunk = bool(final and current["ends"])
            takes = begins and pixel == 0
            moves = bool(load or (over and last_pixel and following is not None))
            expected |= {
                "starts": begins,
                "take": takes,
                "request": bool(issues and tokens[age]["vector"]),
                "causes": 1 << CAUSES.index(cause) if cause else 0,
                "chunk_ready": moves,
                "visit_end": bool(moves and not load and following and following["opens"]),
            }
            if takes:
                expected |= {"take_bank": bank, "take_serial": current["serial"]}
            reset = cycle == given_up
            yield inputs | {"rst": reset}, expected
            unit_begins = int(takes and current["last"])
            loaded += inputs["unit_loaded"] - unit_begins
            waiting += unit_begins - inputs["unit_sent"]
            cycle += 1
            if reset:
                loaded = waiting = turn = 0
                token = {"valid": 0}
                break
            if age >= 0:
                age += 1
            if over:
                age, pixel = -1, pixel + 1
            if ends_chunk:
                break
            if moves:
                at, head_there, pixel, age = at + 1, False, 0, -1
                current, tokens = chunks[at], _tokens(acc, chunks[at])
                bank = 0 if current["serial"] else turn
                turn = 0 if current["serial"] else 1 - bank


_TINY = preset("ews-4")
SUITES = (
    VectorSuite(
        "sequencer",
        partial(Sequencer, accelerator=_TINY),
        partial(_sequencer, _TINY),
        view=None,
        small={"COUNT_BITS": 6, "DEMAND_BITS": 6},
    ),
)
