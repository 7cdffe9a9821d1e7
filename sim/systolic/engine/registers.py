"""The array and the PRF, register by register (docs/timing.md section 1).

Every register of the array, the tiles and the PRF of `rtl.array` has its value here in every cycle: operands
move right and psums move down by one tile a cycle, and each tile reads its WRF words in the cycle in which a
token enters it, so weights that change too early spoil the sums as they would in silicon. What a token's weights
give in a tile, summed over its rows, meets the psum `STAGES` cycles later; sparse tiles compute with the decoded
rows of the WRF, zeros where pruned, which gives the same psums. Psums inside the array have 32 bits here, more than
`16 + ceil(log2 H)`.

One cycle t of the caller:

    emitted = clock(registers, wrf, stored)    before anything is written in t
    ...                                        the loader writes the WRF
    issue(registers, ...)                      if a token issues in t

`clock` is the step from the state visible in t to the one visible in t+1. Delay lines (operand skew,
tags, column deskew) are rings: what a ring holds stays in place, and the cycle says how old it is.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from sim.systolic.engine.compiled import whole


class Tag(IntEnum):
    """What accompanies a token: the fields of `rtl.geometry.Geometry.tag` that matter here, the WRF address,
    how many columns carry meaning, and where a final row belongs."""

    VALID = 0
    ADDRESS = 1
    WORD = 2
    FIRST = 3
    STORED = 4
    LAST = 5
    FINAL = 6
    OUTPUT = 7
    COLUMNS = 8
    PLACE = 9


STAGES = 2
"""Registers in a tile between its WRF and its adders."""
TAG_FIELDS = len(Tag)  # Numba cannot ask an enumeration


class Registers(NamedTuple):
    """State of Rv x Rh tiles of TH x TL PEs and of the PRF; `n` is the number of cycles clocked.

    Attributes:
        cycle: int64 [1], n.
        tags: int64 [LAT, len(Tag)], ring; the tag of age k (0: at the array edge) is in row (n - k) mod LAT.
        skew: int8 [Rv, H], ring; the vector at the array edge k cycles ago is in row (n - k) mod Rv.
        valid, address: int64 [Rv, Rh], what each tile passes to its right.
        operand: int8 [Rv, Rh, TH], activations that each tile passes to its right.
        live: int64 [STAGES, Rv, Rh], ring; whether the products of n - k cycles ago are of a token.
        product: int32 [STAGES, Rv, L], ring; sums of products of the tile rows, on their way to the adders.
        psum: int32 [Rv + 1, L], row v + 1 is what tile row v passes down; row 0 is the constant 0 above.
        deskew: int32 [Rh, L], ring; row n mod Rh is complete with the psums of cycle n.
        asked: int32 [2, L], stored psums asked for in cycle n are in row n mod 2.
        prf: int32 [words, L].
        row: int32 [L], the psum row last accumulated.
        waiting, vectors: int64 [lag, fields] and int8 [lag, H], tokens on their way to the array edge.
    """

    cycle: np.ndarray
    tags: np.ndarray
    skew: np.ndarray
    valid: np.ndarray
    address: np.ndarray
    operand: np.ndarray
    live: np.ndarray
    product: np.ndarray
    psum: np.ndarray
    deskew: np.ndarray
    asked: np.ndarray
    prf: np.ndarray
    row: np.ndarray
    waiting: np.ndarray
    vectors: np.ndarray


@whole
def reset(rows, columns, tile_rows, tile_columns, prf_words, lag=0):
    """Registers of an H x L array after reset; those that the RTL does not reset are 0.

    Args:
        lag: cycles that a token takes from its issue to the array edge, beyond the first one.
    """
    down, right = rows // tile_rows, columns // tile_columns
    return Registers(
        cycle=np.zeros(1, np.int64),
        tags=np.zeros((down + right + 1 + STAGES, TAG_FIELDS), np.int64),
        skew=np.zeros((down, rows), np.int8),
        valid=np.zeros((down, right), np.int64),
        address=np.zeros((down, right), np.int64),
        operand=np.zeros((down, right, tile_rows), np.int8),
        live=np.zeros((STAGES, down, right), np.int64),
        product=np.zeros((STAGES, down, columns), np.int32),
        psum=np.zeros((down + 1, columns), np.int32),
        deskew=np.zeros((right, columns), np.int32),
        asked=np.zeros((2, columns), np.int32),
        prf=np.zeros((prf_words, columns), np.int32),
        row=np.zeros(columns, np.int32),
        waiting=np.zeros((lag, TAG_FIELDS), np.int64),
        vectors=np.zeros((lag, rows), np.int8),
    )


@whole
def issue(registers, address, word, first, stored, last, final, output, columns, vector, low, rows, place=0):
    """A token issues; it and its vector are at the array edge in the next cycle. Follows `clock`.

    Args:
        address: WRF address in all PEs, bank included.
        word: PRF word.
        first, stored: replaces the word, with 0 or with row `output` of the psum memory.
        last, final: emits its row; to row `output` of the psum memory unless final.
        output: psum address.
        columns: columns with meaning, for the caller.
        vector: int8 [>= low + rows], activations of array rows 0 .. rows - 1 from `low` on.
        rows: array rows that have a channel; the others multiply by 0.
        place: where a final row belongs, for the caller.
    """
    tags, skew = registers.tags, registers.skew
    if len(registers.waiting) > 0:
        tags, skew = registers.waiting, registers.vectors
    slot = registers.cycle[0] % len(tags)
    tags[slot, Tag.VALID] = 1
    tags[slot, Tag.ADDRESS] = address
    tags[slot, Tag.WORD] = word
    tags[slot, Tag.FIRST] = first
    tags[slot, Tag.STORED] = stored
    tags[slot, Tag.LAST] = last
    tags[slot, Tag.FINAL] = final
    tags[slot, Tag.OUTPUT] = output
    tags[slot, Tag.COLUMNS] = columns
    tags[slot, Tag.PLACE] = place
    slot = registers.cycle[0] % len(skew)
    for r in range(skew.shape[1]):
        skew[slot, r] = vector[low + r] if r < rows else 0


@whole
def clock(registers, wrf, stored):
    """One cycle of array and PRF.

    Args:
        registers: as visible in this cycle; become those of the next one.
        wrf: int8 [depth, H, L], as visible in this cycle.
        stored: int32 [addresses, L], the psum memory; read when asked for, and written in the cycle in
            which the row of a `last` token that is not `final` is visible.

    Returns:
        Which of `registers.tags` belongs to `registers.row`, if that row is visible from the next cycle
        on and its token is `last`; otherwise -1.
    """
    (
        cycle,
        tags,
        skew,
        valid,
        address,
        operand,
        live,
        product,
        psum,
        deskew,
        asked,
        prf,
        row,
        waiting,
        vectors,
    ) = registers
    now = cycle[0]
    # From the output to the input: each part reads what the part before it held in this cycle.
    _psum_memory(now, tags, asked, row, stored)
    _deskew(now, psum, deskew, valid.shape[1])
    emitted = _accumulate(now, tags, deskew, asked, prf, row)
    _shift(now, tags, skew, valid, address, operand)
    _add(now, live, product, psum)
    _multiply(now, valid, address, operand, live, product, wrf)
    _hold_edge(now, tags, skew)
    cycle[0] = now + 1
    _enter(now + 1, tags, skew, waiting, vectors)
    return emitted


@whole
def _enter(now, tags, skew, waiting, vectors):
    """The token that has waited for as many cycles as there are places comes to the array edge."""
    if len(waiting) == 0 or not waiting[now % len(waiting), Tag.VALID]:
        return
    place, edge = now % len(waiting), now % len(tags)
    for n in range(tags.shape[1]):
        tags[edge, n] = waiting[place, n]
    waiting[place, Tag.VALID] = 0
    edge = now % len(skew)
    for r in range(skew.shape[1]):
        skew[edge, r] = vectors[place, r]


@whole
def _psum_memory(now, tags, asked, row, stored):
    """Asked one cycle ahead of the PRF, written one cycle behind it."""
    latency = len(tags)
    ahead, behind = (now - latency + 3) % latency, (now + 1) % latency
    if tags[ahead, Tag.VALID] and tags[ahead, Tag.STORED]:
        into, output = now % 2, tags[ahead, Tag.OUTPUT]
        for c in range(len(row)):
            asked[into, c] = stored[output, c]
    if tags[behind, Tag.VALID] and tags[behind, Tag.LAST] and not tags[behind, Tag.FINAL]:
        output = tags[behind, Tag.OUTPUT]
        for c in range(len(row)):
            stored[output, c] = row[c]


@whole
def _deskew(now, psum, deskew, right):
    """Psums that leave tile column h join the row that is complete Rh - 1 - h cycles later."""
    down, tile_columns = len(psum) - 1, psum.shape[1] // right
    for h in range(right):
        row = (now + right - 1 - h) % right
        for c in range(h * tile_columns, (h + 1) * tile_columns):
            deskew[row, c] = psum[down, c]


@whole
def _accumulate(now, tags, deskew, asked, prf, row):
    """The PRF and its adders; returns what `clock` returns."""
    slot = (now + 2) % len(tags)
    if not tags[slot, Tag.VALID]:
        return -1
    word, sums, start = tags[slot, Tag.WORD], now % len(deskew), (now - 1) % 2
    first, stored = tags[slot, Tag.FIRST], tags[slot, Tag.STORED]
    for c in range(len(row)):
        before = (asked[start, c] if stored else 0) if first else prf[word, c]
        row[c] = before + deskew[sums, c]
        prf[word, c] = row[c]
    return slot if tags[slot, Tag.LAST] else -1


@whole
def _shift(now, tags, skew, valid, address, operand):
    """Tokens move one tile to the right; a tile without one holds its operands."""
    down, right, tile_rows = operand.shape
    for v in range(down):
        for h in range(right - 1, 0, -1):
            valid[v, h] = valid[v, h - 1]
            if valid[v, h]:
                address[v, h] = address[v, h - 1]
                for r in range(tile_rows):
                    operand[v, h, r] = operand[v, h - 1, r]
        edge = (now - v) % len(tags)
        valid[v, 0] = tags[edge, Tag.VALID]
        if valid[v, 0]:
            address[v, 0] = tags[edge, Tag.ADDRESS]
            edge = (now - v) % down
            for r in range(tile_rows):
                operand[v, 0, r] = skew[edge, v * tile_rows + r]


@whole
def _add(now, live, product, psum):
    """Psums move one tile down; on the way each tile adds the products of STAGES cycles ago.

    From the lowest tiles up, since each reads what the tile above passed down before.
    """
    slot, down, right = now % len(live), product.shape[1], live.shape[2]
    columns = product.shape[2] // right
    for v in range(down - 1, -1, -1):
        for h in range(right):
            if live[slot, v, h]:
                for c in range(h * columns, (h + 1) * columns):
                    psum[v + 1, c] = psum[v, c] + product[slot, v, c]


@whole
def _multiply(now, valid, address, operand, live, product, wrf):
    """A tile multiplies what it has just been passed: with a token, that is also what it passes on.

    Indices are unsigned, which spares Numba the test for negative ones.
    """
    slot, right = np.uint64(now % len(live)), operand.shape[1]
    tile_rows, tile_columns = np.uint64(operand.shape[2]), np.uint64(product.shape[2] // right)
    for v in range(len(operand)):
        for h in range(right):
            live[slot, v, h] = valid[v, h]
            if valid[v, h]:
                low = np.uint64(h) * tile_columns
                sums = product[slot, v]
                for c in range(tile_columns):
                    sums[low + c] = 0
                _add_products(
                    sums,
                    operand,
                    np.uint64(v),
                    np.uint64(h),
                    wrf,
                    np.uint64(address[v, h]),
                    tile_rows,
                    tile_columns,
                )


@whole
def _add_products(sums, operand, v, h, wrf, word, rows, columns):
    """One tile: sums[low:] += operand[v, h] @ wrf[word, top:, low:], four rows at a time."""
    top, low, r = v * rows, h * columns, np.uint64(0)
    while r + np.uint64(4) <= rows:
        r1, r2, r3 = r + np.uint64(1), r + np.uint64(2), r + np.uint64(3)
        x0, x1 = np.int32(operand[v, h, r]), np.int32(operand[v, h, r1])
        x2, x3 = np.int32(operand[v, h, r2]), np.int32(operand[v, h, r3])
        for c in range(columns):
            sums[low + c] += (
                x0 * np.int32(wrf[word, top + r, low + c])
                + x1 * np.int32(wrf[word, top + r1, low + c])
                + x2 * np.int32(wrf[word, top + r2, low + c])
                + x3 * np.int32(wrf[word, top + r3, low + c])
            )
        r += np.uint64(4)
    while r < rows:
        x0 = np.int32(operand[v, h, r])
        for c in range(columns):
            sums[low + c] += x0 * np.int32(wrf[word, top + r, low + c])
        r += np.uint64(1)


@whole
def _hold_edge(now, tags, skew):
    """The array edge keeps its vector; without an `issue` it carries no token."""
    slot, following = now % len(tags), (now + 1) % len(tags)
    for n in range(tags.shape[1]):
        tags[following, n] = tags[slot, n]
    tags[following, Tag.VALID] = 0
    slot, following = now % len(skew), (now + 1) % len(skew)
    for r in range(skew.shape[1]):
        skew[following, r] = skew[slot, r]


@whole
def show(registers, n, waves):
    """What is visible in cycle n of the window of `waves` (`sim.systolic.engine.state.Waves`)."""
    waves.valid[n] = registers.valid
    waves.address[n] = registers.address
    waves.operand[n] = registers.operand
    waves.psum[n] = registers.psum[1:]
    right = len(registers.deskew)
    waves.sums[n] = registers.deskew[registers.cycle[0] % right]
    last = waves.sums.shape[1] // right * (right - 1)
    waves.sums[n, last:] = registers.psum[-1, last:]  # of the last tile column, which nothing delays
    waves.row[n] = registers.row


def snapshot(registers: Registers) -> dict[str, np.ndarray]:
    """Copies of all registers as visible in cycle n, delay lines in order of age.

    Returns:
        valid: bool [Rv, Rh], address: int64 [Rv, Rh], operand: int8 [Rv, Rh, TH],
            psum: int32 [Rv, Rh, TL]: the registers of tile (v, h).
        skew: int8 [Rv, Rv, TH]: [v, k] is the vector slice k cycles behind the edge on its way to tile
            row v, k <= v; [v, 0] is the edge, [v, v] what tile (v, 0) sees; 0 where k > v.
        deskew: int32 [Rh, Rh, TL]: [h, k] has left tile column h k cycles ago, k <= Rh - 1 - h;
            [h, 0] is the psum register of the lowest tile, [h, Rh - 1 - h] in the row for the PRF.
        tag_...: int64 [LAT], one for each Tag: [0] at the edge, [LAT - 2] at the PRF,
            [LAT - 1] beside `row`.
        asked: int32 [L], the stored psums that the PRF sees.
        prf: int32 [words, L]; row: int32 [L].
    """
    now = int(registers.cycle[0])
    down, right, tile_rows = registers.operand.shape
    columns = len(registers.row)
    psum = registers.psum[1:].reshape(down, right, columns // right).copy()
    skew = np.zeros((down, down, tile_rows), np.int8)
    for v in range(down):
        for k in range(v + 1):
            skew[v, k] = registers.skew[(now - k) % down, v * tile_rows : (v + 1) * tile_rows]
    deskew = np.zeros((right, right, columns // right), np.int32)
    for h in range(right):
        deskew[h, 0] = psum[-1, h]
        for k in range(1, right - h):
            deskew[h, k] = registers.deskew.reshape(right, right, -1)[(now - k + right - 1 - h) % right, h]
    ages = (now - np.arange(len(registers.tags))) % len(registers.tags)
    tags = {f"tag_{tag.name.lower()}": registers.tags[ages, tag] for tag in Tag}
    return {
        "valid": registers.valid.astype(bool),
        "address": registers.address.copy(),
        "operand": registers.operand.copy(),
        "psum": psum,
        "skew": skew,
        "deskew": deskew,
        "asked": registers.asked[(now - 1) % 2].copy(),
        "prf": registers.prf.copy(),
        "row": registers.row.copy(),
        **tags,
    }
