"""The array and the PRF, register by register (docs/timing.md section 1).

Every register of `rtl.array`, `rtl.tile` and `rtl.prf` has its value here in every cycle: operands move
right and psums move down by one tile a cycle, and each tile reads its WRF words in the cycle in which it
uses them, so weights that change too early spoil the sums as they would in silicon. A tile is
combinational inside; sparse tiles compute with the decoded rows of the WRF, zeros where pruned, which
gives the same psums. Psums inside the array have 32 bits here, more than `16 + ceil(log2 H)`.

One cycle t of the caller:

    emitted = clock(registers, wrf, stored)    before anything is written in t
    ...                                        the loader writes the WRF
    issue(registers, ...)                      if a token issues in t

`clock` is the step from the state visible in t to the one visible in t+1. Delay lines (operand skew,
tags, column deskew) are rings: what a ring holds stays in place, and the cycle says how old it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

# What accompanies a token: the fields of `rtl.geometry.Geometry.tag` that matter here, the WRF address,
# and how many columns carry meaning.
TAG = ("valid", "address", "word", "first", "stored", "last", "final", "output", "columns")
VALID, ADDRESS, WORD, FIRST, STORED, LAST, FINAL, OUTPUT, COLUMNS = range(len(TAG))


class Registers(NamedTuple):
    """State of Rv x Rh tiles of TH x TL PEs and of the PRF; `n` is the number of cycles clocked.

    Attributes:
        cycle: int64 [1], n.
        tags: int64 [LAT, len(TAG)], ring; the tag of age k (0: at the array edge) is in row (n - k) mod LAT.
        skew: int8 [Rv, H], ring; the vector at the array edge k cycles ago is in row (n - k) mod Rv.
        valid, address: int64 [Rv, Rh], what each tile passes to its right.
        operand: int8 [Rv, Rh, TH], activations that each tile passes to its right.
        psum: int32 [Rv + 1, L], row v + 1 is what tile row v passes down; row 0 is the constant 0 above.
        deskew: int32 [Rh, L], ring; row n mod Rh is complete with the psums of cycle n.
        asked: int32 [2, L], stored psums asked for in cycle n are in row n mod 2.
        prf: int32 [words, L].
        row: int32 [L], the psum row last accumulated.
    """

    cycle: np.ndarray
    tags: np.ndarray
    skew: np.ndarray
    valid: np.ndarray
    address: np.ndarray
    operand: np.ndarray
    psum: np.ndarray
    deskew: np.ndarray
    asked: np.ndarray
    prf: np.ndarray
    row: np.ndarray


@njit(cache=True, error_model="numpy")
def reset(rows, columns, tile_rows, tile_columns, prf_words):
    """Registers of an H x L array after reset; those that the RTL does not reset are 0."""
    down, right = rows // tile_rows, columns // tile_columns
    return Registers(
        np.zeros(1, np.int64),
        np.zeros((down + right + 1, 9), np.int64),
        np.zeros((down, rows), np.int8),
        np.zeros((down, right), np.int64),
        np.zeros((down, right), np.int64),
        np.zeros((down, right, tile_rows), np.int8),
        np.zeros((down + 1, columns), np.int32),
        np.zeros((right, columns), np.int32),
        np.zeros((2, columns), np.int32),
        np.zeros((prf_words, columns), np.int32),
        np.zeros(columns, np.int32),
    )


@njit(cache=True, error_model="numpy")
def issue(registers, address, word, first, stored, last, final, output, columns, vector, low, rows):
    """A token issues; it and its vector are at the array edge in the next cycle. Follows `clock`.

    Args:
        address: WRF address in all PEs, bank included.
        word: PRF word.
        first, stored: replaces the word, with 0 or with row `output` of the psum memory.
        last, final: emits its row; to row `output` of the psum memory unless final.
        output: psum address, of a final token whatever the caller needs to find its place.
        columns: columns with meaning, for the caller.
        vector: int8 [>= low + rows], activations of array rows 0 .. rows - 1 from `low` on.
        rows: array rows that have a channel; the others multiply by 0.
    """
    tags, skew = registers.tags, registers.skew
    slot = registers.cycle[0] % len(tags)
    tags[slot, VALID] = 1
    tags[slot, ADDRESS] = address
    tags[slot, WORD] = word
    tags[slot, FIRST] = first
    tags[slot, STORED] = stored
    tags[slot, LAST] = last
    tags[slot, FINAL] = final
    tags[slot, OUTPUT] = output
    tags[slot, COLUMNS] = columns
    slot = registers.cycle[0] % len(skew)
    for r in range(skew.shape[1]):
        skew[slot, r] = vector[low + r] if r < rows else 0


@njit(cache=True, inline="always")
def _multiply(psum, v, wrf, word, top, low, operand, h, rows, columns):
    """psum[v + 1, low:] = psum[v, low:] + operand @ wrf[word, top:, low:], 4 rows at a time.

    Indices are unsigned, which spares the test for negative ones and lets the loops become vector code.
    """
    one = np.uint64(1)
    r = np.uint64(0)
    if rows >= 4:
        x0, x1 = np.int32(operand[v, h, r]), np.int32(operand[v, h, r + one])
        x2, x3 = np.int32(operand[v, h, r + np.uint64(2)]), np.int32(operand[v, h, r + np.uint64(3)])
        for c in range(columns):
            psum[v + one, low+c] = psum[v, low+c] + (
                x0 * np.int32(wrf[word, top, low+c]) + x1 * np.int32(wrf[word, top + one, low+c])
                + x2 * np.int32(wrf[word, top + np.uint64(2), low+c])
                + x3 * np.int32(wrf[word, top + np.uint64(3), low+c]))
        r += np.uint64(4)


@njit(cache=True, error_model="numpy")
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
    tags, skew, valid, address = registers.tags, registers.skew, registers.valid, registers.address
    operand, psum, deskew, prf = registers.operand, registers.psum, registers.deskew, registers.prf
    row, asked = registers.row, registers.asked
    now = registers.cycle[0]
    latency = len(tags)
    down, right, tile_rows = operand.shape
    columns = len(row)
    tile_columns = columns // right

    # The psum memory: asked one cycle ahead of the PRF, written one cycle behind it.
    ahead = (now - (latency - 3)) % latency
    if tags[ahead, VALID] and tags[ahead, STORED]:
        output, into = tags[ahead, OUTPUT], now % 2
        for c in range(columns):
            asked[into, c] = stored[output, c]
    behind = (now - (latency - 1)) % latency
    if tags[behind, VALID] and tags[behind, LAST] and not tags[behind, FINAL]:
        output = tags[behind, OUTPUT]
        for c in range(columns):
            stored[output, c] = row[c]

    # Deskew: psums that leave the array in this cycle join the row that is complete Rh - 1 - h later.
    for h in range(right):
        complete = (now + right - 1 - h) % right
        for c in range(h * tile_columns, (h + 1) * tile_columns):
            deskew[complete, c] = psum[down, c]

    # PRF.
    slot = (now - (latency - 2)) % latency
    emitted = -1
    if tags[slot, VALID]:
        word, complete, from_memory = tags[slot, WORD], now % right, (now - 1) % 2
        first, continued = tags[slot, FIRST], tags[slot, STORED]
        for c in range(columns):
            start = (asked[from_memory, c] if continued else 0) if first else prf[word, c]
            row[c] = start + deskew[complete, c]
            prf[word, c] = row[c]
        if tags[slot, LAST]:
            emitted = slot

    # Tiles, from the lower right: each reads what its neighbours above and on the left passed on before.
    for v in range(down - 1, -1, -1):
        top = v * tile_rows
        for h in range(right - 1, 0, -1):
            valid[v, h] = valid[v, h - 1]
            if valid[v, h]:
                address[v, h] = address[v, h - 1]
                for r in range(tile_rows):
                    operand[v, h, r] = operand[v, h - 1, r]
        edge = (now - v) % latency
        valid[v, 0] = tags[edge, VALID]
        if valid[v, 0]:
            address[v, 0] = tags[edge, ADDRESS]
            edge = (now - v) % down
            for r in range(tile_rows):
                operand[v, 0, r] = skew[edge, top + r]
        for h in range(right):
            if valid[v, h]:
                word = np.uint64(address[v, h])
                if tile_columns == 16:
                    _multiply(psum, np.uint64(v), wrf, word, np.uint64(top), np.uint64(h * tile_columns), operand, np.uint64(h), np.uint64(tile_rows), np.uint64(16))
                else:
                    _multiply(psum, np.uint64(v), wrf, word, np.uint64(top), np.uint64(h * tile_columns), operand, np.uint64(h), np.uint64(tile_rows), np.uint64(tile_columns))

    # The array edge keeps its vector; without an `issue` it carries no token.
    for n in range(1, len(TAG)):
        tags[(now + 1) % latency, n] = tags[now % latency, n]
    tags[(now + 1) % latency, VALID] = 0
    for r in range(skew.shape[1]):
        skew[(now + 1) % down, r] = skew[now % down, r]
    registers.cycle[0] = now + 1
    return emitted
