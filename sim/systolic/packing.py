"""Fields of weights into the beats of their chunks, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.kept import kept


class Layout(NamedTuple):
    """How the fields of a row lie in the stream.

    Attributes:
        width: bits of a field.
        port: bits of a beat.
        rows, columns: of the array.
        unit: output channels that a field stands for.
        d, q: columns of a codeword, and how many of them a sub-record takes; q = 0 without sub-records.
        block: output channels of a group on the diagonal, 0 for other layouts.
        scale_rows, scale_span: rows of the bits above a field, before each of so many array rows.
    """

    width: int
    port: int
    rows: int
    columns: int
    unit: int
    d: int
    q: int
    block: int
    scale_rows: int
    scale_span: int


@kept()
def pack_chunks(values, chunks, layout, words):
    """Writes the weights of chunks where each begins in the stream.

    Args:
        values: integers [units, C/groups, positions].
        chunks: CHUNK [n], each with weights of its own.
        layout: Layout.
        words: uint64 [beats * port / 64 + 1], zeros; receives the stream, LSB first.
    """
    inputs = values.shape[1]
    for n in range(len(chunks)):
        chunk = chunks[n]
        at = np.int64(chunk.beat) * layout.port
        for position in range(chunk.position, chunk.position + chunk.D):
            if layout.block:
                at = _pack_diagonal(values, chunk, position, layout, words, at)
                continue
            for r in range(chunk.B):
                low = np.int64(chunk.channel % inputs + r * layout.rows)
                rows = np.int64(chunk.rows_tail if r == chunk.B - 1 else chunk.rows)
                for u in range(chunk.U):
                    for s in range(chunk.A):
                        first = np.int64(chunk.output + s * layout.columns)
                        end = first + (chunk.columns_tail if s == chunk.A - 1 else chunk.columns)
                        for h in range(low, low + rows):
                            if (h - low) % layout.scale_span == 0:
                                at = _pack_scales(values, h, position, first, end, layout, words, at)
                            at = _pack_row(values, h, position, first, end, u, layout, words, at)


@kept()
def _pack_row(values, h, position, first, end, u, layout, words, at):
    """Fields of outputs `first` up to `end`, or their sub-records u; returns the bit behind them."""
    if layout.q == 0:
        for unit in range(first // layout.unit, -(-end // layout.unit)):
            at = _put(words, at, np.uint64(values[unit, h, position]), layout.width)
        return at
    for start in range(first, end, layout.d):
        for output in range(start + u * layout.q, start + u * layout.q + layout.q):
            if output < end:
                _put(words, at, np.uint64(values[output, h, position]), layout.width)
            at += layout.width
    return at


@kept()
def _pack_scales(values, h, position, first, end, layout, words, at):
    """Rows of the bits above the fields of row h, the lowest ones first; returns the bit behind them."""
    for n in range(1, layout.scale_rows + 1):
        for unit in range(first, end):
            at = _put(words, at, np.uint64(values[unit, h, position] >> n * layout.width), layout.width)
    return at


@kept()
def _pack_diagonal(values, chunk, position, layout, words, at):
    """Rows of the groups on the diagonal, each with the columns of its own group."""
    for group in range(chunk.columns // layout.block):
        first = chunk.output + group * layout.block
        for h in range(values.shape[1]):
            for output in range(first, first + layout.block):
                at = _put(words, at, np.uint64(values[output, h, position]), layout.width)
    return at


@kept()
def _put(words, at, value, width):
    """The low bits of a value; returns the bit behind them."""
    value &= (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    word, shift = at >> 6, np.uint64(at & 63)
    words[word] |= value << shift
    if np.int64(shift) + width > 64:
        words[word + 1] |= value >> (np.uint64(64) - shift)
    return at + width
