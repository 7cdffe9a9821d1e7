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


@njit(cache=True)
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


@njit(cache=True)
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
    now = registers.cycle[0]
    tag = registers.tags[now % len(registers.tags)]
    tag[VALID] = 1
    tag[ADDRESS] = address
    tag[WORD] = word
    tag[FIRST] = first
    tag[STORED] = stored
    tag[LAST] = last
    tag[FINAL] = final
    tag[OUTPUT] = output
    tag[COLUMNS] = columns
    edge = registers.skew[now % len(registers.skew)]
    edge[:rows] = vector[low : low + rows]
    edge[rows:] = 0


@njit(cache=True, inline="always")
def _multiply(below, above, operand, weights, low, columns):
    """One tile: below = above + operand @ weights[:, low:], 4 rows at a time.

    Args:
        below, above: int32 [columns].
        operand: int8 [TH].
        weights: int8 [TH, L].
    """
    for c in range(columns):
        below[c] = above[c]
    rows = len(operand)
    quads = rows // 4 * 4
    for r in range(0, quads, 4):
        x0, x1 = np.int32(operand[r]), np.int32(operand[r + 1])
        x2, x3 = np.int32(operand[r + 2]), np.int32(operand[r + 3])
        w0, w1 = weights[r, low : low + columns], weights[r + 1, low : low + columns]
        w2, w3 = weights[r + 2, low : low + columns], weights[r + 3, low : low + columns]
        for c in range(columns):
            below[c] += (x0 * np.int32(w0[c]) + x1 * np.int32(w1[c])
                         + x2 * np.int32(w2[c]) + x3 * np.int32(w3[c]))
    for r in range(quads, rows):
        x0, w0 = np.int32(operand[r]), weights[r, low : low + columns]
        for c in range(columns):
            below[c] += x0 * np.int32(w0[c])


@njit(cache=True)
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
    row = registers.row
    now = registers.cycle[0]
    latency = len(tags)
    down, right, tile_rows = operand.shape
    tile_columns = len(row) // right

    # The psum memory: asked one cycle ahead of the PRF, written one cycle behind it.
    asked = tags[(now - (latency - 3)) % latency]
    if asked[VALID] and asked[STORED]:
        registers.asked[now % 2] = stored[asked[OUTPUT]]
    visible = tags[(now - (latency - 1)) % latency]
    if visible[VALID] and visible[LAST] and not visible[FINAL]:
        stored[visible[OUTPUT]] = row

    # Deskew: psums that leave the array in this cycle join the row that is complete Rh - 1 - h later.
    bottom = psum[down]
    for h in range(right):
        low = h * tile_columns
        into = deskew[(now + right - 1 - h) % right, low : low + tile_columns]
        into[:] = bottom[low : low + tile_columns]

    # PRF.
    slot = (now - (latency - 2)) % latency
    tag = tags[slot]
    emitted = -1
    if tag[VALID]:
        sums, total = deskew[now % right], prf[tag[WORD]]
        if tag[FIRST]:
            if tag[STORED]:
                total[:] = registers.asked[(now - 1) % 2]
            else:
                total[:] = 0
        for c in range(len(row)):
            total[c] += sums[c]
            row[c] = total[c]
        if tag[LAST]:
            emitted = slot

    # Tiles, from the lower right: each reads what its neighbours above and on the left passed on before.
    for v in range(down - 1, -1, -1):
        top = v * tile_rows
        edge = tags[(now - v) % latency]
        vector = skew[(now - v) % down, top : top + tile_rows]
        for h in range(right - 1, -1, -1):
            low = h * tile_columns
            if h > 0:
                token, word, x = valid[v, h - 1], address[v, h - 1], operand[v, h - 1]
            else:
                token, word, x = edge[VALID], edge[ADDRESS], vector
            valid[v, h] = token
            if token:
                address[v, h] = word
                operand[v, h] = x
                weights = wrf[word, top : top + tile_rows]
                below, above = psum[v + 1, low : low + tile_columns], psum[v, low : low + tile_columns]
                if tile_columns == 16:
                    _multiply(below, above, x, weights, low, 16)
                else:
                    _multiply(below, above, x, weights, low, tile_columns)

    # The array edge keeps its vector; without an `issue` it carries no token.
    tags[(now + 1) % latency] = tags[now % latency]
    tags[(now + 1) % latency, VALID] = 0
    skew[(now + 1) % down] = skew[now % down]
    registers.cycle[0] = now + 1
    return emitted
