"""Vectors for what works on rows: weight rows on their way to the WRF, finished rows on theirs to L1."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, extent, number, pack, packet
from rtl import packets
from rtl.geometry import Geometry
from rtl.storer.finished_rows import FinishedRows
from rtl.storer.places import FinishedRowPlaces
from rtl.storer.pool_lines import LargestOfLines, PoolLines
from rtl.weights.group_counter import GroupCounter
from rtl.weights.row_words import RowWords
from sim.accelerator import Accelerator, preset

# ---- weights


def _entries(acc: Accelerator) -> list[tuple[int, int, int]]:
    """Extents of a group, inputs and outputs, and how many rows its entry has at most."""
    width = acc.codeword_length if acc.sparse_tile else acc.columns
    most = acc.multipliers_per_codeword if acc.sparse_tile else acc.columns
    return [
        (i, o, i * min(acc.rows // i, acc.columns // o))
        for i, o in product(range(1, acc.rows + 1), range(1, most + 1))
        if width % o == 0
    ]


def _group_counter(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    for inputs, outputs, rows in rng.permutation(_entries(acc)):
        row = 0
        # Twice around and a bit; the reset goes back to row 0 as well.
        for count in range(3 * rows + 2):
            column = row // inputs * outputs
            expected = {"lane": column}
            if acc.sparse_tile:
                expected = {
                    "lane": column // acc.codeword_length * acc.multipliers_per_codeword,
                    "base": column % acc.codeword_length,
                }
            reset, step = int(count == 3 * rows + 1), chance(rng, 0.8)
            restart = int(row == rows - 1 or chance(rng, 0.05))
            yield (
                {"inputs": inputs, "outputs": outputs, "step": step, "restart": restart, "rst": reset},
                expected,
            )
            if reset or (step and restart):
                row = 0
            elif step:
                row += 1


def _extents(acc: Accelerator) -> str:
    """Legal extents of `group_counter`; they stay while an entry lasts, which ends with its last row."""
    rows = " || ".join(
        f"inputs == {i} && outputs == {o} && (!step || restart || note < {rows - 1})"
        for i, o, rows in _entries(acc)
    )
    return f"""
    legal = ({rows}) && (fresh || was_rst || was_step && was_restart
                         || {{inputs, outputs}} == {{was_inputs, was_outputs}});
    next_note = rst || step && restart ? 0 : note + step;
"""


def _row_words(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    columns, length = acc.columns, acc.codeword_length
    lanes = acc.multipliers_per_codeword if acc.sparse_tile else 1
    width = columns // acc.split
    for _ in range(400):
        values, signs = rng.integers(0, 256, columns), number(rng, columns)
        diagonal, outputs, lane = chance(rng, 0.5), 1 + below(rng, columns), below(rng, width)
        raw, sub, base = int(diagonal or chance(rng, 0.5)), below(rng, acc.split), below(rng, length)
        inputs = {"values": pack(values, 8), "diagonal": diagonal, "outputs": outputs, "lane": lane}
        row = [int(v) for v in values]
        if acc.weights.signs:
            inputs["signs"] = 0 if diagonal else signs
            row = [-v if inputs["signs"] >> n & 1 else v for n, v in enumerate(row)]
        if diagonal:
            row = ([0] * lane + row[:outputs] + [0] * columns)[:width]
        if not acc.sparse_tile:
            yield inputs, {"words": pack(row, 8)}
            continue
        kept = [
            sorted(rng.choice(acc.group, acc.keep, replace=False) + first)
            for first in range(0, columns, acc.group)
        ]
        where = [int(n) for group in kept for n in group]
        inputs |= {"masks": sum(1 << n for n in where), "raw": raw, "sub": sub, "base": base}
        if not raw:
            words = [(row[n], n % length) for n in where]
        else:
            words = [
                (row[n], ((base if diagonal else 0) + sub * lanes + n % lanes) % length) for n in range(width)
            ]
        bits = (length - 1).bit_length()
        yield inputs, {"words": pack([place << 8 | value for value, place in words], 8 + bits)}


# ---- finished rows


def _pool_lines(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    """Lines of a map around those with which a window ends, from tile to tile."""
    layout = packets.stripe(Geometry(acc))
    for _ in range(150):
        step, shared = 1 + below(rng, 15), chance(rng, 0.5)
        left, fresh = below(rng, 16), chance(rng, 0.5)
        width, lines = 1 + below(rng, 5), 1 + below(rng, 20)
        if chance(rng, 0.15):
            width, lines = extent(rng, (1 << layout["width"].width) - 1), 2
        unit = packet(
            layout, rng, width=width, stride_y=step, pool_shared=shared, pool_left=left, pool_fresh=fresh
        )
        for pixel in range(lines * width):
            moves = 0
            expected = {"ends": int(left == 0), "fresh": int(fresh), "line_begin": int(pixel % width == 0)}
            while not moves:
                moves = chance(rng, 0.8)
                inputs = {"unit": unit, "step": moves, "unit_end": int(pixel == lines * width - 1), "rst": 0}
                yield inputs, expected
            if pixel % width == width - 1:
                fresh = left == 0 and not shared
                left = step - 1 if left == 0 else left - 1


def _largest(rng: np.random.Generator) -> Vectors:
    """Bytes near one another and at the limits."""
    kept = np.zeros(4, np.int8)
    wanted: dict[str, int] = {}
    for n in range(3000):
        row, near = rng.integers(-128, 128, (2, 4)).astype(np.int8)
        row = np.where(near > 40, kept, np.where(near < -90, np.int8(-128), row)).astype(np.int8)
        fresh, ends, after = chance(rng, 0.3), chance(rng, 0.4), rng.integers(-128, 128, 4).astype(np.int8)
        inputs = {"kept": _bytes(after), "row": _bytes(row), "fresh": fresh, "ends": ends}
        yield inputs, wanted if n > 1 else {}
        best = row if fresh else np.maximum(row, kept)
        wanted, kept = {"best": _bytes(best), "line": _bytes(row if ends else best)}, after


def _bytes(row: np.ndarray) -> int:
    return int.from_bytes(row.tobytes(), "little")


def _stripe(acc: Accelerator, rng: np.random.Generator) -> tuple[int, list[dict[str, int]]]:
    """A packet and its rows as docs/hardware.md and `rtl.packets` describe them."""
    layout = packets.stripe(Geometry(acc))
    kind = below(rng, 3)
    wide, ends, group = int(kind == 0 and chance(rng, 0.3)), chance(rng, 0.3), number(rng, 1)
    channel = number(rng, layout["channel"].width)
    count = extent(rng, (1 << layout["groups"].width) - 1 if kind else acc.wrf_depth)
    pixels = min(extent(rng, (1 << layout["pixels"].width) - 1), max(1, 300 // count))
    others = 1 + below(rng, 4)
    pitch = extent(rng, (1 << layout["to_pitch"].width) - 1)
    ring = pitch * extent(rng, (1 << layout["to"].width) // pitch)
    to = below(rng, ring)
    columns, tail = (1 + below(rng, acc.columns) for _ in range(2))
    fields = {
        "pass": kind,
        "wide": wide,
        "pool": 0,
        "ends": ends,
        "map": group,
        "a": others if kind else count,
        "groups": count if kind else others,
        "columns": columns,
        "columns_tail": tail,
        "pixels": pixels,
        "to": to,
        "to_pitch": pitch,
        "ring": ring,
        "channel": channel,
        "address": number(rng, 32),
        "stride": number(rng, 32),
        "width": below(rng, 9) if chance(rng, 0.8) else extent(rng, (1 << layout["width"].width) - 1),
        "line_step": number(rng, 32),
    }
    bits = packet(layout, rng, **fields)
    size = 4 if wide else 1
    step = acc.requant_lanes if kind else acc.columns * size
    rows = [_row(fields, n, count, step, size, 1 << layout["to"].width) for n in range(pixels * count)]
    # Some stripes are given up before their end.
    return bits, rows[: below(rng, len(rows)) + 1 if chance(rng, 0.15) else None]


def _row(f: dict[str, int], n: int, count: int, step: int, size: int, words: int) -> dict[str, int]:
    """Row n of a stripe of `count` rows a pixel, `step` bytes apart; L1 has `words`, values `size` bytes."""
    p, s = divmod(n, count)
    outputs = f["columns_tail"] if s == count - 1 else f["columns"]
    word, byte = (f["to"] + p * f["to_pitch"]) % f["ring"], f["channel"] + s * step
    stripe_end = n == f["pixels"] * count - 1
    ended = p // f["width"] if f["width"] else 0
    ahead = (p - ended) * f["stride"] + ended * f["line_step"]
    return {
        "columns": outputs,
        "offset": s * step,
        "to": f["to"],
        "to_pitch": f["to_pitch"],
        "pixels": f["pixels"],
        "s": s,
        "next": (s + 1) % count,
        "first_pixel": p == 0,
        "pixel_end": s == count - 1,
        "unit_end": stripe_end,
        "out_map": f["map"],
        "out_ring": f["ring"],
        "out_word": (word + byte // 8) % words,
        "out_offset": byte % 8,
        "out_bytes": outputs * size,
        "out_address": (f["address"] + ahead + byte) % (1 << 32),
        "out_ends_unit": stripe_end,
        "out_ends": stripe_end and f["ends"],
    }


_PLACES = ("columns", "offset", "first_pixel", "pixel_end", "unit_end")


def _row_places(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    for _ in range(120):
        stripe, rows = _stripe(acc, rng)
        placed, often = 0, below(rng, 2)
        for row in rows:
            step = 0
            written = often or chance(rng, 0.5)
            word = (row["to"] + placed * row["to_pitch"]) % row["out_ring"]
            while not step:
                step = chance(rng, 0.8)
                reset = int(step and row is rows[-1] and not row["unit_end"])
                yield (
                    {"unit": stripe, "pixels": row["pixels"], "written": written, "step": step, "rst": reset},
                    {name: row[name] for name in _PLACES}
                    | {"word": word, "following": row["next" if step else "s"]},
                )
            placed += row["pixel_end"] and written


def _row_entries(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layout = packets.stripe(Geometry(acc))
    most = (1 << layout["pixels"].width) - 1
    waiting = 0
    offered: list[dict[str, int]] = []  # and the one behind it
    for n in range(100):
        stripe, rows = _stripe(acc, rng)
        while rows:
            row = rows[0]
            handed = below(rng, 4) if chance(rng, 0.4 if n // 8 % 2 else 0.9) else 0
            if chance(rng, 0.03):
                handed = below(rng, acc.wrf_depth + 1)
            handed = min(handed, most - waiting)
            ready = chance(rng, 0.8)
            enters = int(len(offered) < 2 and waiting + handed > 0)
            expected: dict[str, int] = {
                "out_valid": len(offered) > 0,
                "left": int(enters and row["unit_end"]),
            }
            if offered:
                expected |= offered[0]
            reset = int(enters and len(rows) == 1 and not row["unit_end"])
            yield {"unit": stripe, "handed": handed, "out_ready": ready, "rst": reset}, expected
            waiting = 0 if reset else waiting + handed - enters
            offered = offered[ready:]
            if enters:
                offered.append({name: value for name, value in row.items() if name.startswith("out_")})
                rows.pop(0)
            if reset:
                offered = []


_SMALL = preset("ews-4")
# Fields of a packet are so small there that walks of 300 rows reach the ends of counters.
_WEIGHTS = (
    (GroupCounter, _group_counter, _extents, ("ews-8", "ews-cms-8")),
    (
        RowWords,
        _row_words,
        lambda acc: "    legal = outputs != 0 || !diagonal;",
        ("ews-4", "ssvq-4", "ews-cms-8"),
    ),
)
SUITES = (
    *(
        VectorSuite(
            block.kind,
            partial(block, accelerator=preset(name)),
            partial(vectors, preset(name)),
            configuration=name,
            view=view(preset(name)),
        )
        for block, vectors, view, names in _WEIGHTS
        for name in names
    ),
    VectorSuite(
        "row_places",
        partial(FinishedRowPlaces, accelerator=_SMALL),
        partial(_row_places, _SMALL),
        small={"COUNT_BITS": 6, "PIXEL_BITS": 6, "WORD_ADDRESS_BITS": 8, "BYTE_BITS": 8},
    ),
    VectorSuite(
        "pool_lines", partial(PoolLines, accelerator=_SMALL), partial(_pool_lines, _SMALL), view=None
    ),
    VectorSuite("largest_of_lines", partial(LargestOfLines, lanes=4), _largest, view=None),
    VectorSuite(
        "row_entries",
        partial(FinishedRows, accelerator=_SMALL),
        partial(_row_entries, _SMALL),
        small={"COUNT_BITS": 6, "PIXEL_BITS": 6},
    ),
)
