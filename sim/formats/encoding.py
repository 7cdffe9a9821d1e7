"""Bits of codeword indices and mask codes, and fields in beats."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from math import comb

import numpy as np

from sim.errors import InputError


def index_bits(k: int) -> int:
    """Bits of a codeword index: ceil(log2 k), at least 1 (MVQ eq. 7)."""
    return max(1, (k - 1).bit_length())


def mask_bits(n: int, m: int) -> int:
    """Bits of a mask code for N:M: ceil(log2 C(M, N)) (MVQ eq. 7)."""
    return max(1, (comb(m, n) - 1).bit_length())


@cache
def mask_table(n: int, m: int) -> np.ndarray:
    """All legal N:M masks in code order: uint32 [C(M,N)], bit j = element j is kept.

    The code of a mask is its rank among the legal masks sorted by integer value, which is
    the combinatorial number system: rank = sum_i C(p_i, i+1) for positions p_0 < p_1 < ...
    """
    masks = sorted(sum(1 << p for p in positions) for positions in combinations(range(m), n))
    table = np.array(masks, np.uint32)
    table.setflags(write=False)
    return table


def mask_rank(mask: np.ndarray, n: int, m: int) -> np.ndarray:
    """Codes of boolean masks.

    Args:
        mask: bool [..., M], True where the element is kept.
        n, m: the N:M pattern.

    Returns:
        int64 [...], each below C(M, N).

    Raises:
        InputError: a group does not keep exactly N of its M elements.
    """
    mask = np.asarray(mask, bool)
    kept = mask.sum(-1)
    if mask.shape[-1] != m or (kept != n).any():
        raise InputError(
            "mask",
            f"{int(kept.min())}..{int(kept.max())} kept of {mask.shape[-1]}",
            f"every group must keep exactly {n} of {m}",
            "prune with the same N:M",
        )
    order = np.cumsum(mask, -1)
    binomials = np.array([[comb(p, i) for i in range(n + 1)] for p in range(m)], np.int64)
    return np.where(mask, binomials[np.arange(m), order * mask], 0).sum(-1)


def mask_unrank(code: np.ndarray, n: int, m: int) -> np.ndarray:
    """Boolean masks [..., M] of mask codes [...]; inverse of `mask_rank`.

    Raises:
        InputError: a code at or above C(M, N).
    """
    code = np.asarray(code)
    legal = comb(m, n)
    if code.size and (code.min() < 0 or code.max() >= legal):
        bad = code.max() if code.max() >= legal else code.min()
        raise InputError(
            "mask code", int(bad), f"{n}:{m} has {legal} legal masks", f"use codes 0..{legal - 1}"
        )
    words = mask_table(n, m)[code.astype(np.int64)]
    return (words[..., None] >> np.arange(m, dtype=np.uint32) & 1).astype(bool)


def pack_bits(values: np.ndarray, widths: np.ndarray | int, beat_bits: int) -> np.ndarray:
    """Concatenates bit fields LSB first and fills up the last beat with zeros.

    Args:
        values: integers [n]; the low `width` bits of each are taken (two's complement).
        widths: bits of each value, 1..63, [n] or one for all.
        beat_bits: beat width, a multiple of 64.

    Returns:
        uint64 [beats, beat_bits / 64], word 0 of a beat holding its lowest bits.
    """
    values = np.asarray(values).astype(np.uint64).ravel()
    widths = np.broadcast_to(np.asarray(widths, np.int64), values.shape)
    values = values & ((np.uint64(1) << widths.astype(np.uint64)) - np.uint64(1))
    ends = np.cumsum(widths)
    total = int(ends[-1]) if ends.size else 0
    lanes = beat_bits // 64
    beats = -(-total // beat_bits)
    words = np.zeros(beats * lanes + 1, np.uint64)
    starts = ends - widths
    word, shift = starts >> 6, (starts & 63).astype(np.uint64)
    # Fields that share a word never overlap, so adding is or-ing; bincount would lose bits.
    np.bitwise_or.at(words, word, values << shift)
    spill = (starts & 63) + widths > 64
    if spill.any():
        high = values[spill] >> (np.uint64(64) - shift[spill])
        np.bitwise_or.at(words, word[spill] + 1, high)
    return words[:-1].reshape(beats, lanes)
