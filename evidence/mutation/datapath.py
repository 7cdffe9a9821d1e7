"""Vectors for the array: register files, PEs, tiles, psums."""

from __future__ import annotations

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, int8, number, pack
from rtl.array.array import Array
from rtl.array.demux import Demux
from rtl.array.dense_tile import DenseTile
from rtl.array.pe import Pe
from rtl.array.prf import Prf
from rtl.array.sparse_pe import SparsePe
from rtl.array.sparse_tile import SparseTile
from rtl.array.wrf import Wrf
from rtl.geometry import Geometry
from sim.accelerator import Accelerator, load


def _demux(rng: np.random.Generator) -> Vectors:
    lanes, width = 5, 6
    for n in range(100):
        product, position = number(rng, width), n % 8
        yield (
            {"product": product, "position": position},
            {"lanes": product << position * width if position < lanes else 0},
        )


def _wrf(rng: np.random.Generator) -> Vectors:
    depth, bits = 4, 11
    words = [0] * depth
    for _ in range(200):
        writes, write, read, data = chance(rng, 0.5), below(rng, depth), below(rng, depth), number(rng, bits)
        yield (
            {"write_enable": writes, "write_address": write, "write_data": data, "read_address": read},
            {"read_data": words[read]},
        )
        if writes:
            words[write] = data


def _pe(rng: np.random.Generator) -> Vectors:
    depth, bits = 4, 20
    words = [0] * depth
    weight = product = held = 0  # held: the activation of the weight
    for n in range(250):
        writes, write, read = chance(rng, 0.5), below(rng, depth), below(rng, depth)
        data, activation = int8(rng, 2).tolist()
        psum = int(rng.integers(-1 << bits - 1, 1 << bits - 1))
        valid, multiplies = chance(rng, 0.7), n > 4 and chance(rng, 0.7)
        yield (
            {
                "write_enable": writes,
                "write_address": write,
                "write_data": data,
                "read_address": read,
                "valid": valid,
                "activation": activation,
                "multiplies": multiplies,
                "held": held,
                "psum_in": psum,
            },
            {"psum_out": psum + product},
        )
        product = held * weight if multiplies else product
        if valid:
            weight, held = words[read], activation
        if writes:
            words[write] = data


def _sparse_pe(rng: np.random.Generator) -> Vectors:
    depth, lanes = 4, 4
    words = [(0, 0)] * depth
    found = given = (0, 0)  # weight and position behind the WRF, product and position behind the multiplier
    held = 0  # the activation of the weight
    for _ in range(250):
        writes, write, read = chance(rng, 0.5), below(rng, depth), below(rng, depth)
        (weight, activation), position = int8(rng, 2).tolist(), int(rng.integers(lanes))
        valid, multiplies = chance(rng, 0.7), chance(rng, 0.7)
        yield (
            {
                "write_enable": writes,
                "write_address": write,
                "read_address": read,
                "write_data": weight & 0xFF | position << 8,
                "valid": valid,
                "activation": activation,
                "multiplies": multiplies,
                "held": held,
            },
            {"lanes": (given[0] & 0xFFFF) << 16 * given[1]},
        )
        given = (held * found[0], found[1]) if multiplies else given
        if valid:
            found, held = words[read], activation
        if writes:
            words[write] = weight, position


def _tile_row(rng: np.random.Generator, columns: int, kept: int | None) -> tuple[np.ndarray, int]:
    """Weights of a row, and the WRF words that hold them."""
    row = int8(rng, columns)
    if kept is None:
        return row, pack(row, 8)
    chosen = rng.permutation(columns)[:kept]
    sparse = np.zeros_like(row)
    sparse[chosen] = row[chosen]
    return sparse, pack([int(row[p]) & 0xFF | int(p) << 8 for p in chosen], 8 + (columns - 1).bit_length())


def _tile(columns: int, kept: int | None, rng: np.random.Generator) -> Vectors:
    rows, depth, bits = 2, 2, 18
    weights = np.zeros((depth, rows, columns), np.int64)
    state: dict[str, int] = {"valid_out": 0, "address_out": 0, "activation_out": 0, "psum_out": 0}
    multiplies, adds, products, sums = False, False, np.zeros(columns, np.int64), np.zeros(columns, np.int64)
    for n in range(300):
        reset, valid, write, read = chance(rng, 0.02), chance(rng, 0.7), below(rng, depth), below(rng, depth)
        enable = int(rng.integers(1 << rows)) if n > 2 * depth else 1 << n % rows
        word, data = _tile_row(rng, columns, kept)
        activation = int8(rng, rows)
        above = rng.integers(-1 << bits - 1, 1 << bits - 1, columns)
        yield (
            {
                "rst": reset,
                "valid_in": valid,
                "address_in": read,
                "activation_in": pack(activation, 8),
                "psum_in": pack(above, bits),
                "write_enable": enable,
                "write_address": write,
                "write_data": data,
            },
            dict(state),
        )
        if adds:
            state["psum_out"] = pack(above + sums, bits)
        sums = products if multiplies else sums
        if valid:
            state |= {"address_out": read, "activation_out": pack(activation, 8)}
            products = activation @ weights[read]
        multiplies, adds = bool(valid) and not reset, multiplies and not reset
        state["valid_out"] = multiplies
        for row in range(rows):
            if enable >> row & 1:
                weights[write, row] = word


def _prf(rng: np.random.Generator) -> Vectors:
    depth, columns, bits = 4, 2, 18
    words = np.zeros((depth, columns), np.int64)
    row = 0
    for _ in range(400):
        valid, first, use_stored, word = *(chance(rng, 0.6) for _ in range(3)), int(rng.integers(depth))
        stored = rng.integers(-1 << 31, 1 << 31, columns)
        sums = rng.integers(-1 << bits - 1, 1 << bits - 1, columns)
        yield (
            {
                "valid": valid,
                "word": word,
                "first": first,
                "use_stored": use_stored,
                "stored": pack(stored, 32),
                "sums": pack(sums, bits),
            },
            {"row": row},
        )
        if valid:
            words[word] = ((stored if use_stored else 0) if first else words[word]) + sums
            row = pack(words[word], 32)


_DENSE = load("ews-4", {"tile_rows": 2, "tile_columns": 1})
_SPARSE = load("ews-cms-4x8", {"tile_rows": 2})


def _array(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    """Tile (v, h) sees the token of v + h cycles ago with the WRF of now; its products are added later."""
    geometry = Geometry(acc)
    down, right, bits = acc.row_stages, acc.column_stages, geometry.sum_bits
    last = down + right - 1 + acc.tile_stages
    weights = np.zeros((acc.wrf_depth, acc.rows, acc.columns), np.int64)
    kept = acc.multipliers_per_codeword if acc.sparse_tile else None
    bubble = (0, 0, np.zeros(acc.rows, np.int64), 0)
    tokens = [bubble] * (last + 1)
    partial = [np.zeros(acc.columns, np.int64)] * (last + 1)
    used = np.zeros(0, np.int64)
    for n in range(600):
        # Few addresses at a time, so that reads meet writes.
        used = rng.integers(0, acc.wrf_depth, 4) if n % 60 == 0 else used
        valid, address = chance(rng, 0.8), int(rng.choice(used))
        activation, tag = int8(rng, acc.rows), number(rng, geometry.tag.size)
        enable, write = (int(rng.integers(1 << acc.rows)) if chance(rng, 0.7) else 0), int(rng.choice(used))
        groups = acc.columns // acc.tile_columns
        rows = [_tile_row(rng, acc.tile_columns, kept) for _ in range(groups)]
        tokens = [(valid, address, activation, tag), *tokens[:-1]]
        partial = [np.zeros(acc.columns, np.int64), *partial[:-1]]
        out = tokens[last]
        # A tag without its lowest bit is of no token: the rest of it stays as it was.
        tags = {"tag_ahead": tokens[last - 1][3], "tag_out": out[3]}
        expected: dict[str, int | tuple[int, int]] = {
            name: bits if bits & 1 else (0, 1) for name, bits in tags.items()
        }
        if out[0]:
            expected["sums"] = pack(partial[last], bits)
        yield (
            {
                "valid": valid,
                "address": address,
                "activation": pack(activation, 8),
                "tag": tag,
                "write_enable": enable,
                "write_address": write,
                "write_data": sum(
                    data << geometry.row_word_bits // groups * n for n, (_, data) in enumerate(rows)
                ),
            },
            expected,
        )
        for v in range(down):
            for h in range(right):
                _, a, x, _ = tokens[v + h]
                lines = slice(v * acc.tile_rows, (v + 1) * acc.tile_rows)
                places = slice(h * acc.tile_columns, (h + 1) * acc.tile_columns)
                partial[v + h][places] += x[lines] @ weights[a, lines, places]
        for row in range(acc.rows):
            if enable >> row & 1:
                weights[write, row] = np.concatenate([word for word, _ in rows])


SUITES = (
    VectorSuite("demux", lambda: Demux(lanes=5, width=6), _demux),
    VectorSuite("wrf", lambda: Wrf(depth=4, word_bits=11), _wrf),
    VectorSuite("pe", lambda: Pe(depth=4, sum_bits=20), _pe),
    VectorSuite("sparse_pe", lambda: SparsePe(depth=4, lanes=4), _sparse_pe),
    VectorSuite(
        "dense_tile",
        lambda: DenseTile(rows=2, columns=2, depth=2, sum_bits=18),
        lambda rng: _tile(2, None, rng),
    ),
    VectorSuite(
        "sparse_tile",
        lambda: SparseTile(rows=2, columns=4, multipliers=2, word_bits=10, depth=2, sum_bits=18),
        lambda rng: _tile(4, 2, rng),
    ),
    VectorSuite("prf", lambda: Prf(depth=4, columns=2, sum_bits=18), _prf),
    VectorSuite(
        "array", lambda: Array(accelerator=_DENSE), lambda rng: _array(_DENSE, rng), configuration=_DENSE.name
    ),
    VectorSuite(
        "array",
        lambda: Array(accelerator=_SPARSE),
        lambda rng: _array(_SPARSE, rng),
        configuration=_SPARSE.name,
    ),
)
