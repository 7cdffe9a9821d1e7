"""The inner loop of a matrix product of 16-bit integers, in vectors of the processor at hand.

Two products of 16 bits and their sum are one instruction on x86 (`vpmaddwd`; with VNNI and the addition to the 32-bit
sum, `vpdpwssd`), and LLVM finds it in the plain sums written here; elsewhere they are what LLVM makes of them.
Numba's own loops keep no sums in registers, so this one is written for LLVM. All sums wrap at 32 bits.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WIDE = bool(binding.get_host_cpu_features().get("avx512bw", False))
LANES = 16 if WIDE else 8
"""32-bit sums in a vector."""
HEIGHTS = {4: 6, 2: 8, 1: 12} if WIDE else {2: 6, 1: 8}
"""Pixels of a register tile, by its width in vectors: sums, operands and addresses fit the registers of the processor
(32 vectors with AVX-512, else 16; 16 for addresses). Measured on an EPYC with AVX-512: 256, 253 and 188 GMAC/s."""
WIDEST = max(HEIGHTS)

_LONG, _PAIR, _HALF = ir.IntType(64), ir.IntType(32), ir.IntType(16)
_SUMS, _HALVES = ir.VectorType(_PAIR, LANES), ir.VectorType(_HALF, 2 * LANES)
_PRODUCTS = ir.VectorType(_PAIR, 2 * LANES)


def _pick(builder: ir.IRBuilder, vector: ir.Value, lanes: list[int]) -> ir.Value:
    """Elements of a vector by number."""
    mask = ir.Constant(ir.VectorType(_PAIR, len(lanes)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _dot(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Sums of two neighbouring products each."""
    products = builder.mul(builder.sext(a, _PRODUCTS), builder.sext(b, _PRODUCTS))
    even, odd = (_pick(builder, products, list(range(first, 2 * LANES, 2))) for first in (0, 1))
    return builder.add(even, odd)


def _load(builder: ir.IRBuilder, start: ir.Value, at: ir.Value, kind: ir.Type) -> ir.Value:
    """A vector, or a pair as a 32-bit integer, from 16-bit element `at` on."""
    place = builder.bitcast(builder.gep(start, [at]), kind.as_pointer())
    return builder.load(place, align=2)


def _tile(width: int) -> Any:
    height = HEIGHTS[width]

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        def data(n: int) -> ir.Value:
            return context.make_array(signature.args[n])(context, builder, args[n]).data

        def number(value: int) -> ir.Value:
            return ir.Constant(_LONG, value)

        x, bases, offsets, weights, out = (data(n) for n in (0, 1, 3, 4, 7))
        zero = ir.Constant(_SUMS, None)
        sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(width)] for _ in range(height)]
        pixels = [builder.add(args[2], number(m)) for m in range(height)]
        rows = [builder.gep(x, [builder.load(builder.gep(bases, [pixel]))]) for pixel in pixels]
        panel = builder.gep(weights, [args[5]])
        with cgutils.for_range(builder, args[6], intp=_LONG) as loop:
            offset = builder.load(builder.gep(offsets, [loop.index]))
            first = builder.mul(loop.index, number(width * 2 * LANES))
            columns = [
                _load(builder, panel, builder.add(first, number(n * 2 * LANES)), _HALVES)
                for n in range(width)
            ]
            for row, of_row in zip(rows, sums, strict=True):
                pair = builder.insert_element(
                    ir.Constant(_SUMS, ir.Undefined),
                    _load(builder, row, offset, _PAIR),
                    ir.Constant(_PAIR, 0),
                )
                both = builder.bitcast(_pick(builder, pair, [0] * LANES), _HALVES)
                for column, total in zip(columns, of_row, strict=True):
                    builder.store(builder.add(builder.load(total), _dot(builder, column, both)), total)
        for n, total in enumerate(total for of_row in sums for total in of_row):
            place = builder.gep(out, [number(n * LANES)])
            builder.store(builder.load(total), builder.bitcast(place, _SUMS.as_pointer()), align=4)
        return context.get_dummy_value()

    def typed(typingctx, x, bases, pixel, offsets, weights, start, pairs, out):  # type: ignore[no-untyped-def]
        return types.void(x, bases, pixel, offsets, weights, start, pairs, out), generate

    return intrinsic(typed)


tile1, tile2 = _tile(1), _tile(2)
tile4 = _tile(4) if WIDE else tile2
"""tileN(x, bases, pixel, offsets, weights, start, pairs, out): products of HEIGHTS[N] pixels and N vectors of columns.

Args:
    x: int16 [any]; element pair k of pixel m begins at bases[pixel + m] + offsets[k].
    bases: int64 [>= pixel + height].
    offsets: int64 [pairs].
    weights: int16 [any], a panel from `start` on: [pairs, N * LANES, 2].
    out: int32 [>= height * N * LANES], receives [height, N * LANES].
"""
