"""Vectors for the way from a weight row to WRF words: codebook, masks, positions, compaction."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, number, pack
from rtl.weights.codebook import Codebook
from rtl.weights.compactor import Compactor
from rtl.weights.lzc import Lzc
from rtl.weights.mask_decoder import MaskDecoder
from rtl.weights.positions import Positions
from rtl.weights.row_decoder import RowDecoder
from sim.accelerator import Accelerator, preset


def _set_bits(mask: int) -> list[int]:
    return [n for n in range(mask.bit_length()) if mask >> n & 1]


def _lzc(rng: np.random.Generator) -> Vectors:
    for mask in range(1 << 8):
        first = _set_bits(mask)[:1]
        yield (
            {"mask": mask},
            {
                "onehot": sum(1 << n for n in first),
                "position": sum(first),
                "rest": mask - sum(1 << n for n in first),
            },
        )


def _positions(rng: np.random.Generator) -> Vectors:
    keep, group = 3, 6
    for mask in range(1 << group):
        found = _set_bits(mask)[:keep]
        yield (
            {"mask": mask},
            {
                "onehots": pack([1 << n for n in found], group),
                "positions": pack(found, 3),
                "rest": mask - sum(1 << n for n in found),
            },
        )


def _legal_masks(keep: int, group: int) -> list[int]:
    return sorted(sum(1 << n for n in kept) for kept in combinations(range(group), keep))


def _mask_decoder(rng: np.random.Generator) -> Vectors:
    masks = _legal_masks(2, 7)
    for code in range(32):
        yield {"code": code}, {"mask": masks[code] if code < len(masks) else 0}


def _compactor(rng: np.random.Generator) -> Vectors:
    length, keep, group = 8, 2, 4
    count = length * keep // group
    for _ in range(250):
        values = rng.integers(0, 256, length)
        masks = rng.choice(_legal_masks(keep, group), length // group)
        kept = _set_bits(pack(masks, group))
        sub, base, raw = below(rng, 2), below(rng, 8), chance(rng, 0.5)
        chosen = [(values[n], n) for n in kept]
        if raw:
            chosen = [(values[n], (base + sub * count + n) % length) for n in range(count)]
        yield (
            {"values": pack(values, 8), "mask": pack(masks, group), "sub": sub, "base": base, "raw": raw},
            {"words": pack([position << 8 | int(value) for value, position in chosen], 11)},
        )


def _codebook(rng: np.random.Generator) -> Vectors:
    entries, bits = 4, 16
    book = [0] * entries
    shown: dict[str, int] = {}
    for n in range(350):
        writes, address, data = n < entries or chance(rng, 0.4), int(rng.integers(entries)), number(rng, bits)
        address = n if n < entries else address
        reads = not writes and chance(rng, 0.8)
        asked = rng.integers(0, entries, 2)
        yield (
            {
                "write_enable": writes,
                "write_address": address,
                "write_data": data,
                "read_enable": reads,
                "read_address": pack(asked, 2),
            },
            shown,
        )
        if writes:
            book[address] = data
        # What was read shows until the next access.
        shown = {"read_data": pack([book[a] for a in asked], bits)} if reads else {} if writes else shown


def _row_decoder(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    masks = _legal_masks(acc.keep, acc.group)
    groups = acc.codeword_length // acc.group if acc.weights.masks else 0
    code_bits = (len(masks) - 1).bit_length() if groups else acc.codeword_length
    codes_each = groups or int(acc.weights.signs)
    length, records = acc.codeword_length, acc.columns // acc.codeword_length
    book = [0] * acc.codebook_entries
    most = (len(book) - 1).bit_length()
    row_bits = RowDecoder(accelerator=acc).row.shape().width
    shown: dict[str, int] = {}
    after: dict[str, int] = {}  # what a row looked up shows in the cycle after the next one
    for n in range(500):
        fills = n < len(book)
        look, index_bits, raw = chance(rng, 0.8), int(rng.integers(1, most + 1)), fills or chance(rng, 0.2)
        row, low, values, lows = 0, 0, [], []
        for _ in range(records):
            codes = rng.integers(0, len(masks) if groups else 1 << code_bits, codes_each)
            index = int(rng.integers(1 << index_bits))
            row |= (pack(codes, code_bits) | index << codes_each * code_bits) << low
            low += codes_each * code_bits + index_bits
            lows.append(pack([masks[code] for code in codes], acc.group) if groups else int(sum(codes)))
            values.append(
                sum(book[index] & 0xFF << 8 * j for j in range(length) if not groups or lows[-1] >> j & 1)
            )
        row = (number(rng, row_bits) if raw else row | number(rng, row_bits) << low) & (1 << row_bits) - 1
        writes, address = (
            int(fills or ((raw or not look) and chance(rng, 0.5))),
            n if fills else int(rng.integers(len(book))),
        )
        data = number(rng, 8 * length)
        yield (
            {
                "look": look,
                "row": row,
                "index_bits": index_bits,
                "raw": raw,
                "write_enable": writes,
                "write_address": address,
                "write_data": data,
            },
            shown | {"done": 1},
        )
        if after:
            shown, after = after, {}
        if look:
            after = {"values": row & (1 << 8 * acc.columns) - 1 if raw else pack(values, 8 * length)}
            if acc.sparse_tile and not raw:
                after["masks"] = pack(lows, length)
            if acc.weights.signs:
                after["signs"] = 0 if raw else pack(lows, length)
        if writes:
            book[address] = data


_TWO_OF_EACH_FOUR = """
    legal = mask[0] + mask[1] + mask[2] + mask[3] == 2 && mask[4] + mask[5] + mask[6] + mask[7] == 2;
"""
_INDEX_BITS = "    legal = index_bits >= 1 && index_bits <= 4;"

SUITES = (
    VectorSuite("lzc", lambda: Lzc(width=8), _lzc),
    VectorSuite("positions", lambda: Positions(keep=3, group=6), _positions),
    VectorSuite("mask_decoder", lambda: MaskDecoder(keep=2, group=7), _mask_decoder),
    VectorSuite(
        "compactor", lambda: Compactor(length=8, keep=2, group=4), _compactor, view=_TWO_OF_EACH_FOUR
    ),
    VectorSuite("codebook", lambda: Codebook(entries=4, length=2, ports=2), _codebook),
    *(
        VectorSuite(
            "row_decoder",
            partial(RowDecoder, accelerator=acc),
            partial(_row_decoder, acc),
            configuration=acc.name,
            view=_INDEX_BITS,
        )
        for acc in (preset("ews-cms-8"), preset("ews-c-4"), preset("ssvq-4"))
    ),
)
